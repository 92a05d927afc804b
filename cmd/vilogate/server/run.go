package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"golang.org/x/sync/errgroup"
)

// readyTimeout is how long readiness checks, on Redis and on another process's keys, may fail before the log says which. The
// process serves what it can in any case.
const readyTimeout = 10 * time.Second

// Run serves until ctx ends, then drains and returns nil; it returns earlier when a part of the process fails. announce is
// called when every listener accepts and /readyz says ready, before the line `ready`.
func (s *Server) Run(ctx context.Context, announce func(Addresses) error) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.group, s.background = errgroup.WithContext(background)
	s.replacing.Lock()
	s.commit(s.current.Load())
	s.replacing.Unlock()
	for _, task := range s.tasks {
		s.start(task)
	}
	s.serve()
	s.group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-s.background.Done():
		}
		defer stop()
		return s.drain()
	})
	s.group.Go(func() error { return s.announce(ctx, announce) })
	return s.group.Wait()
}

// start runs a task until the process has drained; its error ends the process.
func (s *Server) start(task func(context.Context) error) {
	s.group.Go(func() error { return ignoreCanceled(s.background, task(s.background)) })
}

// serve starts whatever listens.
func (s *Server) serve() {
	s.group.Go(s.control.Serve)
	if s.edge != nil {
		s.group.Go(s.edge.Serve)
	}
	if s.forwardAuth != nil {
		s.group.Go(s.forwardAuth.Serve)
	}
	for _, plain := range s.servers {
		for _, l := range plain.listeners {
			s.group.Go(func() error {
				if err := plain.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("serving on %s: %w", l.Addr(), err)
				}
				return nil
			})
		}
	}
}

// announce writes down where the process listens, waits until it is ready, and says so.
func (s *Server) announce(ctx context.Context, announce func(Addresses) error) error {
	at := s.listeners.addresses()
	at.CA, at.PublicPort, at.OnlyIPv4 = s.caPath, s.builder.PublicPort, len(s.listeners.https) == 1
	data, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return err
	}
	if err := s.o.State.Write(state.Addresses, append(data, '\n')); err != nil {
		return err
	}
	if !s.waitReady(ctx) {
		return nil
	}
	if s.source != nil {
		at.NotAfter = s.source.NotAfter()
	}
	if err := announce(at); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.o.Stdout, "ready")
	return err
}

// waitReady waits until /readyz says ready, and reports whether it did before ctx ended. What is missing for long is logged.
func (s *Server) waitReady(ctx context.Context) bool {
	logAt := time.Now().Add(readyTimeout)
	for {
		missing := s.ready.missing()
		if len(missing) == 0 {
			return ctx.Err() == nil
		}
		if !logAt.IsZero() && time.Now().After(logAt) {
			for _, name := range slices.Sorted(maps.Keys(missing)) {
				s.o.Log.Warn("readiness check failing, serving what is possible", "check", name, "error", missing[name])
			}
			logAt = time.Time{}
		}
		if !wait(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// drain shuts the process down gracefully: not ready any more, but still accepting for the delay, so that load balancers
// notice; then requests in flight may finish.
func (s *Server) drain() error {
	s.ready.draining.Store(true)
	d := s.Config().Drain
	s.o.Log.Info("draining", "delay", d.Delay.Std(), "timeout", d.Timeout.Std())
	ctx := context.WithoutCancel(s.background)
	if s.edge != nil {
		if err := s.edge.Drain(ctx, d.Delay.Std(), d.Timeout.Std()); err != nil {
			s.o.Log.Warn("drained", "error", err)
		}
	} else {
		wait(ctx, d.Delay.Std())
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout.Std())
	defer cancel()
	err := s.control.Close()
	if s.forwardAuth != nil {
		if err := s.forwardAuth.Drain(ctx); err != nil {
			s.o.Log.Warn("drained", "error", err)
		}
	}
	for _, plain := range slices.Backward(s.servers) {
		if plain.Shutdown(ctx) != nil {
			err = errors.Join(err, plain.Close())
		}
	}
	return err
}

// openServers makes the admin listener, and in an IdP alone also the one that its gateway asks.
func (s *Server) openServers() error {
	var keys func() []byte
	if s.assertionKeys != nil {
		keys = s.assertionKeys.bytes
	}
	limits := s.Config().Limits
	admin := adminHandler(&s.ready, s.metrics.Handler(), keys, s.status, func() []string { return s.Config().AdminHosts })
	s.servers = append(s.servers, newPlainServer(admin, s.listeners.admin, limits, s.o.Log))
	if idp := s.idp.Load(); idp != nil && s.gateway == nil {
		handler, err := s.idpHandler(s.Config(), idp)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, newPlainServer(handler, s.listeners.idp, limits, s.o.Log))
	}
	return nil
}
