package limits

import (
	"fmt"
	"testing"
	"time"
)

// TestMillionAddressesDoNotEvictWhoIsNearTheLimit: the table stays as large as it is, and who has used up the quota
// stays refused.
func TestMillionAddressesDoNotEvictWhoIsNearTheLimit(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, Options{Now: c.now, Keys: 1 << 12})
	r := Rate{Events: 10, Per: time.Hour}
	offenders := make([]Key, 64)
	for i := range offenders {
		offenders[i] = l.Key(route, "vilogate", fmt.Sprint("u-", i))
		for range 10 {
			l.Take(offenders[i], r)
		}
	}
	before := len(l.table.sets)
	for i := range 1_000_000 {
		if got := l.Take(l.Key(route, "", fmt.Sprint(i)), Rate{Events: 1000, Per: 24 * time.Hour}); !got.OK {
			t.Fatalf("a fresh address is refused: %+v", got)
		}
	}
	for i, k := range offenders {
		if got := l.Take(k, r); got.OK {
			t.Errorf("offender %d was forgotten", i)
		}
	}
	if len(l.table.sets) != before || l.Stats().Evicted == 0 {
		t.Errorf("%d sets, %d before; %d were evicted", len(l.table.sets), before, l.Stats().Evicted)
	}
}

// TestEmptyBacklogHasNoSlot: a table that was full is free again when the backlogs are empty, and nobody is evicted.
func TestEmptyBacklogHasNoSlot(t *testing.T) {
	t.Parallel()
	c := newClock()
	l := newLimiter(t, Options{Now: c.now, Keys: 1 << 10})
	for round := range 50 {
		for i := range 256 { // a quarter, so that sets hardly ever overflow
			l.Take(l.Key(route, fmt.Sprint(round), fmt.Sprint(i)), Rate{Events: 1, Per: time.Minute})
		}
		c.advance(time.Minute)
	}
	if evicted := l.Stats().Evicted; evicted > 50 {
		t.Errorf("%d of 12,800 were evicted from a table that has room", evicted)
	}
}

func TestTakingAllocatesNothing(t *testing.T) {
	for name, o := range map[string]Options{"alone": {}, "in a fleet": {Shared: unreachable{}, Secret: secret}} {
		l := newLimiter(t, o)
		if n := testing.AllocsPerRun(1000, func() { l.Take(l.Key(route, "vilogate", "u-0123456789"), Rate{Events: 10, Per: time.Minute}) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkTake(b *testing.B) {
	for name, o := range map[string]Options{"alone": {}, "fleet": {Shared: unreachable{}, Secret: secret}} {
		b.Run(name, func(b *testing.B) {
			l := newLimiter(b, o)
			subjects := make([]string, 100_000)
			for i := range subjects {
				subjects[i] = fmt.Sprintf("u-%010d", i)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.Take(l.Key(route, "vilogate", subjects[i%len(subjects)]), Rate{Events: 1000, Per: time.Minute})
				i += 7919
			}
		})
	}
}
