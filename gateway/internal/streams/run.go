package streams

import (
	"context"
	"sync"
	"time"
)

// A stream is registered when it is as old as minAge, which is looked at as often. So it ends well within a second of a
// revocation of the moment in which it was admitted.
const minAge = 250 * time.Millisecond

// recheckBatch is how many streams are checked before revocations are looked at again.
const recheckBatch = 64

// Run registers streams that go on for long, and ends what is to be ended, until ctx ends. It is to be called once.
func (i *Index) Run(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	if i.o.Sessions != nil {
		asking.Go(func() { i.checkSessions(ctx) })
	}
	ticker := time.NewTicker(minAge)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			i.sweep(i.o.Now().Add(-minAge))
		case <-i.work:
		}
		i.endRevoked()
		if i.recheck.Swap(false) {
			i.recheckAll()
		}
	}
}

// sweep registers the streams that began at a moment or before.
func (i *Index) sweep(moment time.Time) {
	for n := range i.young {
		h := &i.young[n]
		var found []*entry
		h.mu.Lock()
		for s := h.since(moment); s != nil; s = h.since(moment) {
			found = append(found, i.register(h, s))
		}
		h.mu.Unlock()
		for _, e := range found {
			i.check(e)
		}
	}
}

// endRevoked ends what Revoke has found.
func (i *Index) endRevoked() {
	i.mu.Lock()
	found := i.revoked
	i.revoked = nil
	i.mu.Unlock()
	for _, e := range found {
		i.end(e, Revoked)
	}
}

// recheckAll ends the streams that the policies in force do not admit.
func (i *Index) recheckAll() {
	for n, e := range i.registered() {
		if n%recheckBatch == 0 {
			i.endRevoked()
		}
		if !e.holder.Admitted() {
			i.end(e, Policy)
		}
	}
}

func (i *Index) registered() []*entry {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.entries.of(all, key{}, nil)
}
