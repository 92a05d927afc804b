package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	"github.com/viloforge/vilogate/gateway/internal/resolve"
)

// firstCheckWithin is how soon the first health check of an upstream is made.
const firstCheckWithin = time.Second

// addresses are what is known of the upstreams' addresses, from one generation to the
// next, and the health checks of the current one. Names are looked up again, and the pools of upstreams replaced when they have
// other addresses. Safe for concurrent use.
type addresses struct {
	table *balancer.Table
	tls   tlsConfigs
	gates *admission.Table
	names *resolve.Names

	connections   connections        // written before it is used
	clients       *admission.Clients // of all upstreams but the identity provider; likewise
	loginRequests int                // that may be under way there; likewise

	ctx   context.Context // of the goroutines
	stop  context.CancelFunc
	ended sync.WaitGroup // of the goroutines

	mu        sync.Mutex
	current   *Generation              // guarded by mu; nil before there is one
	next      *Generation              // guarded by mu; that is about to be in force, else nil
	resolving bool                     // guarded by mu: names are looked up again
	checks    map[string]*healthChecks // by the upstream's name; guarded by mu
}

// healthChecks are those of one upstream that are under way.
type healthChecks struct {
	check balancer.Check
	names []string
	pool  *atomic.Pointer[balancer.Pool] // of the generation in force
	stop  context.CancelFunc
}

func newAddresses(now func() time.Time, log *slog.Logger) *addresses {
	notify := func(c balancer.Change) {
		level := slog.LevelWarn
		if c.State == balancer.Healthy {
			level = slog.LevelInfo
		}
		log.Log(context.Background(), level, "an address of an upstream is "+c.State, "upstream", c.Upstream, "address", c.Address, "state", c.State, "reason", c.Reason)
	}
	broken := func(upstream, breaker string) {
		if breaker == admission.Closed {
			log.Info("circuit breaker closed: requests go to the upstream again", "upstream", upstream, "breaker", breaker)
		} else {
			log.Warn("circuit breaker opened: requests to the upstream are refused", "upstream", upstream, "breaker", breaker)
		}
	}
	a := &addresses{
		table:  balancer.NewTable(balancer.Options{Now: now, Intn: rand.IntN, Float: rand.Float64, Notify: notify}),
		gates:  admission.NewTable(now, broken),
		checks: map[string]*healthChecks{},
	}
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.names = resolve.New(resolve.Options{Lookup: resolve.Ask, Now: time.Now, Changed: a.refresh, Failed: func(name resolve.Name, err error) {
		if err != nil {
			log.Warn("a name of upstreams cannot be resolved, its last addresses stay", "name", name.String(), "error", err)
		} else {
			log.Info("a name of upstreams can be resolved again", "name", name.String())
		}
	}})
	return a
}

// prepare gives the upstreams of gen what is known of their addresses. Names that are new are looked up, which may take firstLookups.
func (a *addresses) prepare(gen *Generation) {
	if gen.login != nil {
		gen.login.Limits = Limits{Concurrency: a.loginRequests, Queue: loginQueue}
	}
	ctx, cancel := context.WithTimeout(a.ctx, firstLookups)
	defer cancel()
	a.names.Add(ctx, gen.names())
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next = gen
	for u := range gen.everyUpstream() {
		u.gate = a.gates.Gate(u.key(), u.Limits.admits(a.fill(u)))
		if u != gen.login {
			u.clients = a.clients
		}
	}
}

// fill gives an upstream the addresses that it has now, and returns how many take requests. a.mu is held.
func (a *addresses) fill(u *upstream) int {
	members := a.members(u)
	u.resolved = namesOf(members)
	if len(members) == 0 {
		return 0
	}
	pool := a.table.Pool(u.key(), members, balancer.PoolOptions{Consecutive5xx: u.Consecutive5xx, SlowStart: u.SlowStart, Connections: u.Limits.Connections})
	if u.Health.Path == "" {
		pool.Forget()
	}
	pool.Each(func(to any) { a.connections.add(to.(*endpoint)) })
	u.pool.Store(pool)
	return pool.Len()
}

