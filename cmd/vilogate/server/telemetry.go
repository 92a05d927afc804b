package server

import (
	"errors"
	"math"
	"time"

	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// instrument says what has to be there before the process is ready, and what /metrics tells besides requests.
func (s *Server) instrument() {
	list, now := s.stores.List, time.Now
	s.needs("revocations", func() error {
		switch {
		case !list.Ready():
			return errors.New("the first view of the revocation list is not loaded yet")
		case list.Stale(now()):
			return errors.New("the revocation list is older than it may be; requests that need a login are answered 503")
		}
		return nil
	})
	s.metrics.Gauge("revocations", "Entries of the revocation list.", func() float64 { return float64(list.Stats().Entries) })
	s.metrics.Gauge("revocation_lag_seconds", "Age of the view of the revocation list; +Inf before the first.", func() float64 {
		contact := list.Stats().Contact
		if contact.IsZero() {
			return math.Inf(1)
		}
		return max(0, now().Sub(contact).Seconds())
	})
	s.metrics.Counter("revocations_refused_total", "Entries of the revocation list that were refused as forged.", func() float64 {
		return float64(list.Stats().Refused)
	})
	s.needs("keys", s.ownKeysReady)
	if s.gateway == nil {
		return
	}
	s.needs("policies", func() error {
		if s.current.Load().Gateway == nil {
			return errors.New("no policies are loaded yet")
		}
		return nil
	})
	s.instrumentCertificates()
	counted := s.limits.Stats
	s.metrics.Counter("limit_evictions_total", "Counts of rates that were forgotten to make room for others.", func() float64 { return float64(counted().Evicted) })
	s.metrics.Counter("limit_untold_total", "Counts of rates of which the fleet could not be told at once.", func() float64 { return float64(counted().Untold) })
	s.metrics.Counter("limit_failures_total", "Exchanges of rates with the fleet that failed.", func() float64 { return float64(counted().Failures) })
	stats := func() token.Stats { return s.current.Load().Verifier.Stats() }
	s.metrics.Counter("token_cache_hits_total", "Tokens whose verification was remembered.", func() float64 { return float64(stats().Hits) })
	s.metrics.Counter("token_cache_misses_total", "Tokens that were verified anew.", func() float64 { return float64(stats().Misses) })
	s.metrics.Gauge("token_cache_entries", "Verifications that are remembered.", func() float64 { return float64(stats().Entries) })
}

// observe counts a request under the host that its policy names: under a wildcard, strangers choose the names.
func (s *Server) observe(r *gateway.Record) {
	host := r.Host
	if policy := s.current.Load().Policies.Lookup(request.Host(host)); policy != nil {
		host = policy.Host
	}
	s.metrics.Observe(r, host)
}

var errNoKeys = errors.New("the keys of our own identity provider are not loaded yet")

// ownKeysReady says whether our own IdP's keys are here. Other issuers' never count.
func (s *Server) ownKeysReady() error {
	if s.idp != nil {
		if !s.idp.KeyReady() {
			return errNoKeys
		}
		return nil
	}
	if own := s.current.Load().Own; own != nil && !own.Ready() {
		return errNoKeys
	}
	return nil
}
