package limits

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

// A Rate is how often somebody may ask, and a Result what became of one request.
type (
	Rate   = gcra.Rate
	Result = gcra.Result
)

// Options are what a Limiter is made of.
type Options struct {
	// Keys is how many keys are remembered at a time. Optional: DefaultKeys, for which a full table takes 25 MiB.
	Keys int
	// Shared tells the other gateways of a fleet. Optional: this one limits alone.
	Shared Shared
	// Secret is what the fleet shares; without one the limiter makes its own. Required with Shared.
	Secret []byte
	// Log is told when Shared is away, and when it is back. Optional.
	Log *slog.Logger
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
}

// A Limiter decides. It is safe for concurrent use.
type Limiter struct {
	table  *table
	secret [16]byte
	now    func() time.Time
	began  time.Time // what moments are counted from
	fleet  *fleet    // nil where it limits alone

	evicted atomic.Uint64
}

// purpose is what the key of the hashes is derived for.
const purpose = "vilogate limits v1"

// New makes a limiter.
func New(o Options) (*Limiter, error) {
	if o.Keys <= 0 {
		o.Keys = DefaultKeys
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{table: newTable(o.Keys), now: o.Now}
	if l.now == nil {
		l.now = time.Now
	}
	l.began = l.now()
	if len(o.Secret) == 0 {
		if o.Shared != nil {
			return nil, errors.New("limits: gateways that share their limits need a secret in common")
		}
		rand.Read(l.secret[:])
		return l, nil
	}
	derived, err := hkdf.Key(sha256.New, o.Secret, nil, purpose, len(l.secret))
	if err != nil {
		return nil, fmt.Errorf("limits: deriving the key: %w", err)
	}
	copy(l.secret[:], derived)
	if o.Shared != nil {
		l.fleet = newFleet(o.Shared, o.Log)
	}
	return l, nil
}

// Take counts one event of a key, if its rate has room for it.
func (l *Limiter) Take(k Key, r Rate) Result {
	now := l.moment()
	s, number := l.table.of(k)
	s.mu.Lock()
	p, evicted := s.find(k, now)
	owed, result := r.Take(p.owed(now))
	p.even, p.quota = now+int64(owed), int64(r.Quota())
	tell := false
	if result.OK && l.fleet != nil {
		p.untold += int64(r.Interval())
		tell = !p.queued
		p.queued = true
	}
	s.mu.Unlock()
	if evicted {
		l.evicted.Add(1)
	}
	if tell && !l.fleet.enqueue(number) {
		l.unqueue(s, k)
	}
	return result
}

// moment is the present, in nanoseconds since the limiter began. A wall clock that is set does not move it.
func (l *Limiter) moment() int64 { return int64(l.now().Sub(l.began)) }

// unqueue notes that nobody will tell the fleet of a key: the next event tries again.
func (l *Limiter) unqueue(s *set, k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.places {
		if s.places[i].key == k {
			s.places[i].queued = false
		}
	}
}

// Stats are counts since the start.
type Stats struct {
	Evicted  uint64 // debts that were forgotten to make room
	Untold   uint64 // events of which the fleet could not be told at once, because too much waited for it
	Failures uint64 // exchanges with the shared store that failed
	Contact  time.Time
}

// Stats returns the counts; Contact is when the fleet was last told, zero where there is none.
func (l *Limiter) Stats() Stats {
	s := Stats{Evicted: l.evicted.Load()}
	if l.fleet != nil {
		s.Untold, s.Failures = l.fleet.untold.Load(), l.fleet.failures.Load()
		if contact := l.fleet.contact.Load(); contact != 0 {
			s.Contact = time.Unix(0, contact)
		}
	}
	return s
}
