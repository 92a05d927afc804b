package gateway

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// loginUpstream is how an identity provider in another process is called among the
// upstreams; no configured one has such a name.
const loginUpstream = "login host"

// firstCheckWithin is how soon the first health check of an upstream is made.
const firstCheckWithin = time.Second

// addresses are what is known of the upstreams' addresses, from one generation to the
// next, and the health checks of the current one. Safe for concurrent use.
type addresses struct {
	table *balancer.Table
	tls   tlsConfigs

	mu     sync.Mutex
	checks map[string]*healthChecks // by the upstream's name; guarded by mu
	ended  sync.WaitGroup           // of the goroutines that check
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
	return &addresses{
		table:  balancer.NewTable(balancer.Options{Now: now, Intn: rand.IntN, Float: rand.Float64, Notify: notify}),
		checks: map[string]*healthChecks{},
	}
}

// prepare gives the upstreams of gen what is known of their addresses.
func (a *addresses) prepare(gen *Generation) {
	for _, u := range gen.upstreams {
		u.pool = a.table.Pool(u.Name, a.members(u), balancer.PoolOptions{Most5xx: u.Consecutive5xx, SlowStart: u.SlowStart})
		if u.Health.Path == "" {
			u.pool.Forget()
		}
	}
	if u := gen.login; u != nil {
		u.pool = a.table.Pool(loginUpstream, a.members(u), balancer.PoolOptions{})
	}
}

// retire forgets the addresses that gen does not have, ends the checks that it does not
// want, and begins those that it does.
func (a *addresses) retire(gen *Generation) {
	var pools []*balancer.Pool
	if gen.login != nil {
		pools = append(pools, gen.login.pool)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, under := range a.checks {
		if u := gen.upstreams[name]; u == nil || u.Health.Path == "" || u.check() != under.check || !slices.Equal(u.names(), under.names) {
			under.stop()
			delete(a.checks, name)
		} else {
			under.pool.Store(u.pool)
		}
	}
	for name, u := range gen.upstreams {
		pools = append(pools, u.pool)
		if u.Health.Path == "" || a.checks[name] != nil {
			continue
		}
		ctx, stop := context.WithCancel(context.Background())
		under := &healthChecks{u.check(), u.names(), new(atomic.Pointer[balancer.Pool]), stop}
		under.pool.Store(u.pool)
		a.checks[name] = under
		a.ended.Go(func() { under.check.Run(ctx, under.pool, askHealth) })
	}
	a.table.Retain(pools)
	a.tls.retire(gen)
}

// close ends the checks, and returns when they have.
func (a *addresses) close() {
	a.mu.Lock()
	for name, under := range a.checks {
		under.stop()
		delete(a.checks, name)
	}
	a.mu.Unlock()
	a.ended.Wait()
}

// members are the upstream's addresses.
func (a *addresses) members(u *upstream) []balancer.Member {
	all := make([]balancer.Member, len(u.URLs))
	for i, address := range u.URLs {
		key := client.Key{Address: dialAddress(address), TLS: a.tls.config(u.identity, address), Idle: u.KeepAlive}
		all[i] = balancer.Member{Name: nameOf(address), Weight: u.weight(i), To: &endpoint{key, hostOf(address), u.prefix, isHTTP2(address)}}
	}
	return all
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
