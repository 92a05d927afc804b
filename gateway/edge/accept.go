package edge

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"
)

// maxBackoff is the longest backoff after a temporary error, such as too many
// open files.
const maxBackoff = time.Second

// accept serves the connections of l, each in a goroutine of its own, until ctx ends and l is
// closed. The error is that of a listener that fails.
func accept(ctx context.Context, l net.Listener, serve func(net.Conn), log *slog.Logger) error {
	backoff := 5 * time.Millisecond
	for {
		c, err := l.Accept()
		var temporary interface{ Temporary() bool }
		switch {
		case err == nil:
			backoff = 5 * time.Millisecond
			go serve(c)
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
