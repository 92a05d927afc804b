package revocation

import (
	"context"
	"time"
)

// How long a list waits before it follows a log again that failed, and how often
// it drops what has expired.
const (
	retryFirst = 50 * time.Millisecond
	retryMost  = time.Second
	purgeEvery = time.Minute
)

// Run follows the log until ctx ends. A log that fails is followed again; the
// view grows stale meanwhile, and recovers by itself.
func (l *List) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.purgeUntil(ctx)
	}()
	defer func() { <-done }()
	wait := retryFirst
	failing := false
	for {
		before := l.current.Load()
		err := l.log.Follow(ctx, l)
		if ctx.Err() != nil {
			return nil
		}
		if l.current.Load() != before {
			wait, failing = retryFirst, false
		}
		if err != nil && !failing {
			l.opts.Log.Warn("the revocation log cannot be followed; trying again", "error", err)
			failing = true
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		wait = min(2*wait, retryMost)
	}
}

func (l *List) purgeUntil(ctx context.Context) {
	ticker := time.NewTicker(purgeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.purge()
		}
	}
}
