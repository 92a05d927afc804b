package gateway

import (
	"context"

	"github.com/viloforge/vilogate/gateway/internal/admission"
)

// slot is a request's part of what may be under way. Its zero value is none. It is owned by who owns the request.
type slot struct {
	of      *upstream
	who     admission.Client
	counted bool // among those of all upstreams
	entered bool // the upstream's gate
}

// take waits for a slot at the upstream, and what a request needs besides. The error is admission's, or that of ctx.
func (s *slot) take(ctx context.Context, more admission.Taker) error {
	if all := s.of.clients; all != nil && !s.counted {
		if err := all.Enter(s.who); err != nil {
			return err
		}
		s.counted = true
	}
	if s.entered {
		s.entered = false
		s.of.gate.Leave(s.who)
	}
	err := s.of.gate.Enter(ctx, s.who, more)
	s.entered = err == nil
	return err
}

// release gives it up. It may be called again.
func (s *slot) release() {
	if s.entered {
		s.of.gate.Leave(s.who)
	}
	if s.counted {
		s.of.clients.Leave(s.who)
	}
	s.entered, s.counted = false, false
}
