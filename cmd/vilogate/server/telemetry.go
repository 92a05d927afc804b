package server

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/metrics"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies/request"
)

// registerMetrics registers the readiness checks, and the metrics that are not about requests.
func (s *Server) registerMetrics() {
	list, now := s.stores.List, time.Now
	s.addReadyCheck("revocations", func() error {
		switch {
		case !list.Ready():
			return withReason("the revocation list is not loaded yet; where the identity provider is another process, it is waited for 10 s to restore what Redis may have lost", list.Failure())
		case list.Stale(now()):
			return withReason("the revocation list is stale (revocation.max_staleness); requests that need a login are answered 503", list.Failure())
		}
		return nil
	})
	if redis := s.stores.Redis; redis != nil && s.idp.Load() == nil {
		s.addWarningCheck("revocations_restored", func() error {
			if redis.Unrestored() {
				return errors.New("no identity provider has confirmed that Redis holds all revocations: where Redis has lost some, what they named may be admitted")
			}
			return nil
		})
	}
	s.metrics.Gauge("revocation_entries", "Entries of the revocation list.", func() float64 { return float64(list.Stats().Entries) })
	s.metrics.Gauge("revocation_lag_seconds", "Staleness of the revocation list: time since it was last known to be current; +Inf before the first load. Compare with revocation.max_staleness.", func() float64 {
		contact := list.Stats().LastSync
		if contact.IsZero() {
			return math.Inf(1)
		}
		return max(0, now().Sub(contact).Seconds())
	})
	s.metrics.Counter("revocation_entries_rejected_total", "Revocation entries rejected because their MAC does not verify.", func() float64 {
		return float64(list.Stats().Rejected)
	})
	s.metrics.Counter("revocation_sync_waits_total", "Waits of requests for a revocation list that was not confirmed for 2 s, as after the process was frozen; those that waited together count once.", func() float64 {
		return float64(list.Stats().SyncWaits)
	})
	s.metrics.Counter("revocation_sync_timeouts_total", "Of those waits, the ones without news within 250 ms: revocation.max_staleness alone counted then.", func() float64 {
		return float64(list.Stats().SyncTimeouts)
	})
	s.addReadyCheck("keys", s.ownKeysReady)
	logins := func() (stats idp.Stats) {
		if p := s.idp.Load(); p != nil {
			stats = p.Stats()
		}
		return stats
	}
	s.metrics.Counter("logins_total", "Logins by password that succeeded.", func() float64 { return float64(logins().Logins) })
	s.metrics.Counter("login_failures_total", "Attempts at a password that failed or were refused, whether or not they are in the audit log.", func() float64 { return float64(logins().FailedLogins) })
	if dropped := s.o.LogDropped; dropped != nil {
		s.metrics.Counter("log_lines_dropped_total", "Lines of the log, access records among them, that were dropped because it could not be written as fast as they came.", func() float64 { return float64(dropped()) })
	}
	if s.gateway != nil {
		s.registerGatewayMetrics()
	}
}

