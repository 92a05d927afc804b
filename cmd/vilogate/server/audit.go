package server

import (
	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway/audit"
)

// openAudit opens the audit log, where there is to be one.
func (s *Server) openAudit(cfg *config.Config) (err error) {
	a := cfg.Audit
	if a == nil {
		return nil
	}
	s.audit, err = audit.Open(audit.Options{
		File: a.File, MaxSize: int64(a.MaxSize), Keep: a.Keep,
		Fsync:     map[config.Fsync]audit.Fsync{"always": audit.Always, "interval": audit.Interval, "off": audit.Off}[a.Fsync],
		OnFailure: map[string]audit.OnFailure{"refuse": audit.Refuse, "drop": audit.Drop}[a.OnFailure],
		Log:       s.o.Log,
	})
	if err != nil {
		return config.Placed(a.Places.Of("file"), err)
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
