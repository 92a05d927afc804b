package edge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// handshakeGrace is how long handshakes may take that are under way when the accepting ends: their clients were let in.
const handshakeGrace = 2 * time.Second

// EndKept has every further answer over HTTP/1 say that its connection ends. Drain does so first.
func (s *Server) EndKept() { s.http1.Drain() }

// StopAccepting closes the listeners of TCP, of which another process may have copies: then it has those connections that wait to
// be accepted. Drain does the rest.
func (s *Server) StopAccepting() error {
	s.EndKept()
	return s.closeListeners()
}

// EndHTTP3 ends HTTP/3 before the rest: clients are told (GOAWAY), requests under way have timeout to finish, and the sockets are
// closed.
func (s *Server) EndHTTP3(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.http3.Shutdown(ctx); err != nil {
		return fmt.Errorf("edge: requests over HTTP/3 were cut off: %w", err)
	}
	return nil
}

// Drain takes the server down: for delay it goes on accepting, so that load
// balancers notice; then it says GOAWAY, and what is in flight has timeout to
// finish, what has been upgraded too. The error says what was cut off.
func (s *Server) Drain(ctx context.Context, delay, timeout time.Duration) error {
	s.EndKept()
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	closed := s.closeListeners()
	defer time.AfterFunc(handshakeGrace, s.cancelBase).Stop()
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		if s.opts.Drain != nil {
			s.opts.Drain(ctx)
		}
	})
	defer stop() // where nothing was left when ctx ended
	var group errgroup.Group
	for _, each := range []interface {
		Shutdown(context.Context) error
		Close() error
	}{s.http1, s.http2, s.http3, s.plain} {
		group.Go(func() error {
			err := each.Shutdown(ctx)
			if err == nil {
				return nil
			}
			<-drained // which ends requests in their own way
			return errors.Join(fmt.Errorf("edge: requests were cut off: %w", err), each.Close())
		})
	}
	err := errors.Join(closed, group.Wait())
	// Left are connections that were upgraded, and those whose handshake was under way, which are served like the others.
	if !s.connections.wait(ctx) {
		<-drained
		err = errors.Join(err, s.closeAll())
	}
	return err
}
