package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
)

// checkCommand reads everything that a server would read, and starts nothing.
type checkCommand struct {
	Config    string `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	NoSecrets bool   `help:"Leave out values whose environment variables or files are not here, as in CI."`
	Strict    bool   `help:"Make warnings errors: exit 1 where there is one."`
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
	warnings := c.warnings(gen, time.Now())
	for _, warning := range warnings {
		if _, err := fmt.Fprintln(w.stderr, warning); err != nil {
			return err
		}
	}
	if c.Strict && len(warnings) > 0 {
		return fmt.Errorf("%s: %d warning(s), and with --strict none is allowed", c.Config, len(warnings))
	}
	_, err = fmt.Fprintf(w.stdout, "%s: good; policies for %d host(s)\n", c.Config, len(gen.PolicyHosts()))
	return err
}

// warnings say which hosts no certificate is for (they would be answered 421), which certificates clients refuse, or soon
// will, which keys of other issuers are not used, that a login page needs a login, and that a process started as this one may open too few files.
func (c *checkCommand) warnings(gen *generation.Generation, now time.Time) (lines []string) {
	covers := generation.Covers(gen.Config, gen.Files)
	for _, host := range gen.ServedHosts() {
		if !covers(host) {
			lines = append(lines, fmt.Sprintf("%s: warning: no certificate is for the host %s", c.Config, host))
		}
	}
	for _, e := range slices.Concat(gen.CertificateWarnings(now), gen.LoginWarnings(now), gen.Config.KeyWarnings()) {
		lines = append(lines, fmt.Sprintf("%s: warning: %s", e.Place, e.Msg))
	}
	if gen.Config.Gateway() {
		if warning := server.AllocateDescriptors(gen.Config).Warning(gen.Config); warning != "" {
			lines = append(lines, fmt.Sprintf("%s: warning: %s", c.Config, warning))
		}
	}
	return lines
}
