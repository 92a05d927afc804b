package server

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// publishInterval is how often a gateway renews the lease of its published key, which expires otherwise.
const publishInterval = 20 * time.Second

// keyRegistry is where the gateways of a fleet publish their public assertion keys. Both methods end with their context.
type keyRegistry interface {
	// PublishKey makes a key known to the others for a while.
	PublishKey(ctx context.Context, jwk []byte) error
	// FollowKeys calls f with all keys that are known, and again whenever they change.
	FollowKeys(ctx context.Context, f func([][]byte)) error
}

// assertionKeys are the public keys that backends may meet: this gateway's own, and its peers'.
type assertionKeys struct {
	own       token.PublicKey
	set       atomic.Pointer[[]byte] // a JWK set, ready to be served
	published atomic.Bool            // ours was published at least once
	failure   atomic.Pointer[error]  // why ours is not published; nil where that is not known
}

func newAssertionKeys(own token.PublicKey) *assertionKeys {
	k := &assertionKeys{own: own}
	k.store(nil)
	return k
}

// bytes is the set as it is served. Nobody may change it.
func (k *assertionKeys) bytes() []byte { return *k.set.Load() }

// store makes the set of our own key and those of others that can be read.
func (k *assertionKeys) store(others [][]byte) {
	all := []token.PublicKey{k.own}
	seen := map[string]bool{k.own.ID(): true}
	joined := append(append([]byte(`{"keys":[`), bytes.Join(others, []byte(","))...), "]}"...)
	if peers, err := token.ParseSet(joined); err == nil {
		for _, key := range peers {
			if !seen[key.ID()] {
				seen[key.ID()] = true
				all = append(all, key)
			}
		}
	}
	set := token.MarshalSet(all)
	k.set.Store(&set)
}

// publish publishes our key again and again until ctx ends. While the registry is unreachable it is retried.
func (k *assertionKeys) publish(ctx context.Context, to keyRegistry, log *slog.Logger) error {
	logged := false
	for {
		err := to.PublishKey(ctx, k.own.JSON())
		switch {
		case err == nil:
			k.published.Store(true)
			logged = false
			k.failure.Store(nil)
		case ctx.Err() == nil:
			k.failure.Store(&err)
			if logged {
				break
			}
			log.Warn("publishing the assertion key failed, retrying", "error", err)
			logged = true
		}
		delay := publishInterval
		if err != nil {
			delay = time.Second
		}
		if !wait(ctx, delay) {
			return nil
		}
	}
}

// follow keeps the set current until ctx ends. While the registry is unreachable, known keys stay cached.
func (k *assertionKeys) follow(ctx context.Context, from keyRegistry, log *slog.Logger) error {
	for {
		if err := from.FollowKeys(ctx, k.store); err != nil && ctx.Err() == nil {
			log.Warn("following the assertion keys of peers failed, retrying", "error", err)
		}
		if !wait(ctx, time.Second) {
			return nil
		}
	}
}

// check says whether backends that ask another gateway can verify what this one signs.
func (k *assertionKeys) check() error {
	if !k.published.Load() {
		var reason error
		if failure := k.failure.Load(); failure != nil {
			reason = *failure
		}
		return withReason("the key of this gateway is not published yet", reason)
	}
	return nil
}

// wait waits for a while, and reports whether ctx has not ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
