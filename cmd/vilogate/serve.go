package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
)

// serveCommand runs what the configuration says, until it is asked to end.
type serveCommand struct {
	Config         string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	ShadowPolicies string `placeholder:"DIR" help:"Evaluate the policies of this folder beside the live ones, and record where they differ. They enforce nothing."`
}

// Run runs until the context ends. SIGHUP makes it read its files again.
func (c *serveCommand) Run(w *commandEnv) (err error) {
	log := newLog(w.stderr)
	defer log.close()
	load := func() (*config.Config, error) {
		return config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	}
	first, err := load()
	if err != nil {
		return err
	}
	st, err := state.Open(first.State, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	s, err := server.New(w.ctx, server.Options{Load: load, State: st, Shadow: c.ShadowPolicies, HSTS: true, Stdout: w.stdout, Log: log.Logger, LogDropped: log.dropped})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.AddTask(func(ctx context.Context) error {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangups:
				s.ReloadAndLog()
			}
		}
	})
	return s.Run(w.ctx, func(server.Addresses) error { return nil })
}
