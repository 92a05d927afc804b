package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
)

// readyPatience is how long `ready` waits for what comes from elsewhere: Redis, another process's keys. The process serves
// what it can in any case.
const readyPatience = 10 * time.Second

// run serves until ctx ends, then drains and returns nil; it returns earlier when a part of the process fails. announce is
// called when every listener accepts, before the line `ready`.
func (p *process) run(ctx context.Context, announce func(addresses) error) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	p.group, p.background = errgroup.WithContext(background)
	p.commit(p.current.Load(), nil)
	for _, task := range p.tasks {
		p.start(task)
	}
	p.serve()
	p.group.Go(func() error {
		select {
		case <-ctx.Done():
		case <-p.background.Done():
		}
		defer stop()
		return p.drain()
	})
	p.group.Go(func() error { return p.announce(ctx, announce) })
	return p.group.Wait()
}

// start runs a task until the process has drained; its error ends the process.
func (p *process) start(task func(context.Context) error) {
	p.group.Go(func() error { return unlessDone(p.background, task(p.background)) })
}

// serve starts whatever listens.
func (p *process) serve() {
	p.group.Go(p.control.Serve)
	if p.edge != nil {
		p.group.Go(p.edge.Serve)
	}
	for _, s := range p.servers {
		for _, l := range s.listeners {
			p.group.Go(func() error {
				if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("serving on %s: %w", l.Addr(), err)
				}
				return nil
			})
		}
	}
}

// plainServer serves plain HTTP to this machine or to a gateway.
type plainServer struct {
	*http.Server
	listeners []net.Listener
}

func newPlainServer(handler http.Handler, listeners []net.Listener, limits config.Limits, log *slog.Logger) plainServer {
	return plainServer{&http.Server{
		Handler: handler, ReadHeaderTimeout: limits.HeaderTime.Std(), IdleTimeout: limits.IdleTime.Std(),
		ReadTimeout:    max(time.Minute, limits.HeaderTime.Std()), // of a whole request; what is sent here is a form at most
		MaxHeaderBytes: int(limits.HeaderBytes), ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}, listeners}
}

// announce waits until the process can do its work, then says where it is.
func (p *process) announce(ctx context.Context, announce func(addresses) error) error {
	deadline := time.Now().Add(readyPatience)
	for len(p.ready.missing()) > 0 && time.Now().Before(deadline) {
		if !wait(ctx, 10*time.Millisecond) {
			return nil
		}
	}
	missing := p.ready.missing()
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		p.log.Warn("not everything is ready yet", "missing", name, "because", missing[name])
	}
	at := p.listeners.addresses()
	if p.source != nil {
		at.notAfter = p.source.NotAfter()
	}
	at.CA, at.publicPort, at.onlyIPv4 = p.caPath, p.builder.publicPort, len(p.listeners.https) == 1
	data, err := json.MarshalIndent(at, "", "  ")
	if err != nil {
		return err
	}
	if err := p.state.write(addressesFile, append(data, '\n')); err != nil {
		return err
	}
	if err := announce(at); err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, "ready")
	return err
}

// drain takes the process down: not ready any more, but still accepting for the delay, so that load balancers notice;
// then what is under way may finish.
func (p *process) drain() error {
	p.ready.draining.Store(true)
	d := p.config().Drain
	p.log.Info("draining", "delay", d.Delay.Std(), "timeout", d.Timeout.Std())
	ctx := context.WithoutCancel(p.background)
	if p.edge != nil {
		if err := p.edge.Drain(ctx, d.Delay.Std(), d.Timeout.Std()); err != nil {
			p.log.Warn("drained", "error", err)
		}
	} else {
		wait(ctx, d.Delay.Std())
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout.Std())
	defer cancel()
	err := p.control.Close()
	for _, s := range slices.Backward(p.servers) {
		if s.Shutdown(ctx) != nil {
			err = errors.Join(err, s.Close())
		}
	}
	return err
}

// commit makes gen the current generation, all at once. Keys of issuers that it does not know any more are fetched no
// longer.
func (p *process) commit(gen, before *generation) {
	for _, remote := range gen.remotes {
		if remote.stop == nil {
			ctx, stop := context.WithCancel(p.background)
			remote.stop = stop
			p.group.Go(func() error { return unlessDone(ctx, remote.Run(ctx)) })
		}
	}
	if p.gateway != nil {
		p.gateway.Swap(gen.gateway)
	}
	p.current.Store(gen)
	if before == nil {
		return
	}
	for name, remote := range before.remotes {
		if gen.remotes[name] != remote {
			remote.stop()
		}
	}
}

// reload reads everything again and replaces the generation, or changes nothing and says why.
func (p *process) reload(context.Context, nothing) (answer reloaded, err error) {
	p.reloading.Lock()
	defer p.reloading.Unlock()
	defer func() { p.metrics.Reloaded(err, time.Now()) }()
	before := p.current.Load()
	cfg, err := p.load()
	if err != nil {
		return answer, err
	}
	if err := mayReplace(before.cfg, cfg); err != nil {
		return answer, err
	}
	next, err := p.builder.build(cfg, before)
	if err != nil {
		return answer, err
	}
	if p.certificates != nil {
		if err := p.certificates.Reload(); err != nil {
			return answer, placedCertificates(cfg, err)
		}
	}
	if err := p.returnTo(next); err != nil {
		return answer, err
	}
	answer.Changes = next.changes(before)
	p.commit(next, before)
	return answer, nil
}

// returnTo lets logins return to the hosts of the policies, where the configuration names no others.
func (p *process) returnTo(gen *generation) error {
	if p.idp == nil || len(gen.cfg.IDP.ReturnHosts) > 0 {
		return nil
	}
	return p.idp.SetReturnHosts(gen.hosts)
}

// reloadAndSay reloads where nobody waits for the answer.
func (p *process) reloadAndSay(ctx context.Context) {
	answer, err := p.reload(ctx, nothing{})
	switch {
	case err != nil:
		p.log.Error("not reloaded, nothing has changed", "error", err)
	case len(answer.Changes) > 0:
		p.log.Info("reloaded", "changes", strings.Join(answer.Changes, "; "))
	}
}

// openServers makes the admin listener, and in an IdP alone also the one that its gateway asks.
func (p *process) openServers() {
	var keys func() []byte
	if p.keys != nil {
		keys = p.keys.bytes
	}
	limits := p.config().Limits
	admin := adminHandler(&p.ready, p.metrics.Handler(), keys, p.status)
	p.servers = append(p.servers, newPlainServer(admin, p.listeners.admin, limits, p.log))
	if p.idp != nil && p.gateway == nil {
		p.servers = append(p.servers, newPlainServer(p.idp, p.listeners.idp, limits, p.log))
	}
}
