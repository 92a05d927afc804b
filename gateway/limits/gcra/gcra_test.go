package gcra

import (
	"testing"
	"time"
)

func TestRatesAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Rate{
		"10/m": {10, time.Minute}, "1/s": {1, time.Second}, "60/h": {60, time.Hour}, "5/d": {5, 24 * time.Hour}, "1000000/s": {1_000_000, time.Second},
	} {
		if got, err := ParseRate(s); err != nil || got != want || got.String() != s {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "10", "/m", "10/", "0/m", "-1/m", "+1/m", "010/m", " 1/m", "1/m ", "1/ m", "1.5/m", "10/w", "10/M", "10/1m", "10/m/s", "1000001/s", "99999999999999999999/d"} {
		if got, err := ParseRate(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
	if got := (Rate{3, 90 * time.Second}).String(); got != "3 in 1m30s" {
		t.Error(got)
	}
}

func TestImpossibleRates(t *testing.T) {
	t.Parallel()
	for _, r := range []Rate{{}, {1, 0}, {0, time.Minute}, {-1, time.Minute}, {1, -time.Minute}, {10, 5}, {10, 9 * time.Microsecond}} {
		if r.Check() == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

// TestABurstAndThenASteadyPace: the whole quota at once, then one event in each of its shares of the time, and what is said
// of the wait is true.
func TestABurstAndThenASteadyPace(t *testing.T) {
	t.Parallel()
	r := Rate{3, time.Minute}
	var owed time.Duration
	var got Result
	for i := range 3 {
		if owed, got = r.Take(owed); !got.OK || got.Remaining != 2-i {
			t.Fatalf("event %d: %+v", i, got)
		}
	}
	for range 5 {
		same, refused := r.Take(owed)
		if refused.OK || same != owed || refused.RetryAfter != 20*time.Second {
			t.Fatalf("%+v with %v owed", refused, owed)
		}
		if _, early := r.Take(owed - refused.RetryAfter + 1); early.OK {
			t.Fatal("a moment too early")
		}
		if owed, got = r.Take(owed - refused.RetryAfter); !got.OK || got.Remaining != 0 {
			t.Fatalf("%+v after waiting", got)
		}
	}
	if after, got := r.Take(-time.Hour); !got.OK || after != 20*time.Second || got.Remaining != 2 {
		t.Errorf("idle time is no credit: %v, %+v", after, got)
	}
}
