package balancer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Check says how the addresses of an upstream are asked whether they are healthy. It is comparable.
type Check struct {
	Path       string
	Host       string        // Host header; "" for the address
	Interval   time.Duration // of an address
	Timeout    time.Duration // until the answer's header; at most Interval
	Healthy    int           // successes in a row after which an unhealthy address is healthy
	Unhealthy  int           // failures in a row after which a healthy one is unhealthy
	MinStatus  int           // of what counts as a success
	MaxStatus  int
	SpreadOver time.Duration // within which the first check is; at most Interval
}

// Probe sends a check where a [Member] says, and returns the answer's status. It may be called at the same time.
type Probe func(ctx context.Context, c Check, to any) (status int, err error)

// Forget has the addresses be healthy as far as checks are about it, where there are none any more.
func (p *Pool) Forget() {
	for _, m := range p.all {
		m.unchecked()
	}
}

// Run asks the addresses of the pool, which may become another one, one after another, each once in an interval, until ctx ends; it
// returns when no check is under way any more. What checks are about an upstream at a time is the caller's to keep to one Run.
func (c Check) Run(ctx context.Context, of *atomic.Pointer[Pool], probe Probe) {
	var checks sync.WaitGroup
	defer checks.Wait()
	p := of.Load()
	timer := time.NewTimer(time.Duration(p.o.Float() * float64(min(c.spacing(p), c.SpreadOver))))
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		p := of.Load()
		timer.Reset(c.spacing(p))
		m := &p.all[i%len(p.all)]
		checks.Go(func() {
			reason := c.probe(ctx, probe, m)
			if ctx.Err() == nil {
				m.checked(reason, c.Healthy, c.Unhealthy)
			}
		})
	}
}

// spacing is the time between two checks, each of another address.
func (c Check) spacing(p *Pool) time.Duration {
	return max(c.Interval/time.Duration(len(p.all)), 1)
}

// probe asks once, and says why that failed; "" where it did not.
func (c Check) probe(ctx context.Context, probe Probe, m *member) (reason string) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	status, err := probe(ctx, c, m.To)
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("no answer within %s", c.Timeout)
	case err != nil:
		return err.Error()
	case status < c.MinStatus || status > c.MaxStatus:
		return fmt.Sprintf("status %d", status)
	}
	return ""
}
