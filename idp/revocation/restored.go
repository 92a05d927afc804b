package revocation

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed restored.lua
	restoredText string

	restoredScript = redis.NewScript(restoredText)
)

// keyRestored is there while an identity provider says that Redis holds all that its database does. It goes with what Redis
// loses, and ends by itself where nobody says so any more. It names the process of Redis that it was said of: one that came
// back with a snapshot is not believed.
// It holds nothing secret, and who forges it has gateways start a moment too early: what is missing is put back all the same.
const keyRestored = "vilogate:{fleet}:revocation:restored"

// restorePoll is how often who waits for it looks.
const restorePoll = 100 * time.Millisecond

// markRestored says that Redis holds all that is known, for a while.
func (r *Redis) markRestored(ctx context.Context, life time.Duration) error {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	return restoredScript.Run(ctx, r.client, []string{keyRestored}, life.Milliseconds()).Err()
}

func (r *Redis) isRestored(ctx context.Context) (bool, error) {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	return restoredScript.Run(ctx, r.client, []string{keyRestored}, 0).Bool()
}

// awaitRestored waits until the identity provider has put back what Redis may have lost, where this process cannot do that
// itself; once, and for so long at most. Only Follow's goroutine calls it.
func (r *Redis) awaitRestored(ctx context.Context) error {
	for r.awaitRestore {
		restored, err := r.isRestored(ctx)
		if err != nil {
			return err
		}
		now := r.now()
		if r.answeredAt.IsZero() {
			r.answeredAt = now
		}
		switch {
		case restored:
			r.awaitRestore = false
		case age(r.answeredAt, now) >= r.restoreTimeout:
			r.awaitRestore = false
			r.log.Warn("the identity provider has not confirmed that Redis holds all revocations; going on with what Redis holds", "waited", r.restoreTimeout)
		default:
			if !sleep(ctx, restorePoll) {
				return ctx.Err()
			}
			continue
		}
		r.unrestored.Store(!restored)
	}
	return nil
}

// checkRestored looks again where the wait was in vain.
func (r *Redis) checkRestored(ctx context.Context) error {
	if !r.unrestored.Load() {
		return nil
	}
	restored, err := r.isRestored(ctx)
	if restored {
		r.unrestored.Store(false)
		r.log.Info("the identity provider has confirmed that Redis holds all revocations")
	}
	return err
}

// Unrestored reports whether this process follows a Redis of which no identity provider has said that it holds all revocations.
func (r *Redis) Unrestored() bool { return r.unrestored.Load() }
