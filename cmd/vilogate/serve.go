package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/handover"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
)

// serveCommand runs what the configuration says, until it is asked to end.
type serveCommand struct {
	Config         string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	ShadowPolicies string `placeholder:"DIR" help:"Evaluate the policies of this folder beside the live ones, and record where they differ. They enforce nothing."`

	HandoverTimeout time.Duration `default:"1m" placeholder:"TIME" help:"How long a new process has to become ready at a handover (SIGUSR2) before it is ended, and this one goes on; default: 1m."`
}

// Help is what --help says besides.
func (c *serveCommand) Help() string {
	return `Signals: SIGTERM and SIGINT drain, and end the process. SIGHUP has it read its files again, as vilogate reload does. SIGUSR2 starts the
program again, as it is on disk now, has it take over all listeners, and drains, without a refused connection; where users or
revocations are kept in the state folder it is refused, and systemd's socket activation with a restart does the same.`
}

// Run runs until the context ends, or another process has taken over. SIGHUP makes it read its files again.
func (c *serveCommand) Run(w *commandEnv) (err error) {
	hangups, takeovers := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(takeovers, syscall.SIGUSR2) // which would end the process
	defer signal.Stop(hangups)
	defer signal.Stop(takeovers)
	log := newLog(w.stderr)
	defer log.close()
	load := func() (*config.Config, error) {
		return config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	}
	first, err := load()
	if err != nil {
		return err
	}
	inherited, err := handover.Inherit(w.getenv)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, inherited.Close()) }()
	st, err := state.Share(first.State, true, inherited.Take(handover.StateLock))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := server.New(w.ctx, server.Options{Load: load, State: st, Shadow: c.ShadowPolicies, HSTS: true, Stdout: w.stdout, Log: log.Logger, LogDropped: log.dropped, Inherited: inherited, Notify: handover.NewNotifier(w.getenv)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.AddTask(func(ctx context.Context) error { return onSignal(ctx, hangups, s.ReloadAndLog) })
	s.AddTask(func(ctx context.Context) error {
		return onSignal(ctx, takeovers, func() { c.handOver(w, s, log.Logger) })
	})
	return s.Run(w.ctx, func(server.Addresses) error { return nil })
}

// handOver has a new process take over, and logs why none has.
func (c *serveCommand) handOver(w *commandEnv, s *server.Server, log *slog.Logger) {
	err := handover.Outlived(w.getenv)
	if err == nil {
		err = s.HandOver(w.ctx, c.HandoverTimeout)
	}
	if err != nil {
		log.Error("not handed over; this process goes on", "error", err)
	}
}

// onSignal calls f at each signal, and returns when ctx has ended and every call has returned.
func onSignal(ctx context.Context, signals <-chan os.Signal, f func()) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-signals:
			all.Go(f)
		}
	}
}
