package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies"
)

// checkCommand reads everything that a server would read, and starts nothing.
type checkCommand struct {
	Config    string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	NoSecrets bool   `help:"Leave out values whose environment variables or files are not here, as in CI."`
}

// Run says what is wrong, all of it, or that nothing is.
func (c *checkCommand) Run(w *world) error {
	cfg, err := config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile, NoSecrets: c.NoSecrets})
	if err != nil {
		return err
	}
	hosts := 0
	if cfg.Gateway() {
		if cfg.Domain == "" || cfg.Policies == "" {
			return errors.New("`domain` and `policies` come from the environment; without them, nothing of the policies can be checked")
		}
		files, err := readPolicies(cfg.Policies)
		if err != nil {
			return err
		}
		set, err := policies.Compile(files, policyOptions(cfg, publicPort(cfg, cfg.Listen.HTTPS.Port())))
		if err != nil {
			return err
		}
		hosts = len(set.Hosts())
	}
	_, err = fmt.Fprintf(w.stdout, "%s: good; policies for %d host(s)\n", c.Config, hosts)
	return err
}