// refresh gives upstreams whose names have other addresses these: who is no address any more has no new requests, and what is known
// of those that stay is kept. Names that have lost all keep the last.
func (a *addresses) refresh() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, gen := range []*Generation{a.current, a.next} {
		if gen == nil {
			continue
		}
		for u := range gen.everyUpstream() {
			if namesOf(a.members(u)) != u.resolved {
				a.fill(u)
			}
		}
	}
	if a.current != nil {
		a.apply(a.current)
	}
}

// retire forgets the addresses that gen does not have, ends the checks that it does not
// want, and begins those that it does.
func (a *addresses) retire(gen *Generation) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.current, a.next = gen, nil
	for name, under := range a.checks {
		if u := gen.upstreams[name]; u == nil || u.Health.Path == "" || u.check() != under.check || !slices.Equal(u.names(), under.names) {
			under.stop()
			delete(a.checks, name)
		}
	}
	names := gen.names()
	a.names.Retain(names)
	if len(names) > 0 && !a.resolving {
		a.resolving = true
		a.ended.Go(func() { a.names.Run(a.ctx) })
	}
	a.apply(gen)
	a.tls.retire(gen)
}

// apply has what is under way, kept and checked be by the pools of the generation in force. What only others need is forgotten, once
// none is about to be in force. a.mu is held.
func (a *addresses) apply(gen *Generation) {
	var pools []*balancer.Pool
	for u := range gen.everyUpstream() {
		pool := u.pool.Load()
		u.gate.Limit(u.Limits.admits(pool.Len()))
		if pool != nil {
			pools = append(pools, pool)
			a.checkHealth(u, pool)
		}
	}
	if a.next != nil {
		return
	}
	a.connections.retire(gen)
	a.table.Retain(pools)
	a.gates.Retain(func(name string) bool { return gen.upstreams[name] != nil || name == loginUpstream })
}

// checkHealth has the addresses of an upstream checked, if it wants that. a.mu is held.
func (a *addresses) checkHealth(u *upstream, pool *balancer.Pool) {
	if u.Health.Path == "" {
		return
	}
	if under := a.checks[u.Name]; under != nil {
		under.pool.Store(pool)
		return
	}
	ctx, stop := context.WithCancel(a.ctx)
	under := &healthChecks{u.check(), u.names(), new(atomic.Pointer[balancer.Pool]), stop}
	under.pool.Store(pool)
	a.checks[u.Name] = under
	a.ended.Go(func() { under.check.Run(ctx, under.pool, probeHealth) })
}

// close ends the checks and the looking up of names, and returns when they have.
func (a *addresses) close() {
	a.stop()
	a.mu.Lock()
	for name, under := range a.checks {
		under.stop()
		delete(a.checks, name)
	}
	a.resolving = true // nothing begins any more
	a.mu.Unlock()
	a.ended.Wait()
}

// members are the upstream's addresses, as far as its names are resolved.
func (a *addresses) members(u *upstream) []balancer.Member {
	var all []balancer.Member
	for i, address := range u.URLs {
		for _, at := range u.places(a.names, address) {
			key := client.Key{Address: at.dial, TLS: a.tls.config(u.identity, address), IdleTimeout: u.KeepAlive, TCPKeepAlive: u.TCPKeepAlive}
			all = append(all, balancer.Member{Name: at.name, Weight: u.weight(i), To: &endpoint{key, hostOf(address), u.prefix, isHTTP2(address), u.local}})
		}
	}
	return all
}

// namesOf tells members from others, in whatever order.
func namesOf(members []balancer.Member) string {
	var all []string
	for _, m := range members {
		all = append(all, m.Name+"\t"+m.To.(*endpoint).key.Address)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// weight is that of an address.
func (u *upstream) weight(i int) int {
	if u.Weights == nil {
		return 1
	}
	return u.Weights[i]
}

// names are how the upstream's addresses are called.
func (u *upstream) names() []string {
	names := make([]string, len(u.URLs))
	for i, address := range u.URLs {
		names[i] = nameOf(address)
	}
	return names
}

// check is how the upstream's addresses are asked.
func (u *upstream) check() balancer.Check {
	h := u.Health
	return balancer.Check{
		Path: h.Path, Host: h.Host, Interval: h.Interval, Timeout: h.Timeout, Healthy: h.Healthy, Unhealthy: h.Unhealthy,
		MinStatus: h.MinStatus, MaxStatus: h.MaxStatus, SpreadOver: firstCheckWithin,
	}
}
