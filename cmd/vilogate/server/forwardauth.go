package server

import (
	"net/http"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
)

// openForwardAuth makes what proxies ask about requests that they hold, where the configuration has it.
func (s *Server) openForwardAuth(cfg *config.Config) (err error) {
	if cfg.ForwardAuth == nil {
		return nil
	}
	s.forwardAuth, err = edge.NewPlain(edge.PlainOptions{
		Handler: http.HandlerFunc(s.gateway.ForwardAuth), Listeners: s.listeners.forwardAuth, Log: s.o.Log,
		Limits: edgeLimits(&cfg.Limits, s.descriptors.ForwardAuth),
	})
	return err
}

// edgeLimits are the limits of a listener of gateways that may have so many connections.
func edgeLimits(l *config.Limits, connections int) edge.Limits {
	return edge.Limits{
		HeaderBytes: int(l.HeaderBytes), HeaderTime: l.HeaderTime.Std(), IdleTime: l.IdleTime.Std(),
		BodyMinRate: int64(l.BodyMinRate), Streams: l.Streams, Connections: connections, TCPKeepAlive: probe(l.TCPKeepalive),
	}
}

// probe is a tcp_keepalive as options take it, in which 0 is not off.
func probe(k config.Keepalive) time.Duration {
	if k == 0 {
		return -1
	}
	return time.Duration(k)
}
