package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
)

// serveCommand runs what the configuration says, until it is asked to end.
type serveCommand struct {
	Config         string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	ShadowPolicies string `placeholder:"DIR" help:"Evaluate the policies of this folder beside the live ones, and record where they differ. They enforce nothing."`
}

// Run runs until the context ends. SIGHUP makes it read its files again.
func (c *serveCommand) Run(w *world) (err error) {
	log := newLog(w.stderr)
	load := func() (*config.Config, error) {
		return config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	}
	first, err := load()
	if err != nil {
		return err
	}
	st, err := openState(first.State, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	p, err := newProcess(w.ctx, processOptions{load: load, state: st, shadow: c.ShadowPolicies, hsts: true, stdout: w.stdout, log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	p.also(func(ctx context.Context) error {
		hangups := make(chan os.Signal, 1)
		signal.Notify(hangups, syscall.SIGHUP)
		defer signal.Stop(hangups)
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-hangups:
				p.reloadAndSay(ctx)
			}
		}
	})
	return p.run(w.ctx, func(addresses) error { return nil })
}
