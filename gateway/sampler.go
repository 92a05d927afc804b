package gateway

import (
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

// sampler lets records through at a rate. Safe for concurrent use.
type sampler struct {
	mu      sync.Mutex
	tat     time.Time // guarded by mu
	omitted int       // guarded by mu: records since the last one that was let through
}

// take reports whether a record is let through, and how many were not before it.
func (s *sampler) take(rate gcra.Rate, now time.Time) (omitted int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	backlog, result := rate.Take(max(s.tat.Sub(now), 0))
	if !result.OK {
		s.omitted++
		return 0, false
	}
	s.tat = now.Add(backlog)
	omitted, s.omitted = s.omitted, 0
	return omitted, true
}
