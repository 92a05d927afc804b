package revocation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Log is where entries are kept. Two stores implement it, [SQL] and [Redis], and
// one contract suite holds for both.
type Log interface {
	// Append writes the entries, all or none, and returns nil once they are
	// durable. It ends within a few seconds, whatever the store does.
	Append(ctx context.Context, entries []Entry) error
	// Follow hands every entry of the log to sink, then those that are added,
	// and puts back what the sink knows and the log lacks. It returns when ctx
	// ends (nil) or when the store fails; the caller starts it again.
	Follow(ctx context.Context, sink Sink) error
}

// Sink receives what a log holds.
type Sink interface {
	// Apply adds entries. Again and in any order is the same.
	Apply(entries []Entry)
	// Known is every entry that has not expired.
	Known() []Entry
	// Current says that nothing older than asOf is missing.
	Current(asOf time.Time)
	// Refused counts entries that were forged or broken.
	Refused(n int)
}

// Options are how a List behaves.
type Options struct {
	// MaxStaleness is how old the view may be. Zero: any age, once it is loaded.
	MaxStaleness time.Duration
	Log          *slog.Logger
	Now          func() time.Time // Optional: time.Now
}

// List is the revocation list in memory. Its methods are safe for concurrent
// use; those that only read take no lock.
type List struct {
	log  Log
	opts Options

	view atomic.Pointer[view]
	mu   sync.Mutex // of those who write view

	current atomic.Int64 // unix nanoseconds of the last contact; 0 before the first
	refused atomic.Uint64
}

// view is one immutable state of the list: a large map that is seldom made
// anew, and what came since.
type view struct{ base, recent map[key]mark }

// NewList makes a list over a log. It knows nothing before Run.
func NewList(log Log, o Options) *List {
	if o.Now == nil {
		o.Now = time.Now
	}
	l := &List{log: log, opts: o}
	l.view.Store(&view{})
	return l
}

func (v *view) find(k key) (mark, bool) {
	m, ok := v.base[k]
	if len(v.recent) > 0 {
		if newer, found := v.recent[k]; found {
			return m.join(newer), true
		}
	}
	return m, ok
}

// Revoked reports whether a token with these claims is revoked: itself, its
// session, or its subject up to a moment that is not before iat.
func (l *List) Revoked(issuer, jti, sid, sub string, iat time.Time) bool {
	v := l.view.Load()
	if len(v.base) == 0 && len(v.recent) == 0 {
		return false
	}
	now := l.opts.Now().Unix()
	if jti != "" && v.holds(key{Token, issuer, jti}, now) || sid != "" && v.holds(key{Session, issuer, sid}, now) {
		return true
	}
	m, ok := v.find(key{Subject, issuer, sub})
	return ok && m.expires > now && iat.Unix() <= m.moment
}

func (v *view) holds(k key, now int64) bool {
	m, ok := v.find(k)
	return ok && m.expires > now
}

// SessionRevoked reports whether the session is revoked.
func (l *List) SessionRevoked(issuer, sid string) bool {
	return l.view.Load().holds(key{Session, issuer, sid}, l.opts.Now().Unix())
}

// SubjectMoment returns the moment up to which everything that the subject was
// issued is revoked.
func (l *List) SubjectMoment(issuer, sub string) (time.Time, bool) {
	m, ok := l.view.Load().find(key{Subject, issuer, sub})
	if !ok || m.expires <= l.opts.Now().Unix() {
		return time.Time{}, false
	}
	return time.Unix(m.moment, 0), true
}

// Publish writes the entries to the log and returns nil once they are
// acknowledged; from then on this list knows them too.
func (l *List) Publish(ctx context.Context, entries ...Entry) error {
	for _, e := range entries {
		if err := e.check(); err != nil {
			return err
		}
	}
	if len(entries) == 0 {
		return nil
	}
	if err := l.log.Append(ctx, entries); err != nil {
		return fmt.Errorf("revocation: publishing: %w", err)
	}
	l.Apply(entries)
	return nil
}

// mergeAt is how many recent entries are kept apart at most, when the base is
// small; a large base is made anew less often.
const mergeAt = 256

// Apply implements Sink.
func (l *List) Apply(entries []Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, now := l.view.Load(), l.opts.Now().Unix()
	next := &view{base: old.base, recent: make(map[key]mark, len(old.recent)+len(entries))}
	for k, m := range old.recent {
		next.recent[k] = m
	}
	for _, e := range entries {
		m := e.mark()
		if m.expires <= now {
			continue
		}
		if known, ok := old.find(e.key()); ok {
			if m = m.join(known); m == known {
				continue
			}
		}
		next.recent[e.key()] = m.join(next.recent[e.key()])
	}
	if len(next.recent) > max(mergeAt, len(next.base)/16) {
		next = next.merged(now)
	}
	l.view.Store(next)
}

// merged is the view in one map, without what has expired.
func (v *view) merged(now int64) *view {
	base := make(map[key]mark, len(v.base)+len(v.recent))
	for _, part := range []map[key]mark{v.base, v.recent} {
		for k, m := range part {
			if m = m.join(base[k]); m.expires > now {
				base[k] = m
			}
		}
	}
	return &view{base: base}
}

// purge drops what has expired.
func (l *List) purge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.view.Store(l.view.Load().merged(l.opts.Now().Unix()))
}

// Known implements Sink.
func (l *List) Known() []Entry {
	v := l.view.Load().merged(l.opts.Now().Unix())
	entries := make([]Entry, 0, len(v.base))
	for k, m := range v.base {
		entries = append(entries, k.entry(m))
	}
	return entries
}

// Current implements Sink.
func (l *List) Current(asOf time.Time) {
	l.current.Store(asOf.UnixNano())
}

// Refused implements Sink.
func (l *List) Refused(n int) { l.refused.Add(uint64(n)) }

// Ready reports whether the list has been loaded once.
func (l *List) Ready() bool { return l.current.Load() != 0 }

// Stale reports whether the view is older than it may be, or was never loaded.
func (l *List) Stale(now time.Time) bool {
	current := l.current.Load()
	if current == 0 {
		return true
	}
	return l.opts.MaxStaleness > 0 && now.Sub(time.Unix(0, current)) > l.opts.MaxStaleness
}

// Stats are the list's figures.
type Stats struct {
	Entries int           // not yet expired, as far as known
	Age     time.Duration // since the last contact with the log; negative before the first
	Refused uint64        // forged or broken entries
}

// Stats returns the list's figures.
func (l *List) Stats() Stats {
	v := l.view.Load()
	s := Stats{Entries: len(v.base) + len(v.recent), Age: -1, Refused: l.refused.Load()}
	if current := l.current.Load(); current != 0 {
		s.Age = max(0, l.opts.Now().Sub(time.Unix(0, current)))
	}
	return s
}
