package main

import (
	"errors"
	"math"
	"time"

	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// instrument says what has to be there before the process is ready, and what /metrics tells besides requests.
func (p *process) instrument() {
	list, now := p.stores.list, time.Now
	p.needs("revocations", func() error {
		switch {
		case !list.Ready():
			return errors.New("the first view of the revocation list is not loaded yet")
		case list.Stale(now()):
			return errors.New("the revocation list is older than it may be; requests that need a login are answered 503")
		}
		return nil
	})
	p.metrics.Gauge("revocations", "Entries of the revocation list.", func() float64 { return float64(list.Stats().Entries) })
	p.metrics.Gauge("revocation_lag_seconds", "Age of the view of the revocation list; +Inf before the first.", func() float64 {
		contact := list.Stats().Contact
		if contact.IsZero() {
			return math.Inf(1)
		}
		return max(0, now().Sub(contact).Seconds())
	})
	p.metrics.Counter("revocations_refused_total", "Entries of the revocation list that were refused as forged.", func() float64 {
		return float64(list.Stats().Refused)
	})
	p.needs("keys", p.ownKeysReady)
	if p.gateway == nil {
		return
	}
	p.needs("policies", func() error {
		if p.current.Load().gateway == nil {
			return errors.New("no policies are loaded yet")
		}
		return nil
	})
	p.instrumentCertificates()
	counted := p.limits.Stats
	p.metrics.Counter("limit_evictions_total", "Counts of rates that were forgotten to make room for others.", func() float64 { return float64(counted().Evicted) })
	p.metrics.Counter("limit_untold_total", "Counts of rates of which the fleet could not be told at once.", func() float64 { return float64(counted().Untold) })
	p.metrics.Counter("limit_failures_total", "Exchanges of rates with the fleet that failed.", func() float64 { return float64(counted().Failures) })
	stats := func() token.Stats { return p.current.Load().verifier.Stats() }
	p.metrics.Counter("token_cache_hits_total", "Tokens whose verification was remembered.", func() float64 { return float64(stats().Hits) })
	p.metrics.Counter("token_cache_misses_total", "Tokens that were verified anew.", func() float64 { return float64(stats().Misses) })
	p.metrics.Gauge("token_cache_entries", "Verifications that are remembered.", func() float64 { return float64(stats().Entries) })
}

// observe counts a request under the host that its policy names: under a wildcard, strangers choose the names.
func (p *process) observe(r *gateway.Record) {
	host := r.Host
	if policy := p.current.Load().gateway.Policies.Lookup(request.Host(host)); policy != nil {
		host = policy.Host
	}
	p.metrics.Observe(r, host)
}

var errNoKeys = errors.New("the keys of our own identity provider are not loaded yet")

// ownKeysReady says whether our own IdP's keys are here. Other issuers' never count.
func (p *process) ownKeysReady() error {
	if p.idp != nil {
		if !p.idp.KeyReady() {
			return errNoKeys
		}
		return nil
	}
	cfg := p.config()
	if !cfg.OwnLogin() || cfg.Login == nil {
		return nil
	}
	remote := p.current.Load().remotes[ownKeysAt(cfg, p.builder.publicPort, p.log).URL]
	if remote != nil && remote.Ready() {
		return nil
	}
	return errNoKeys
}
