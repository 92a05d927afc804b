package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway/edge/acme"
)

type certStatusCommand struct {
	target `embed:""`
	JSON   bool `help:"Print JSON."`
}

// Run asks the server; where none runs, it looks by itself.
func (c *certStatusCommand) Run(w *commandEnv) error {
	list, err := call[[]acme.Status](w, c.target, "cert/status", control.Nothing{}, false)
	if errors.Is(err, errNoServer) {
		list, err = c.offline(w, func(ctx context.Context, m *acme.Manager) error { return m.Load(ctx) })
	}
	if err != nil {
		return err
	}
	return printCertificates(w, list, c.JSON)
}

type certRenewCommand struct {
	target `embed:""`
	Name   string `arg:"" optional:"" help:"Only the certificate of this name."`
	JSON   bool   `help:"Print JSON."`
}

// renewTimeout is how long the ACME server and DNS may take, for all names.
const renewTimeout = 3 * time.Hour

// Run asks the server; where none runs, it obtains by itself.
func (c *certRenewCommand) Run(w *commandEnv) error {
	list, err := callWithTimeout[[]acme.Status](w, c.target, "cert/renew", server.CertificateName{Name: c.Name}, false, renewTimeout)
	if errors.Is(err, errNoServer) {
		list, err = c.offline(w, func(ctx context.Context, m *acme.Manager) error { return renewOffline(ctx, m, c.Name) })
	}
	if err != nil {
		return err
	}
	return printCertificates(w, list, c.JSON)
}

// renewOffline obtains certificates with a manager that no server runs.
func renewOffline(ctx context.Context, m *acme.Manager, name string) error {
	if err := m.Load(ctx); err != nil {
		return err
	}
	return m.Obtain(ctx, name, true)
}

// offline runs do on the certificates of a state folder without a server.
func (t target) offline(w *commandEnv, do func(context.Context, *acme.Manager) error) (list []acme.Status, err error) {
	ctx, cancel := context.WithTimeout(w.ctx, renewTimeout)
	defer cancel()
	dir, err := t.dir(w)
	if err != nil {
		return nil, err
	}
	st, err := state.Open(dir, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	path := t.Config
	if path == "" {
		data, err := st.Read(state.Config)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err != nil {
			return nil, fmt.Errorf("%w with the state folder %s, and none ever was; name the configuration: -c FILE", errNoServer, dir)
		}
		path = strings.TrimSpace(string(data))
	}
	cfg, err := config.Load(path, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	if err != nil {
		return nil, err
	}
	if cfg.Certificates == nil || cfg.Certificates.Source != "cloudflare" {
		return nil, fmt.Errorf("%w, and without one there is nothing to tell: %w", errNoServer, server.NotObtained(cfg))
	}
	m, closeAll, err := server.OpenManager(ctx, cfg, st)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	if err := do(ctx, m); err != nil {
		return nil, err
	}
	return m.Status(), nil
}

// printCertificates prints a list for people, or for programs.
func printCertificates(w *commandEnv, list []acme.Status, asJSON bool) error {
	if asJSON {
		return printList(w, list)
	}
	when := func(t *time.Time) string {
		if t == nil {
			return "-"
		}
		return formatTime(*t)
	}
	err := printTable(w.stdout, "NAME\tISSUER\tSERIAL\tNOT AFTER\tNEXT RENEWAL\tFAILURES\tSTORED", func(row func(...string)) {
		for _, s := range list {
			row(s.Name, orDash(s.Issuer), orDash(s.Serial), when(s.NotAfter), when(s.NextAttempt), strconv.Itoa(s.Failures), s.Stored)
		}
	})
	for _, s := range list {
		if s.LastError == "" || err != nil {
			continue
		}
		_, err = fmt.Fprintf(w.stdout, "\n%s: last error, %s:\n  %s\n", s.Name, when(s.LastErrorAt), s.LastError)
	}
	return err
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
