package limits

import (
	"testing"
	"time"
)

func TestPeekSaysWhatTakeWouldAndCountsNothing(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, Options{Now: c.now})
	rate := Rate{Events: 3, Per: time.Minute}
	k := l.Key(NewScope("x"), "", "a")
	for i := range 10 {
		peeked := l.Peek(k, rate)
		for range 5 {
			if again := l.Peek(k, rate); again != peeked {
				t.Errorf("%d: %+v, then %+v", i, peeked, again)
			}
		}
		if took := l.Take(k, rate); took != peeked {
			t.Errorf("%d: peeked %+v, took %+v", i, peeked, took)
		}
		c.advance(7 * time.Second)
	}
}
