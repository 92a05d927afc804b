package acme

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A clock learns from the authority's answers how wrong our own clock is, and
// for how long nothing may be asked. Safe for concurrent use.
type clock struct {
	next http.RoundTripper
	now  func() time.Time

	mu    sync.Mutex
	skew  time.Duration // how far we are ahead; guarded by mu
	retry time.Time     // of the last answer that asked for patience; guarded by mu
}

// mostSkew is how wrong a clock may be before nothing is ordered: what is issued
// would look ended, or not begun, and be ordered again.
const mostSkew = time.Hour

// RoundTrip implements http.RoundTripper.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if theirs, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.skew = now.Sub(theirs)
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		c.retry = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return resp, nil
}

// retryAfter reads a Retry-After (RFC 9110, section 10.2.3); zero where there is none.
func retryAfter(value string, now time.Time) time.Time {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return now.Add(time.Duration(seconds) * time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return time.Time{}
	}
	return at
}

// notBefore is when the authority takes the next attempt after an answer of that
// status; zero where it did not say.
func (c *clock) notBefore(status int) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return time.Time{}
	}
	return c.retry
}

// check refuses to go on with a clock that is wrong.
func (c *clock) check() error {
	c.mu.Lock()
	skew := c.skew
	c.mu.Unlock()
	if skew.Abs() <= mostSkew {
		return nil
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return &Problem{
		Doing:  "comparing the clock with the authority's",
		Err:    fmt.Errorf("this machine's says %s, which is %s %s it", c.now().UTC().Format(time.RFC3339), skew.Abs().Round(time.Minute), direction),
		Advice: "set the clock (NTP); until then nothing is ordered, because every new certificate would look wrong and be ordered again",
	}
}
