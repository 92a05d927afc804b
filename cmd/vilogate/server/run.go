package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"syscall"
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
	if s.active.Load() {
		s.group.Go(s.control.Serve)
		s.serve()
	}
	s.group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-s.transfer.done:
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

// serve starts whatever listens, the control socket apart.
func (s *Server) serve() {
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

// announce writes down where the process listens, waits until it is ready, and says so. Where it takes over from another, that is
// waited for first.
func (s *Server) announce(ctx context.Context, announce func(Addresses) error) error {
	at := s.listeners.addresses()
	at.CA, at.PublicPort, at.OnlyIPv4 = s.caPath, s.builder.PublicPort, len(s.listeners.https) == 1
	data, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return err
	}
	data = append(data, '\n')
	if s.active.Load() {
		if err := s.unlessFull(s.o.State.Write(state.Addresses, data)); err != nil {
			return err
		}
		if !s.waitReady(ctx) {
			return nil
		}
	} else {
		if taken, err := s.takeOver(ctx); !taken {
			return err
		}
		s.recordTakeover(data)
	}
	s.notifyReady()
	if s.source != nil {
		at.NotAfter = s.source.NotAfter()
	}
	if err := announce(at); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.o.Stdout, "ready")
	return err
}

// takeOver takes over from the process that has started this one, once this one is ready. It is false where that came to
// nothing: ctx has ended, or the error says why.
func (s *Server) takeOver(ctx context.Context) (bool, error) {
	if !s.waitReady(ctx) {
		return false, nil
	}
	s.serve()
	if err := s.o.Inherited.Predecessor.Ready(ctx); err != nil {
		return false, ignoreCanceled(ctx, err)
	}
	s.group.Go(s.control.Serve)
	s.group.Go(func() error {
		err := s.o.Inherited.Predecessor.Wait(s.background)
		close(s.transfer.http3Free)
		return ignoreCanceled(s.background, err)
	})
	return true, nil
}

// recordTakeover writes down that this process is in charge, and where it listens. That is for commands: the process before gives up
// everything by now, so that this one serves on where it cannot be written, as where the disk is full.
func (s *Server) recordTakeover(addresses []byte) {
	err := s.o.State.Write(state.Addresses, addresses)
	s.active.Store(true)
	if err := errors.Join(err, s.recordConfig(), s.o.State.Claim()); err != nil {
		s.o.Log.Error("this process has taken over, and the state folder does not say so", "error", err)
	}
}

// recordConfig writes down which configuration the folder is served with, for commands that stand in for a server.
func (s *Server) recordConfig() error {
	path, err := filepath.Abs(s.Config().Path)
	if err != nil {
		return err
	}
	return s.o.State.Write(state.Config, []byte(path+"\n"))
}

// unlessFull passes an error of writing the state folder on, unless the disk is full. What is written there is for commands: a process
// that is started again serves without it, as one that takes over does.
func (s *Server) unlessFull(err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	s.o.Log.Error("the disk is full: this process serves, but could not write its files for commands into the state folder; make room, and restart it", "error", err)
	return nil
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
			s.notifyReady()
			logAt = time.Time{}
		}
		if !wait(ctx, 10*time.Millisecond) {
			return false
		}
	}
}

// socketDrainTimeout is how long, at most, connections stay in the backlog of an activated process that ends and does not accept any more.
const socketDrainTimeout = 2 * time.Second

// drain shuts the process down gracefully: not ready any more, but still accepting for the delay, so that load balancers
// notice; then requests in flight may finish. Where another process has taken over, that one accepts, and is asked whether it is
// ready; the rest is the same. Where systemd holds the sockets, whoever connects waits for the process to end: it goes on accepting
// until what takes long has finished, and the rest has socketDrainTimeout.
func (s *Server) drain() error {
	d := s.Config().Drain
	delay, timeout := d.Delay.Std(), d.Timeout.Std()
	s.o.Log.Info("draining", "delay", delay, "timeout", timeout)
	ctx := context.WithoutCancel(s.background)
	var plain errgroup.Group
	if s.transfer.handedOver() {
		plain.Go(func() error { return s.shutdownPlain(ctx, timeout) })
	} else {
		s.notifySystemd(s.o.Notify.Stopping)
		s.ready.draining.Store(true)
	}
	if s.edge != nil {
		if s.isSocketActivated() && !s.transfer.handedOver() {
			s.edge.EndKept()
			wait(ctx, delay)
			s.awaitStreams(ctx, timeout)
			delay, timeout = 0, min(socketDrainTimeout, timeout)
		}
		if err := s.edge.Drain(ctx, delay, timeout); err != nil {
			s.o.Log.Warn("drained", "error", err)
		}
	} else {
		wait(ctx, delay)
	}
	err := errors.Join(s.control.Close(), plain.Wait())
	return errors.Join(err, s.shutdownPlain(ctx, timeout))
}

// awaitStreams waits until no request is under way for more than a moment, or the time is over.
func (s *Server) awaitStreams(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for s.gateway.OpenStreams() > 0 && wait(ctx, 20*time.Millisecond) {
	}
}

// shutdownPlain shuts down what serves plain HTTP to this machine or to a gateway.
func (s *Server) shutdownPlain(ctx context.Context, timeout time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
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
