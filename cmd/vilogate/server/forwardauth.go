package server

import (
	"net/http"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/edge"
)

// openForwardAuth makes what proxies ask about requests that they hold, where the configuration has it.
func (s *Server) openForwardAuth(cfg *config.Config) (err error) {
	if cfg.ForwardAuth == nil {
		return nil
	}
	l := cfg.Limits
	s.forwardAuth, err = edge.NewPlain(edge.PlainOptions{
		Handler: http.HandlerFunc(s.gateway.ForwardAuth), Listeners: s.listeners.forwardAuth, Log: s.o.Log,
		Limits: edge.Limits{
			HeaderBytes: int(l.HeaderBytes), HeaderTime: l.HeaderTime.Std(), IdleTime: l.IdleTime.Std(),
			BodyMinRate: int64(l.BodyMinRate), Streams: l.Streams, Connections: s.descriptors.ForwardAuth,
		},
	})
	return err
}