// registerGatewayMetrics registers those of a gateway.
func (s *Server) registerGatewayMetrics() {
	s.addReadyCheck("policies", func() error {
		if s.current.Load().Gateway == nil {
			return errors.New("no policies are loaded yet")
		}
		return nil
	})
	s.addWarningCheck("session_renewal", func() error {
		if err := s.gateway.RenewalFailure(); err != nil {
			return withReason("the identity provider does not say whether sessions live; who has an expired token is answered 503", err)
		}
		return nil
	})
	s.metrics.Counters("session_renewals_total", "Answers of our own identity provider about expired tokens (good, refused, return to the login host), successors given (rotated) or not due (kept), and questions that failed; undelivered are successors of which it did not hear that they had left.",
		[]string{"result"}, func(emit metrics.Emit) {
			for result, n := range s.gateway.Renewals() {
				emit(float64(n), result)
			}
		})
	s.addWarningCheck("upstream_names", s.resolvesNames)
	s.registerCertificateMetrics()
	counted := s.limits.Stats
	s.metrics.Counter("rate_limit_evictions_total", "Rate limit counters (GCRA) evicted to make room for others.", func() float64 { return float64(counted().Evicted) })
	s.metrics.Counter("rate_limit_unsynced_total", "Rate-limited events that were not pushed to the shared store at once, because the backlog was full.", func() float64 { return float64(counted().Unsynced) })
	s.metrics.Counter("rate_limit_sync_failures_total", "Syncs of rate limits with the shared store that failed.", func() float64 { return float64(counted().Failures) })
	stats := func() token.Stats { return s.current.Load().Verifier.Stats() }
	s.metrics.Counter("token_cache_hits_total", "Token verifications answered from the cache.", func() float64 { return float64(stats().Hits) })
	s.metrics.Counter("token_cache_misses_total", "Token verifications not in the cache.", func() float64 { return float64(stats().Misses) })
	s.metrics.Gauge("token_cache_entries", "Token verifications in the cache.", func() float64 { return float64(stats().Entries) })
	s.metrics.Counter("token_key_tries_total", "Keys tried beyond the first, for tokens that do not say by a kid which key signed them.", func() float64 { return float64(stats().Tries) })
	s.metrics.Gauge("open_streams", "Requests in flight for more than a moment, WebSockets included.", func() float64 { return float64(s.gateway.OpenStreams()) })
	s.metrics.Gauge("buffered_bytes", "Memory that is held for bodies of slow clients, in bytes.", func() float64 {
		held, _ := s.gateway.Buffered()
		return float64(held)
	})
	s.metrics.Gauge("buffered_disk_bytes", "Room that files have for bodies of slow clients, in bytes.", func() float64 { return float64(s.gateway.BufferedOnDisk()) })
	s.metrics.Counter("buffer_full_total", "Bodies that were streamed, or refused where that is not possible, because limits.buffer_memory, and limits.buffer_disk where it counts, was used up.", func() float64 {
		_, full := s.gateway.Buffered()
		return float64(full)
	})
	s.registerKeyMetrics()
	s.registerUpstreamMetrics()
}

// registerUpstreamMetrics registers what is known of the upstreams' addresses.
func (s *Server) registerUpstreamMetrics() {
	s.metrics.Gauges("upstream_address_state", "Whether an address of an upstream is in a state (1) or not (0): healthy, unhealthy (by checks) or ejected (by requests that failed).",
		[]string{"upstream", "address", "state"}, func(emit metrics.Emit) {
			for _, a := range s.gateway.Addresses() {
				for _, state := range gateway.AddressStates() {
					value := 0.0
					if a.State == state {
						value = 1
					}
					emit(value, a.Upstream, a.Address, state)
				}
			}
		})
	s.metrics.Gauges("upstream_address_weight", "Share of the requests of an address of an upstream, beside those of the others; 0 when it is drained, less than its weight in slow start.",
		[]string{"upstream", "address"}, func(emit metrics.Emit) {
			for _, a := range s.gateway.Addresses() {
				weight := float64(a.Weight)
				if a.Share > 0 {
					weight *= float64(a.Share) / 100
				}
				emit(weight, a.Upstream, a.Address)
			}
		})
	s.metrics.Counters("upstream_ejections_total", "Ejections of an address of an upstream, after connection errors or 5xx.", []string{"upstream", "address"}, func(emit metrics.Emit) {
		for _, a := range s.gateway.Addresses() {
			emit(float64(a.Ejections), a.Upstream, a.Address)
		}
	})
	s.registerLoadMetrics()
	s.metrics.Counters("upstream_retries_total", "Requests that went to another address of their upstream.", []string{"upstream"}, func(emit metrics.Emit) {
		for name, n := range s.gateway.Retries() {
			emit(float64(n), name)
		}
	})
}

