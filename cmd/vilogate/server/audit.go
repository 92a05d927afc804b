package server

import (
	"context"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
)

// openAudit opens the audit log, where there is to be one.
func (s *Server) openAudit(_ context.Context, cfg *config.Config) (err error) {
	a := cfg.Audit
	if a == nil {
		return nil
	}
	if s.audit, err = administration.OpenAudit(a, s.o.Log); err != nil {
		return err
	}
	s.onClose(s.audit.Close)
	s.AddTask(s.audit.Run)
	stats := s.audit.Stats
	s.metrics.Counter("audit_records_total", "Audit records written.", func() float64 { return float64(stats().Written) })
	s.metrics.Counter("audit_records_dropped_total", "Audit records dropped: decisions that have no record.", func() float64 { return float64(stats().Dropped) })
	s.metrics.Counter("audit_write_failures_total", "Failed writes of the audit log.", func() float64 { return float64(stats().Failures) })
	s.metrics.Gauge("audit_queue_length", "Audit records waiting to be written.", func() float64 { return float64(stats().Waiting) })
	s.metrics.Gauge("audit_failing", "Whether the audit log cannot be written at the moment (1) or can (0).", func() float64 {
		if stats().Failing {
			return 1
		}
		return 0
	})
	return nil
}
