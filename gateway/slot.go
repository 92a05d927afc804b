package gateway

import (
	"context"
	"net/http"

	"github.com/viloforge/vilogate/gateway/internal/admission"
)

// slot is a request's part of what may be under way. Its zero value is none. It is owned by who owns the request.
type slot struct {
	of      *upstream
	client  admission.Client
	counted bool // among those of all upstreams
	entered bool // the upstream's gate
}

// take waits for a slot at the upstream, and what a request needs besides. The error is admission's, or that of ctx.
func (s *slot) take(ctx context.Context, more admission.Taker) error {
	if all := s.of.clients; all != nil && !s.counted {
		if err := all.Enter(s.client); err != nil {
			return err
		}
		s.counted = true
	}
	enter := s.of.gate.Enter
	if s.entered {
		enter = s.of.gate.Retry
	}
	s.entered = false
	err := enter(ctx, s.client, more)
	s.entered = err == nil
	return err
}

// answered says that the upstream has answered the request with that status.
func (s *slot) answered(status int) {
	switch {
	case s.of.Limits.Breaker.Failures == 0:
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		s.of.gate.Failed()
	default:
		s.of.gate.Succeeded()
	}
}

// failed says that the upstream has not answered the request, and that this is not the client's doing.
func (s *slot) failed() {
	if s.of.Limits.Breaker.Failures > 0 {
		s.of.gate.Failed()
	}
}

// release gives it up. It may be called again.
func (s *slot) release() {
	if s.entered {
		s.of.gate.Leave(s.client)
	}
	if s.counted {
		s.of.clients.Leave(s.client)
	}
	s.entered, s.counted = false, false
}
