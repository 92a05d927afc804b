package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
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
	var hosts []string
	if cfg.Gateway() {
		if hosts, err = checkPolicies(cfg); err != nil {
			return err
		}
	}
	if pairs := certificatePairs(cfg); len(pairs) > 0 && !c.NoSecrets {
		if err := c.checkCertificates(w, pairs, hosts); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(w.stdout, "%s: good; policies for %d host(s)\n", c.Config, len(hosts))
	return err
}

// checkPolicies compiles the policies, runs their tests, and returns the hosts that they are for.
func checkPolicies(cfg *config.Config) ([]string, error) {
	if cfg.Domain == "" || cfg.Policies == "" {
		return nil, errors.New("`domain` and `policies` come from the environment; without them, nothing of the policies can be checked")
	}
	files, err := readPolicies(cfg.Policies)
	if err != nil {
		return nil, err
	}
	set, err := policies.Compile(files, policyOptions(cfg, publicPort(cfg, cfg.Listen.HTTPS.Port())))
	if err != nil {
		return nil, err
	}
	return set.Hosts(), nil
}

// checkCertificates reads the certificates and their keys. A host that none is for is worth a warning: it is answered 421.
func (c *checkCommand) checkCertificates(w *world, pairs []edge.Pair, hosts []string) error {
	files, err := edge.OpenFiles(pairs, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	for _, host := range hosts {
		if !files.Covers(strings.Replace(host, "*", "any", 1)) {
			if _, err := fmt.Fprintf(w.stderr, "%s: warning: no certificate is for the host %s\n", c.Config, host); err != nil {
				return err
			}
		}
	}
	return nil
}
