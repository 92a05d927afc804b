package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/upstreams"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// backendCommand runs one demo backend, as somebody's own backend would run behind a gateway.
type backendCommand struct {
	Kind     string `arg:"" enum:"website,billing,inventory,echo" help:"website, billing, inventory or echo."`
	Listen   string `default:"127.0.0.1:0" help:"Where it listens."`
	JWKS     string `name:"jwks" placeholder:"URL|FILE" help:"The gateway's keys: /.well-known/vilogate/jwks.json on its admin listener, or a file."`
	Issuer   string `placeholder:"ISS" help:"Who signs the assertions: https:// and the gateway's domain."`
	Audience string `placeholder:"NAME" help:"The name of this backend among the gateway's upstreams; default: its kind."`
}

// Run runs until the context ends.
func (c *backendCommand) Run(w *commandEnv) error {
	log := newLog(w.stderr)
	defer log.close()
	b := &backend{kind: c.Kind}
	if c.Kind != "echo" {
		if c.JWKS == "" || c.Issuer == "" {
			return usageError{fmt.Errorf("backend %s believes assertions only, and needs --jwks and --issuer to know whose", c.Kind)}
		}
		if c.Audience == "" {
			c.Audience = c.Kind
		}
		kit, err := identity.New(identity.Config{JWKS: c.JWKS, Issuer: c.Issuer, Audience: c.Audience, Log: log.Logger})
		if err != nil {
			return err
		}
		b.kit = kit
	}
	var err error
	switch b.listener, err = net.Listen("tcp", c.Listen); {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("--listen %s: the port is in use by another process; stop it, or choose another port: %w", c.Listen, err)
	case err != nil:
		return fmt.Errorf("--listen %s: %w", c.Listen, err)
	}
	if _, err := fmt.Fprintf(w.stdout, "%s listens on http://%s\nready\n", c.Kind, b.listener.Addr()); err != nil {
		return errors.Join(err, b.listener.Close())
	}
	return b.serve(w.ctx, strings.TrimPrefix(c.Issuer, "https://"), log.Logger)
}

// backend is a demo backend that listens.
type backend struct {
	kind     string
	listener net.Listener
	kit      *identity.Kit // nil of echo
}

func (b *backend) handler(domain string) http.Handler {
	switch b.kind {
	case "website":
		return upstreams.Website(b.kit, upstreams.WebsiteConfig{Domain: domain})
	case "billing":
		return upstreams.Billing(b.kit)
	case "inventory":
		return upstreams.Inventory(b.kit)
	}
	return upstreams.Echo()
}

// serve serves until ctx ends, then shuts down gracefully for a moment.
func (b *backend) serve(ctx context.Context, domain string, log *slog.Logger) error {
	server := &http.Server{
		Handler: b.handler(domain), ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	group, ctx := errgroup.WithContext(ctx)
	if b.kit != nil {
		group.Go(func() error { return ignoreCanceled(ctx, b.kit.Run(ctx)) })
	}
	group.Go(func() error {
		if err := server.Serve(b.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			return server.Close()
		}
		return nil
	})
	return group.Wait()
}

// ignoreCanceled drops the error of a task that ended because ctx was canceled or timed out.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// demoBackends are the three of `vilogate dev`, in its own process.
type demoBackends []*backend

// listenDemoBackends opens their ports and writes their addresses where dev's configuration looks for them.
func listenDemoBackends(st *state.Folder) (demo demoBackends, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, demo.close())
		}
	}()
	if err := os.MkdirAll(st.Path("backends"), 0o700); err != nil {
		return nil, err
	}
	for _, kind := range []string{"website", "billing", "inventory"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return demo, fmt.Errorf("the demo backend %s cannot listen: %w", kind, err)
		}
		demo = append(demo, &backend{kind: kind, listener: listener})
		if err := st.Write("backends/"+kind, []byte("http://"+listener.Addr().String()+"\n")); err != nil {
			return demo, err
		}
	}
	return demo, nil
}

// serve serves them all until ctx ends, with keys that the gateway in this process has.
func (demo demoBackends) serve(ctx context.Context, domain string, keys token.KeySource, log *slog.Logger) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, b := range demo {
		var err error
		b.kit, err = identity.New(identity.Config{
			Keys: keys, Issuer: "https://" + domain, Audience: b.kind, Log: log.With("backend", b.kind),
		})
		if err != nil {
			return err
		}
		group.Go(func() error { return b.serve(ctx, domain, log) })
	}
	return group.Wait()
}

// close closes listeners that were never served.
func (demo demoBackends) close() error {
	var err error
	for _, b := range demo {
		err = errors.Join(err, b.listener.Close())
	}
	return err
}
