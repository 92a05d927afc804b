package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// devCommand runs the whole system on one machine: gateway, IdP, demo backends, embedded stores and a CA of its own.
// Whatever it starts is for demonstration, so it listens on loopback only.
type devCommand struct {
	Listen string `placeholder:"ADDR" help:"Where the gateway listens; default: 127.0.0.1:8443 (and ::1)."`
	HTTP   string `placeholder:"ADDR" help:"Where HTTP is redirected to it; \"off\" for nowhere; default: 127.0.0.1:8080."`
	Admin  string `placeholder:"ADDR" help:"Where health and metrics are; \"off\" for nowhere; default: 127.0.0.1:9901."`
	Domain string `help:"The domain; default: viloforge.localhost, which needs no DNS."`
	State  string `default:".vilogate" help:"The folder for everything that it keeps."`
}

// devDomain is what the configuration is first written for.
const devDomain = "viloforge.localhost"

//go:embed dev.yaml
var devConfig string

// demoUsers have their names as passwords.
func demoUsers(domain string) []idp.NewUser {
	return []idp.NewUser{
		{Name: "alice", Email: "alice@" + domain, FullName: "Alice", Roles: []string{"member"}, Password: "alice"},
		{Name: "bob", Email: "bob@" + domain, FullName: "Bob", Roles: []string{"billing-admin", "member"}, Password: "bob"},
	}
}

// Run runs until the context ends.
func (c *devCommand) Run(w *commandEnv) (err error) {
	if err := c.checkFlags(); err != nil {
		return err
	}
	log := newLog(w.stderr)
	defer log.close()
	st, err := state.Open(c.State, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := c.writeFiles(st); err != nil {
		return err
	}
	demo, err := listenDemoBackends(st)
	if err != nil {
		return err
	}
	s, err := server.New(w.ctx, server.Options{
		Load:  func() (*config.Config, error) { return c.load(w, st) },
		State: st, Demo: true, Watch: true, Stdout: w.stdout, Log: log.Logger, LogDropped: log.dropped,
	})
	if err != nil {
		return errors.Join(err, demo.close())
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.AddUsers(w.ctx, demoUsers(s.Config().Domain)); err != nil {
		return errors.Join(err, demo.close())
	}
	s.AddTask(func(ctx context.Context) error {
		return demo.serve(ctx, s.Config().Domain, jwks.Static([]token.PublicKey{s.AssertionKey()}), log.Logger)
	})
	return s.Run(w.ctx, func(at server.Addresses) error { return c.announce(w, s.Config(), at) })
}

// checkFlags refuses what cannot be listened on here.
func (c *devCommand) checkFlags() error {
	for flag, address := range map[string]string{"--listen": c.Listen, "--http": c.HTTP, "--admin": c.Admin} {
		if address == "" || address == string(config.Off) && flag != "--listen" {
			continue
		}
		if err := checkLoopback(address); err != nil {
			return usageError{fmt.Errorf("%s %s: %w", flag, address, err)}
		}
	}
	return nil
}

// checkLoopback refuses an address that others can reach: the demo users' passwords are no secret.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return errors.New("an address is written 127.0.0.1:8443")
	}
	ip, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return errors.New("dev listens on loopback addresses only, such as 127.0.0.1, because everybody knows its users' passwords")
	}
	return nil
}

// writeFiles writes the configuration and the policies where there are none yet.
func (c *devCommand) writeFiles(st *state.Folder) error {
	domain := c.Domain
	if domain == "" {
		domain = devDomain
	}
	switch _, err := os.Stat(st.Path("vilogate.yaml")); {
	case errors.Is(err, fs.ErrNotExist):
		if err := st.Write("vilogate.yaml", []byte(strings.ReplaceAll(devConfig, "viloforge.com", domain))); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if _, err := os.Stat(st.Path("policies")); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := policies.ShippedFor(domain)
	if err != nil {
		return err
	}
	// Written to a staging folder and renamed atomically, so that an interrupted first start is repeated.
	staging := st.Path(".policies")
	if err := errors.Join(os.RemoveAll(staging), os.Mkdir(staging, 0o700)); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(staging, filepath.Base(f.Name)), f.Data, 0o600); err != nil {
			return err
		}
	}
	return os.Rename(staging, st.Path("policies"))
}

// load reads the configuration, and puts in what the flags say.
func (c *devCommand) load(w *commandEnv, st *state.Folder) (*config.Config, error) {
	cfg, err := config.Load(st.Path("vilogate.yaml"), config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	if err != nil {
		return nil, err
	}
	if c.Domain != "" && c.Domain != cfg.Domain {
		return nil, fmt.Errorf("%s is for the domain %s; for %s use another --state, or change the file and the policies", cfg.Path, cfg.Domain, c.Domain)
	}
	if !cfg.Gateway() || cfg.IDP == nil {
		return nil, fmt.Errorf("%s: dev needs both `policies:` and `idp:`; for anything else there is `vilogate serve`", cfg.Path)
	}
	for _, l := range []struct {
		into           *config.Address
		flag, key, std string
	}{
		{&cfg.Listen.HTTPS, c.Listen, "https", "127.0.0.1:8443"},
		{&cfg.Listen.HTTP, c.HTTP, "http", "127.0.0.1:8080"},
		{&cfg.Listen.Admin, c.Admin, "admin", "127.0.0.1:9901"},
	} {
		at, inFile := cfg.Listen.Places[l.key]
		switch {
		case l.flag != "":
			*l.into = config.Address(l.flag)
		case !inFile:
			*l.into = config.Address(l.std)
		case *l.into != config.Off:
			if err := checkLoopback(string(*l.into)); err != nil {
				return nil, strictyaml.Errors{{Place: at, Msg: err.Error()}}
			}
		}
	}
	return cfg, nil
}

// announce says where everything is.
func (c *devCommand) announce(w *commandEnv, cfg *config.Config, at server.Addresses) error {
	origin := func(name string) string { return at.Origin(name + "." + cfg.Domain) }
	err := printTable(w.stdout, "", func(row func(...string)) {
		for _, name := range []string{"website", "billing-api", "inventory-api"} {
			row("  "+name, origin(name))
		}
		row("  sign in", at.Origin(cfg.Login.Host))
		if at.HTTP != "" {
			row("  redirects", "http://"+at.HTTP)
		}
		if at.Admin != "" {
			row("  admin", "http://"+at.Admin+"/readyz")
		}
		row("  users", "alice (member), bob (member, billing-admin); each one's password is the name")
		if at.CA != "" {
			row("  CA", at.CA)
		} else {
			row("  certificate", "obtained by `vilogate cert dev`, good until "+at.NotAfter.Format(time.DateOnly))
		}
		row("  settings", cfg.Path+", "+cfg.Policies)
		if at.OnlyIPv4 {
			row("  note", "::1 is left out, because this machine has none")
		}
	})
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(at.HTTPS)
	if err != nil {
		return err
	}
	host, trust := "website."+cfg.Domain, ""
	if at.CA != "" {
		trust = " --cacert " + at.CA
	}
	_, err = fmt.Fprintf(w.stdout, "  curl%s --resolve %s:%s:127.0.0.1 %s/about\n", trust, host, port, at.Origin(host))
	return err
}
