package main

import (
	"fmt"
	"os"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
)

// checkCommand reads everything that a server would read, and starts nothing.
type checkCommand struct {
	Config    string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	NoSecrets bool   `help:"Leave out values whose environment variables or files are not here, as in CI."`
}

// Run says what is wrong, all of it, or that nothing is.
func (c *checkCommand) Run(w *commandEnv) error {
	cfg, err := config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile, NoSecrets: c.NoSecrets})
	if err != nil {
		return err
	}
	gen, err := generation.Check(cfg, c.NoSecrets)
	if err != nil {
		return err
	}
	if err := c.warn(w, gen); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%s: good; policies for %d host(s)\n", c.Config, len(gen.PolicyHosts()))
	return err
}

// warn says which hosts no certificate is for: they would be answered 421.
func (c *checkCommand) warn(w *commandEnv, gen *generation.Generation) error {
	covers := generation.Covers(gen.Config, gen.Files)
	for _, host := range gen.ServedHosts() {
		if !covers(host) {
			if _, err := fmt.Fprintf(w.stderr, "%s: warning: no certificate is for the host %s\n", c.Config, host); err != nil {
				return err
			}
		}
	}
	return nil
}