// resolvesNames says which names in the addresses of upstreams cannot be resolved.
func (s *Server) resolvesNames() error {
	var all []string
	for _, n := range s.gateway.Names() {
		switch {
		case n.Error != "" && len(n.Addresses) == 0:
			all = append(all, fmt.Sprintf("%s has no address yet, and where an upstream has no other it is 502: %s", n.Name, n.Error))
		case n.Error != "":
			all = append(all, fmt.Sprintf("%s cannot be resolved, its last addresses stay: %s", n.Name, n.Error))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// registerLoadMetrics registers what is under way at upstreams, and what was refused because it was too much.
func (s *Server) registerLoadMetrics() {
	byUpstream := func(read func(emit metrics.Emit, l gateway.UpstreamLoad)) func(metrics.Emit) {
		return func(emit metrics.Emit) {
			for _, l := range s.gateway.Loads() {
				read(emit, l)
			}
		}
	}
	s.metrics.Gauges("upstream_requests", "Requests in flight at an upstream, WebSockets included.", []string{"upstream"},
		byUpstream(func(emit metrics.Emit, l gateway.UpstreamLoad) { emit(float64(l.InFlight), l.Upstream) }))
	s.metrics.Gauges("upstream_queued", "Requests that wait for an upstream, which has as many in flight as it may (concurrency, connections).", []string{"upstream"},
		byUpstream(func(emit metrics.Emit, l gateway.UpstreamLoad) { emit(float64(l.Queued), l.Upstream) }))
	s.metrics.Counters("upstream_refused_total", "Requests that were answered 503 because an upstream had as many as it may: its queue was full, nothing ended in time (timeout), or its circuit breaker was open because too many in a row had failed (breaker).",
		[]string{"upstream", "reason"}, byUpstream(func(emit metrics.Emit, l gateway.UpstreamLoad) {
			emit(float64(l.RefusedFull), l.Upstream, "full")
			emit(float64(l.RefusedTimeout), l.Upstream, "timeout")
			emit(float64(l.RefusedBreaker), l.Upstream, "breaker")
		}))
	s.metrics.Gauges("upstream_breaker_open", "Whether the circuit breaker of an upstream is open (1), because too many requests in a row had failed (breaker).", []string{"upstream"},
		byUpstream(func(emit metrics.Emit, l gateway.UpstreamLoad) {
			open := 0.0
			if !l.Asked() {
				open = 1
			}
			emit(open, l.Upstream)
		}))
	s.metrics.Counters("requests_refused_total", "Requests that were refused because one client (429) or all together (503) had as many in flight at upstreams as they may.",
		[]string{"reason"}, func(emit metrics.Emit) {
			load := s.gateway.TotalLoad()
			emit(float64(load.RefusedClient), "client")
			emit(float64(load.RefusedAll), "all")
		})
	s.metrics.Counters("upstream_resolve_failures_total", "Times that a name in the addresses of upstreams could not be resolved.", []string{"name", "resolver"}, func(emit metrics.Emit) {
		for _, n := range s.gateway.Names() {
			emit(float64(n.Failures), n.Name, n.Resolver)
		}
	})
	s.metrics.Gauges("upstream_resolved_addresses", "Addresses that a name in the addresses of upstreams had when it was resolved last.", []string{"name", "resolver"}, func(emit metrics.Emit) {
		for _, n := range s.gateway.Names() {
			emit(float64(len(n.Addresses)), n.Name, n.Resolver)
		}
	})
	s.metrics.Gauges("open_files_share", "Files that the process may open, and what of them is for whom.", []string{"for"}, func(emit metrics.Emit) {
		d := s.descriptors
		emit(float64(d.Limit), "all")
		emit(float64(d.Own), "own")
		emit(float64(d.Clients), "clients")
		emit(float64(d.Requests), "upstream_requests")
	})
}

// registerKeyMetrics registers what is counted of keys that are fetched from issuers.
func (s *Server) registerKeyMetrics() {
	byIssuer := func(read func(emit metrics.Emit, issuer string, keys *jwks.Remote)) func(metrics.Emit) {
		return func(emit metrics.Emit) {
			for issuer, keys := range s.current.Load().Fetched {
				read(emit, issuer, keys)
			}
		}
	}
	s.metrics.Counters("jwks_unknown_kids_total", "Tokens whose kid is in no key of their issuer: answered 503 until a fetch has ended (pending), or 401 (unknown).",
		[]string{"issuer", "answer"}, byIssuer(func(emit metrics.Emit, issuer string, keys *jwks.Remote) {
			counted := keys.Unknown()
			emit(float64(counted.Pending), issuer, "pending")
			emit(float64(counted.Unknown), issuer, "unknown")
		}))
	s.metrics.Gauges("jwks_keys", "Keys of an issuer that verify tokens.", []string{"issuer"}, byIssuer(func(emit metrics.Emit, issuer string, keys *jwks.Remote) {
		emit(float64(keys.Status().Keys), issuer)
	}))
	s.metrics.Gauges("jwks_malformed_keys", "Keys that an issuer publishes and that were left out, because they are malformed.", []string{"issuer"}, byIssuer(func(emit metrics.Emit, issuer string, keys *jwks.Remote) {
		emit(float64(keys.Status().Malformed), issuer)
	}))
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
	if idp := s.idp.Load(); idp != nil {
		if !idp.KeyReady() {
			return errNoKeys
		}
		return nil
	}
	if own := s.current.Load().Own; own != nil && !own.Ready() {
		return errNoKeys
	}
	return nil
}
