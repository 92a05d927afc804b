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
	// Shared syncs the backlogs with the other gateways of a fleet. Optional: this one limits alone.
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
	epoch  time.Time // what TATs are counted from, by the monotonic clock
	fleet  *fleet    // nil where it limits alone

	evicted atomic.Uint64
}

// hkdfInfo is HKDF's info (RFC 5869) for the key of the hashes.
const hkdfInfo = "vilogate limits v1"

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
	l.epoch = l.now()
	if len(o.Secret) == 0 {
		if o.Shared != nil {
			return nil, errors.New("limits: gateways that share their limits need a secret in common")
		}
		rand.Read(l.secret[:])
		return l, nil
	}
	derived, err := hkdf.Key(sha256.New, o.Secret, nil, hkdfInfo, len(l.secret))
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
	now := l.elapsed()
	s, index := l.table.lookup(k)
	s.mu.Lock()
	p, evicted := s.find(k, now)
	backlog, result := r.Take(p.backlog(now))
	p.tat, p.burst = now+int64(backlog), int64(r.Burst())
	push := false
	if result.OK && l.fleet != nil {
		p.unsynced += int64(r.EmissionInterval())
		push = !p.queued
		p.queued = true
	}
	s.mu.Unlock()
	if evicted {
		l.evicted.Add(1)
	}
	if push && !l.fleet.enqueue(index) {
		l.clearQueued(s, k)
	}
	return result
}

// Peek is what Take would answer, and counts nothing.
func (l *Limiter) Peek(k Key, r Rate) Result {
	now := l.elapsed()
	s, _ := l.table.lookup(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	backlog := time.Duration(0)
	for i := range s.slots {
		if s.slots[i].key == k {
			backlog = s.slots[i].backlog(now)
		}
	}
	_, result := r.Take(backlog)
	return result
}

// elapsed is the monotonic time since the epoch, in nanoseconds. A wall clock that is set does not move it.
func (l *Limiter) elapsed() int64 { return int64(l.now().Sub(l.epoch)) }

// clearQueued notes that a key is in no sync queue: the next event enqueues it again.
func (l *Limiter) clearQueued(s *set, k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if s.slots[i].key == k {
			s.slots[i].queued = false
		}
	}
}

// Stats are counts since the start.
type Stats struct {
	Evicted  uint64 // backlogs that were evicted to make room
	Unsynced uint64 // events that were not pushed with the next sync, because the sync queue was full
	Failures uint64 // syncs with the shared store that failed
	LastSync time.Time
}

// Stats returns the counts; LastSync is when the fleet was last synced with, zero where there is none.
func (l *Limiter) Stats() Stats {
	s := Stats{Evicted: l.evicted.Load()}
	if l.fleet != nil {
		s.Unsynced, s.Failures = l.fleet.unsynced.Load(), l.fleet.failures.Load()
		if lastSync := l.fleet.lastSync.Load(); lastSync != 0 {
			s.LastSync = time.Unix(0, lastSync)
		}
	}
	return s
}

// Key is the key of a scope, which is the route and what it counts, and of somebody in it: an issuer and a subject, an
// address, or nobody in particular. It allocates nothing.
func (l *Limiter) Key(scope Scope, issuer, subject string) Key {
	var buffer [len(l.secret) + len(scope) + 2*(maxKeyPart+1)]byte
	b := append(buffer[:0], l.secret[:]...)
	b = append(b, scope[:]...)
	b = appendPart(b, issuer)
	b = appendPart(b, subject)
	sum := sha256.Sum256(b)
	return Key(sum[:len(Key{})])
}
