// Package gcra is the generic cell rate algorithm, as a pure function: all that is remembered of a key is its theoretical
// arrival time (TAT), at which its backlog is empty, so that events are let through as a burst of the whole
// quota at first and at a steady pace after it, without windows whose edges let twice as many through.
//
// It stands on floor 0. What keeps the TATs, and for whom, is the business of gateway/limits and of idp/internal/attempts; the
// policies and the configuration read a [Rate] with [ParseRate].
package gcra

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// A Rate is a quota: so many events in so long a time. All of them may come at once, as a burst; after it they are let
// through at the emission interval.
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
	if r.Events < 1 || r.EmissionInterval() < time.Microsecond {
		return errCheck
	}
	return nil
}

// EmissionInterval is GCRA's T: the time in which one event leaves the backlog.
func (r Rate) EmissionInterval() time.Duration { return r.Per / time.Duration(max(r.Events, 1)) }

// Burst is GCRA's limit of the backlog: Events emission intervals. It may be a little less than Per, by what the division
// left over.
func (r Rate) Burst() time.Duration { return r.EmissionInterval() * time.Duration(r.Events) }

// A Result says what became of a request, and what its sender may be told.
type Result struct {
	OK         bool
	Remaining  int           // events that would be let through now
	RetryAfter time.Duration // until the next one is, where this one was not
	Reset      time.Duration // until one event more remains; zero where there is no backlog
}

// Take decides about one more event. The backlog is the TAT less now; it returns the backlog after this event, which is the
// same where the event is not let through.
func (r Rate) Take(backlog time.Duration) (after time.Duration, result Result) {
	backlog = max(backlog, 0)
	interval, burst := r.EmissionInterval(), r.Burst()
	if next := backlog + interval; next > burst {
		return backlog, Result{RetryAfter: next - burst, Reset: next - burst}
	}
	after = backlog + interval
	remaining := int((burst - after) / interval)
	// With that many left, one more remains once the backlog has fallen to the next whole emission interval.
	reset := after - (burst - time.Duration(remaining+1)*interval)
	return after, Result{OK: true, Remaining: remaining, Reset: reset}
}
