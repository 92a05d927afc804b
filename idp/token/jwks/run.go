package jwks

import (
	"context"
	"time"
)

// Run fetches until ctx ends: at once, then every Interval, and earlier when
// an unknown kid asked for it or a fetch failed, but never twice within MinRefresh
// once there are keys. It returns ctx's error.
func (r *Remote) Run(ctx context.Context) error {
	backoff := min(minBackoff, r.config.MinRefresh)
	for {
		err := r.refresh(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		interval := r.config.MinRefresh
		if !r.Ready() {
			interval = backoff
			backoff = min(2*backoff, r.config.MinRefresh)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(interval):
		}
		if err != nil {
			continue
		}
		if !r.waitForRefresh(ctx, r.config.Interval-interval) {
			return ctx.Err()
		}
	}
}

// waitForRefresh waits for the next interval or a request for a refresh. It reports
// whether there is one.
func (r *Remote) waitForRefresh(ctx context.Context, rest time.Duration) bool {
	timer := time.NewTimer(max(rest, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
	case <-r.refreshRequested:
	}
	return true
}

// refresh fetches once. A failure leaves the keys as they are, and is logged
// when it is a new one.
func (r *Remote) refresh(ctx context.Context) error {
	before := r.Status()
	if news, example := r.unknown.begin(); news > 0 {
		r.config.Log.Info("JWKS refresh for unknown kids", "address", r.source(), "kids", news, "kid", example)
	}
	defer r.unknown.end() // the keys are in force by then
	set, err := r.fetch(ctx)
	if err != nil {
		if ctx.Err() == nil {
			r.status.Store(&Status{Keys: before.Keys, Malformed: before.Malformed, LastSuccess: before.LastSuccess, Err: err})
			if before.Err == nil || before.Err.Error() != err.Error() {
				r.config.Log.Warn("JWKS fetch failed, keeping the cached keys", "address", r.source(), "error", err, "keys", before.Keys)
			}
		}
		return err
	}
	r.keys.Store(set)
	r.status.Store(&Status{Keys: set.Len(), Malformed: set.malformed, LastSuccess: r.config.Now()})
	if before.Err != nil || before.LastSuccess.IsZero() || before.Malformed != set.malformed {
		r.config.Log.Info("JWKS fetched", "address", r.source(), "keys", set.Len(), "malformed", set.malformed)
	}
	return nil
}
