package server

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/handover"
)

const (
	// provingTime is how long a new process accepts beside this one before it is in charge. Where it ends within it, this one
	// just goes on.
	provingTime = 2 * time.Second
	// http3Time is how long requests over HTTP/3 have at a handover: meanwhile nobody takes new connections, whose clients try
	// again for some seconds.
	http3Time = 2 * time.Second
	// killTimeout is how long a new process that is not ready has to end, before it is killed.
	killTimeout = 2 * time.Second
)

// HandOver has a new process of the program, as it is on disk now, take over all listeners, within timeout until it is ready. Then
// this one drains, and Run returns. An error says why not, and that this process goes on: ctx ends a handover, too. It is to be
// called while the server runs.
func (s *Server) HandOver(ctx context.Context, timeout time.Duration) error {
	if !s.transfer.running.TryLock() {
		return errors.New("another handover is under way")
	}
	defer s.transfer.running.Unlock()
	if err := s.refuseHandover(); err != nil {
		return err
	}
	next, err := s.startSuccessor()
	if err != nil {
		return err
	}
	s.o.Log.Info("a new process is starting, to take over", "successor", next.PID())
	if err := s.prove(ctx, next, timeout); err != nil {
		return err
	}
	return s.giveUp(ctx, next)
}

// refuseHandover says why there cannot be two processes, nil where there can.
func (s *Server) refuseHandover() error {
	switch {
	case s.ready.draining.Load() || s.transfer.handedOver():
		return errors.New("this process drains, and ends by itself")
	case !s.active.Load():
		return errors.New("this process has not taken over yet")
	case s.stores.Embedded():
		return errors.New("this process keeps users or revocations in the database of its state folder, which one process has at a time; " +
			"let systemd hold the sockets (vilogate.socket), and restart: connections wait meanwhile")
	}
	return nil
}

// startSuccessor starts the new process, with all that it needs of this one.
func (s *Server) startSuccessor() (next *handover.Successor, err error) {
	var all []handover.Descriptor
	defer func() {
		for _, d := range all {
			err = errors.Join(err, d.File.Close())
		}
	}()
	add := func(name string, of any) error {
		conn, ok := of.(syscall.Conn)
		if !ok {
			return fmt.Errorf("%s is no socket that can be handed over", name)
		}
		d, err := handover.Duplicate(name, conn)
		if err == nil {
			all = append(all, d)
		}
		return err
	}
	if err := errors.Join(add(handover.StateLock, s.o.State.Lock()), add(handover.Control, s.control.Listener())); err != nil {
		return nil, err
	}
	for _, one := range s.listeners.named() {
		for _, l := range one.listeners {
			if err := add(one.setting, l); err != nil {
				return nil, err
			}
		}
	}
	for _, socket := range s.listeners.http3 {
		if err := add(http3Setting, socket); err != nil {
			return nil, err
		}
	}
	return handover.Start(all, s.isSocketActivated())
}

// prove waits until the new process accepts connections, and a while longer. Otherwise it has ended when prove returns.
func (s *Server) prove(ctx context.Context, next *handover.Successor, timeout time.Duration) error {
	starting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := next.AwaitReady(starting); err != nil {
		next.End(killTimeout)
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("the new process was not ready within %v, and was ended", timeout)
		}
		return fmt.Errorf("the new process did not become ready: %w", err)
	}
	if err := next.Watch(ctx, provingTime); err != nil {
		d := s.Config().Drain
		next.End(d.Delay.Std() + d.Timeout.Std() + killTimeout)
		return fmt.Errorf("the new process was ready, and did not take over: %w", err)
	}
	return nil
}

// giveUp leaves everything to the new process.
func (s *Server) giveUp(ctx context.Context, next *handover.Successor) error {
	s.control.Pause()
	if err := next.TakeOver(); err != nil {
		s.control.Resume()
		next.End(killTimeout)
		return err
	}
	err := errors.Join(s.o.Notify.Main(next.PID(), "ready"), s.control.Leave())
	s.o.Log.Info("a new process has taken over; this one drains", "successor", next.PID())
	close(s.transfer.done)
	if s.edge != nil {
		err = errors.Join(err, s.edge.StopAccepting(), s.edge.EndHTTP3(context.WithoutCancel(ctx), http3Time))
	}
	next.Release()
	if err != nil {
		s.o.Log.Warn("after the handover", "error", err)
	}
	return nil
}
