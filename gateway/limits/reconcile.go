package limits

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Debt is what a key owes, and the most that its rate allows to owe.
type Debt struct {
	Key         Key
	Owed, Quota time.Duration
}

// Shared is where the gateways of a fleet tell each other what their keys owe.
type Shared interface {
	// Add adds to what each key owes in the fleet, and sets Owed to what that is then. It does so within a second or
	// two, or fails; then some of it may have been added. No two of the debts have one key.
	Add(ctx context.Context, debts []Debt) error
}

const (
	// exchangeEvery is how often the fleet is told.
	exchangeEvery = 200 * time.Millisecond
	// retryMost is the longest pause after failures.
	retryMost = 5 * time.Second
	// queueLength is how many sets may wait for the next exchange.
	queueLength = 1 << 16
	// exchangeMost bounds an exchange.
	exchangeMost = 4096
)

// fleet is what waits to be told, by the number of its set.
type fleet struct {
	shared Shared
	log    *slog.Logger
	queue  chan uint32

	untold   atomic.Uint64
	failures atomic.Uint64
	contact  atomic.Int64
}

func newFleet(shared Shared, log *slog.Logger) *fleet {
	return &fleet{shared: shared, log: log, queue: make(chan uint32, queueLength)}
}

// enqueue notes that a set has something to tell, if there is room. It does not wait.
func (f *fleet) enqueue(number uint32) bool {
	select {
	case f.queue <- number:
		return true
	default:
		f.untold.Add(1)
		return false
	}
}

// Run exchanges what is owed with the fleet until ctx ends. It returns at once where the limiter is alone.
func (l *Limiter) Run(ctx context.Context) error {
	if l.fleet == nil {
		return nil
	}
	pause, away := exchangeEvery, false
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := l.exchange(ctx)
		switch {
		case err == nil && away:
			l.fleet.log.Info("the limits are shared with the fleet again")
			fallthrough
		case err == nil:
			pause, away = exchangeEvery, false
		case ctx.Err() != nil:
			return nil
		default:
			if !away {
				l.fleet.log.Warn("the limits are not shared with the fleet for now; each gateway limits what it sees", "error", err)
			}
			pause, away = min(2*pause, retryMost), true
		}
		timer.Reset(pause)
	}
}

// exchange tells the fleet what waits, and learns what is owed altogether. What could not be told waits on.
func (l *Limiter) exchange(ctx context.Context) error {
	for {
		debts := l.collect()
		if len(debts) == 0 {
			return nil
		}
		told := make([]Debt, len(debts))
		copy(told, debts)
		if err := l.fleet.shared.Add(ctx, told); err != nil {
			l.fleet.failures.Add(1)
			for _, d := range debts {
				l.putBack(d)
			}
			return err
		}
		l.fleet.contact.Store(l.now().UnixNano())
		for _, d := range told {
			l.learn(d)
		}
		if len(debts) < exchangeMost {
			return nil
		}
	}
}

// collect takes what waits, a bounded number of keys at a time. Of what was let through, what has been given back since
// is not told.
func (l *Limiter) collect() []Debt {
	var debts []Debt
	for len(debts)+ways <= exchangeMost {
		var s *set
		select {
		case number := <-l.fleet.queue:
			s = &l.table.sets[number]
		default:
			return debts
		}
		now := l.moment()
		s.mu.Lock()
		for i := range s.places {
			p := &s.places[i]
			if !p.queued {
				continue
			}
			if owed := min(time.Duration(p.untold), p.owed(now)); owed > 0 {
				debts = append(debts, Debt{p.key, owed, time.Duration(p.quota)})
			}
			p.untold, p.queued = 0, false
		}
		s.mu.Unlock()
	}
	return debts
}

// putBack has what could not be told wait again.
func (l *Limiter) putBack(d Debt) {
	s, number := l.table.of(d.Key)
	s.mu.Lock()
	tell := false
	for i := range s.places {
		if p := &s.places[i]; p.key == d.Key {
			p.untold += int64(d.Owed)
			tell = !p.queued
			p.queued = true
		}
	}
	s.mu.Unlock()
	if tell && !l.fleet.enqueue(number) {
		l.unqueue(s, d.Key)
	}
}

// learn takes over what a key owes in the fleet, where that is more than is known of here. A store that has forgotten
// something does not make anybody owe less.
func (l *Limiter) learn(d Debt) {
	now := l.moment()
	s, _ := l.table.of(d.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.places {
		if p := &s.places[i]; p.key == d.Key {
			// What was let through here since then is not in it yet.
			p.even = max(p.even, now+int64(d.Owed)+p.untold)
		}
	}
}
