package limits

import (
	"errors"
	"time"
)

// A Rate is a quota: so many events in so long a time. All of them may come at once; each is given back in its share of
// the time.
type Rate struct {
	Events int
	Per    time.Duration
}

// Check reports what is wrong with a rate.
func (r Rate) Check() error {
	if r.Events < 1 || r.interval() < time.Microsecond {
		return errors.New("limits: a rate is of at least one event, and of at most one in a microsecond")
	}
	return nil
}

// interval is the time in which one event is given back.
func (r Rate) interval() time.Duration { return r.Per / time.Duration(max(r.Events, 1)) }

// quota is what all events are worth. It may be a little less than Per, by what the division left over.
func (r Rate) quota() time.Duration { return r.interval() * time.Duration(r.Events) }

// A Result says what became of a request, and what its sender may be told.
type Result struct {
	OK        bool
	Remaining int           // events that would be let through now
	Retry     time.Duration // until the next one is, where this one was not
	Reset     time.Duration // until one event more is given back; zero where none is owed
}

// take is GCRA. owed is how much time the events that were let through are still worth; it returns what is owed after
// this one, which is the same where it is not let through.
func (r Rate) take(owed time.Duration) (after time.Duration, result Result) {
	owed = max(owed, 0)
	interval, quota := r.interval(), r.quota()
	if next := owed + interval; next > quota {
		return owed, Result{Retry: next - quota, Reset: next - quota}
	}
	after = owed + interval
	remaining := int((quota - after) / interval)
	// With that many left, one more is given back once what is owed has fallen to the next whole event.
	reset := after - (quota - time.Duration(remaining+1)*interval)
	return after, Result{OK: true, Remaining: remaining, Reset: reset}
}
