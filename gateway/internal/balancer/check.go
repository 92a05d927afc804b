package balancer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
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

// userAgent is how checks introduce themselves.
const userAgent = "vilogate-health-check"

// Forget has the addresses be healthy as far as checks are about it, where there are none any more.
func (p *Pool) Forget() {
	for _, a := range p.addresses {
		a.unchecked()
	}
}

// Run asks the addresses one after another, each once in an interval, until ctx ends; it returns when no check is under
// way any more. What checks are about an upstream at a time is the caller's to keep to one Run.
func (p *Pool) Run(ctx context.Context, c Check, transport http.RoundTripper) {
	var checks sync.WaitGroup
	defer checks.Wait()
	apart := max(c.Interval/time.Duration(len(p.addresses)), 1)
	timer := time.NewTimer(time.Duration(p.o.Float() * float64(min(apart, c.SpreadOver))))
	defer timer.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(apart)
		a := p.addresses[i%len(p.addresses)]
		checks.Go(func() {
			reason := c.ask(ctx, a.host, transport)
			if ctx.Err() == nil {
				a.checked(reason, c.Healthy, c.Unhealthy)
			}
		})
	}
}

// ask asks once, and says why that failed; "" where it did not. Redirects are not followed.
func (c Check) ask(ctx context.Context, host string, transport http.RoundTripper) (reason string) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+c.Path, nil)
	if err != nil {
		return err.Error()
	}
	r.Host = c.Host
	r.Header.Set("User-Agent", userAgent)
	resp, err := transport.RoundTrip(r)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %s", c.Timeout)
	}
	if err != nil {
		return err.Error()
	}
	if err := resp.Body.Close(); err != nil {
		return err.Error()
	}
	if resp.StatusCode < c.MinStatus || resp.StatusCode > c.MaxStatus {
		return fmt.Sprintf("status %d", resp.StatusCode)
	}
	return ""
}
