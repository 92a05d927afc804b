package streams

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
)

// Sessions knows whether the sessions of our own identity provider live. Safe for concurrent use.
type Sessions interface {
	// SessionActive reports whether the session lives, for whoever has a token with this iat, and when to ask again. An
	// error means that this is not known.
	SessionActive(ctx context.Context, sid string, issued time.Time) (active bool, until time.Time, err error)
}

// Options are what an Index is made of.
type Options struct {
	// Revoked asks the revocation list about a token.
	Revoked func(*Owner) bool
	// Sessions is asked about sessions. Optional: streams outlive their tokens unasked.
	Sessions Sessions
	// Now is the clock.
	Now func() time.Time
}

// An Index knows the streams of one gateway. Safe for concurrent use.
type Index struct {
	o     Options
	young [shards]shard

	mu      sync.Mutex    // is taken after that of a shard
	entries entries       // guarded by mu
	checks  sessionChecks // guarded by mu
	revoked []*entry      // that are to be told; guarded by mu
	drained bool          // guarded by mu: whatever is registered ends
	empty   chan struct{}
	// empty is closed when the last entry goes, where Drain waits for it; guarded by mu.

	recheck        atomic.Bool   // the entries are to be checked against the policies
	work, checkDue chan struct{} // there is something to do, or a check is due earlier; one message is enough
}

// New returns an index that knows no stream.
func New(o Options) *Index {
	return &Index{
		o: o, entries: newEntries(), checks: sessionChecks{bySession: map[key]*sessionCheck{}},
		work: make(chan struct{}, 1), checkDue: make(chan struct{}, 1),
	}
}

// Begin makes s known, as a request of h that has begun now. It is to be finished.
func (i *Index) Begin(s *Stream, h Holder, now time.Time) {
	s.holder, s.begun = h, now
	s.shard = uint8(now.Nanosecond()>>8) % shards
	young := &i.young[s.shard]
	young.mu.Lock()
	young.add(s)
	young.mu.Unlock()
}

// Register has s found by its owner from now on, as a stream that goes on for long: what has ended since it was
// admitted ends it at once. Run does so after a while; a second call does nothing.
func (i *Index) Register(s *Stream) {
	young := &i.young[s.shard]
	young.mu.Lock()
	e := i.register(young, s)
	young.mu.Unlock()
	i.check(e)
}

// register moves a young stream to the entries; nil for any other. The lock of its shard is held.
func (i *Index) register(h *shard, s *Stream) *entry {
	if s.state != young {
		return nil
	}
	h.remove(s)
	e := &entry{holder: s.holder, owner: s.holder.Owner()}
	s.state, s.entry = registered, e
	i.mu.Lock()
	defer i.mu.Unlock()
	i.entries.add(e)
	if i.o.Sessions == nil || !e.owner.Own || e.owner.Session == "" {
		return e
	}
	session := e.owner.keys()[bySession]
	if q := i.checks.bySession[session]; q == nil || !q.covers(&e.owner) {
		if i.checks.schedule(session, e.owner.Expires) {
			signal(i.checkDue)
		}
	}
	return e
}

// check ends what would not be admitted any more when it was registered.
func (i *Index) check(e *entry) {
	switch {
	case e == nil:
	case e.owner.Issuer != "" && i.o.Revoked(&e.owner):
		i.end(e, Revoked)
	case !e.holder.Admitted():
		i.end(e, Policy)
	case i.isDrained():
		i.end(e, Drain)
	}
}

func (i *Index) isDrained() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.drained
}

// end tells a stream to end.
func (i *Index) end(e *entry, cause Cause) {
	i.mu.Lock()
	ended := e.ended
	e.ended = true
	i.mu.Unlock()
	if !ended {
		e.holder.End(cause)
	}
}

// Finish forgets s, whose request has ended.
func (i *Index) Finish(s *Stream) {
	h := &i.young[s.shard]
	h.mu.Lock()
	defer h.mu.Unlock()
	switch s.state {
	case young:
		h.remove(s)
	case registered:
		i.forget(s.entry)
		s.state, s.entry = unknown, nil
	}
}

func (i *Index) forget(e *entry) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.entries.remove(e)
	if session := e.owner.keys()[bySession]; i.entries.heads[bySession][session] == nil {
		i.checks.drop(session)
	}
	if i.empty != nil && i.entries.count == 0 {
		close(i.empty)
		i.empty = nil
	}
}

// Revoke ends the streams that an entry of the revocation list is about, which is in the list already. It does not wait
// for them, nor for anything else.
func (i *Index) Revoke(r revocation.Entry) {
	by := bySession
	switch r.Kind {
	case revocation.Token:
		by = byToken
	case revocation.Subject:
		by = bySubject
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	found := i.entries.of(by, key{r.Issuer, r.ID}, func(e *entry) bool { return i.o.Revoked(&e.owner) })
	if len(found) > 0 {
		i.revoked = append(i.revoked, found...)
		signal(i.work)
	}
}

// Recheck has every stream checked against the policies that are in force now, and those ended that they do not admit. It does not
// wait for that.
func (i *Index) Recheck() {
	i.recheck.Store(true)
	signal(i.work)
}

// Len is how many streams are registered.
func (i *Index) Len() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.entries.count
}

// signal leaves a message where none is waiting.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
