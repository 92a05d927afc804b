package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/gateway"
)

// upstreamState is how the running server sees an upstream.
type upstreamState struct {
	Addresses []gateway.AddressStatus `json:"addresses"`
	Load      *gateway.UpstreamLoad   `json:"load,omitempty"`
}

// statusTimeout bounds the question to a server that is asked by the way.
const statusTimeout = 5 * time.Second

// askUpstreamState asks the running server; nil where there is none, it is not this user's, or it does not know the upstream.
func askUpstreamState(ctx context.Context, cfg *config.Config, name string) *upstreamState {
	if cfg == nil || cfg.State == "" || name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	status, err := callServer[server.Status](ctx, cfg.State, "status", control.Nothing{})
	if err != nil {
		return nil
	}
	var s upstreamState
	for _, a := range status.Upstreams {
		if a.Upstream == name {
			s.Addresses = append(s.Addresses, a)
		}
	}
	for i := range status.Loads {
		if status.Loads[i].Upstream == name {
			s.Load = &status.Loads[i]
		}
	}
	if s.Addresses == nil && s.Load == nil {
		return nil
	}
	return &s
}

// text is for people; "" for nil.
func (s *upstreamState) text() string {
	if s == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("the upstream, as the running server sees it\n")
	if s.Addresses == nil {
		b.WriteString("  no name of it is resolved\n")
	}
	for _, a := range s.Addresses {
		fmt.Fprintf(&b, "  %s: %s, weight %s, %d requests in flight", a.Address, a.State, weightOf(a), a.InFlight)
		if a.Reason != "" {
			fmt.Fprintf(&b, " (%s)", a.Reason)
		}
		b.WriteByte('\n')
	}
	if l := s.Load; l != nil {
		if l.Concurrency > 0 {
			fmt.Fprintf(&b, "  %d of %d requests under way, %d wait\n", l.InFlight, l.Concurrency, l.Queued)
		}
		if !l.Asked() {
			fmt.Fprintf(&b, "  its circuit breaker is %s\n", l.Breaker)
		}
	}
	return b.String()
}
