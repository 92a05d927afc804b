package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"time"
)

// maxBackoff is the longest backoff after a temporary error, such as too many
// open files.
const maxBackoff = time.Second

// accept serves the connections of l, each in a goroutine of its own that all counts, until ctx ends and l is
// closed. The error is that of a listener that fails.
func accept(ctx context.Context, l net.Listener, serve func(net.Conn), all *connections, log *slog.Logger) error {
	backoff := 5 * time.Millisecond
	for {
		c, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			backoff = 5 * time.Millisecond
			all.begin(1)
			go func() {
				defer all.end()
				defer endPanic(c, log)
				serve(c)
			}()
			continue
		case ctx.Err() != nil:
			return nil
		case !errors.As(err, &temporary) || !temporary.Temporary():
			return err
		}
		log.Warn("accept failed, retrying", "error", err)
		timer := time.NewTimer(backoff)
		backoff = min(2*backoff, maxBackoff)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// endPanic has a panic end the connection that it is about, and no other: requests have their own, and this is of what is done
// besides, as choosing a certificate.
func endPanic(c net.Conn, log *slog.Logger) {
	if cause := recover(); cause != nil {
		log.Error("panic on a connection", "panic", cause, "stack", string(debug.Stack()))
		_ = c.Close() // it may be closed
	}
}
