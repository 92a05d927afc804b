// Package gcra is the generic cell rate algorithm, as a pure function: all that is remembered of somebody is the moment at
// which nothing is owed any more (the theoretical arrival time, TAT), so that events are let through as a burst of the whole
// quota at first and at a steady pace after it, without windows whose edges let twice as many through.
//
// It stands on floor 0. What keeps the moments, and for whom, is the business of gateway/limits and of idp/attempts; the
// policies and the configuration read a [Rate] with [ParseRate].
package gcra

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A Rate is a quota: so many events in so long a time. All of them may come at once; each is given back in its share of
// the time.
type Rate struct {
	Events int
	Per    time.Duration
}

// units are those that a rate is written in.
var units = []struct {
	name string
	per  time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

var (
	errText  = errors.New("a rate is written 10/m, in s, m, h or d")
	errCheck = errors.New("a rate is of at least one event, and of at most one in a microsecond")
)

// ParseRate reads a rate as people write it: 10/m, in s, m, h or d.
func ParseRate(s string) (Rate, error) {
	count, unit, _ := strings.Cut(s, "/")
	events, err := strconv.Atoi(count)
	if err != nil || events <= 0 || strconv.Itoa(events) != count {
		return Rate{}, errText
	}
	for _, u := range units {
		if u.name == unit {
			r := Rate{Events: events, Per: u.per}
			return r, r.Check()
		}
	}
	return Rate{}, errText
}

// String is the rate as it would be written.
func (r Rate) String() string {
	for _, u := range units {
		if u.per == r.Per {
			return strconv.Itoa(r.Events) + "/" + u.name
		}
	}
	return strconv.Itoa(r.Events) + " in " + r.Per.String()
}

// Check reports what is wrong with a rate.
func (r Rate) Check() error {
	if r.Events < 1 || r.Interval() < time.Microsecond {
		return errCheck
	}
	return nil
}

// Interval is the time in which one event is given back.
func (r Rate) Interval() time.Duration { return r.Per / time.Duration(max(r.Events, 1)) }

// Quota is what all events are worth. It may be a little less than Per, by what the division left over.
func (r Rate) Quota() time.Duration { return r.Interval() * time.Duration(r.Events) }

// A Result says what became of a request, and what its sender may be told.
type Result struct {
	OK        bool
	Remaining int           // events that would be let through now
	Retry     time.Duration // until the next one is, where this one was not
	Reset     time.Duration // until one event more is given back; zero where none is owed
}

// Take decides about one more event. owed is how much time the events that were let through are still worth, the time left
// until the TAT; it returns what is owed after this one, which is the same where it is not let through.
func (r Rate) Take(owed time.Duration) (after time.Duration, result Result) {
	owed = max(owed, 0)
	interval, quota := r.Interval(), r.Quota()
	if next := owed + interval; next > quota {
		return owed, Result{Retry: next - quota, Reset: next - quota}
	}
	after = owed + interval
	remaining := int((quota - after) / interval)
	// With that many left, one more is given back once what is owed has fallen to the next whole event.
	reset := after - (quota - time.Duration(remaining+1)*interval)
	return after, Result{OK: true, Remaining: remaining, Reset: reset}
}
