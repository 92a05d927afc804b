package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
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
	gen, wrong := checkGeneration(cfg)
	covers, wrongFiles := c.checkCertificates(cfg)
	if err := together(wrong, checkRedis(cfg), wrongFiles); err != nil {
		return err
	}
	if err := c.warn(w, gen, covers); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%s: good; policies for %d host(s)\n", c.Config, len(gen.hosts))
	return err
}

// checkGeneration builds what a gateway would serve; of a configuration that is not known completely, the policies only.
func checkGeneration(cfg *config.Config) (*generation, error) {
	gen := &generation{cfg: cfg}
	if cfg.Gateway() && (cfg.Domain == "" || cfg.Policies == "") {
		return gen, errors.New("`domain` and `policies` come from the environment; without them, nothing of the policies can be checked")
	}
	b := builder{
		publicPort: publicPort(cfg, cfg.Listen.HTTPS.Port()), log: slog.New(slog.DiscardHandler),
		revoked: func(*token.Claims) bool { return false },
	}
	if cfg.IDP != nil {
		b.ownKeys, b.loginHandler = jwks.Static(nil), http.NotFoundHandler()
	}
	if cfg.Gateway() && cfg.Incomplete {
		_, err := b.policies(cfg, gen)
		return gen, err
	}
	return b.build(cfg, nil)
}

// checkRedis makes what would speak to Redis, and connects to nothing.
func checkRedis(cfg *config.Config) error {
	if cfg.Redis == nil || cfg.Incomplete {
		return nil
	}
	redis, err := openRedis(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return redis.Close()
}

// checkCertificates reads the certificates and their keys, and returns what tells whether one is for a host.
func (c *checkCommand) checkCertificates(cfg *config.Config) (covers func(host string) bool, err error) {
	pairs := certificatePairs(cfg)
	switch {
	case cfg.Certificates == nil || c.NoSecrets && len(pairs) > 0 || cfg.Incomplete:
		return func(string) bool { return true }, nil // not known
	case len(pairs) == 0:
		return func(host string) bool { return covered(cfg.Certificates.Names, host) }, nil
	}
	files, err := edge.OpenFiles(pairs, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, placedCertificates(cfg, err)
	}
	return func(host string) bool { return files.Covers(strings.Replace(host, "*", "any", 1)) }, nil
}

// warn says which hosts no certificate is for: they would be answered 421.
func (c *checkCommand) warn(w *world, gen *generation, covers func(host string) bool) error {
	for _, host := range gen.servedHosts() {
		if !covers(host) {
			if _, err := fmt.Fprintf(w.stderr, "%s: warning: no certificate is for the host %s\n", c.Config, host); err != nil {
				return err
			}
		}
	}
	return nil
}
