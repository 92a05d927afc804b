package acme

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A skewTransport is the transport to the authority. It takes the clock skew and
// Retry-After from the responses (RFC 9110, sections 6.6.1 and 10.2.3), and bounds
// their size.
// Safe for concurrent use.
type skewTransport struct {
	next http.RoundTripper
	now  func() time.Time

	mu         sync.Mutex
	skew       time.Duration // how far our clock is ahead; guarded by mu
	status     int           // of the last response; guarded by mu
	retryAfter time.Time     // its Retry-After; guarded by mu
}

// maxSkew is the clock skew beyond which nothing is ordered: what is issued would
// look expired, or not yet valid, and be ordered again.
const maxSkew = time.Hour

// maxAuthorityResponse bounds a response of the authority, in bytes.
const maxAuthorityResponse = 1 << 20

// RoundTrip implements http.RoundTripper.
func (c *skewTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.retryAfter = 0, time.Time{}
	if err != nil {
		return resp, err
	}
	resp.Body = &limitedBody{resp.Body, maxAuthorityResponse}
	now := c.now()
	if serverTime, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.skew = now.Sub(serverTime)
	}
	c.status, c.retryAfter = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), now)
	return resp, nil
}

var errTooLong = errors.New("the response is longer than 1 MiB")

// limitedBody fails when a body is too long.
type limitedBody struct {
	io.ReadCloser
	remaining int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.remaining <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.remaining)])
	b.remaining -= n
	return n, err
}

// retryAfter parses a Retry-After (RFC 9110, section 10.2.3); zero where there is none.
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

// lastResponse is the status of the last response, 0 where none came, and its
// Retry-After, zero where it has none.
func (c *skewTransport) lastResponse() (status int, retryAfter time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.retryAfter
}

// checkSkew is a Problem where the clock skew is beyond maxSkew.
func (c *skewTransport) checkSkew() error {
	c.mu.Lock()
	skew := c.skew
	c.mu.Unlock()
	if skew.Abs() <= maxSkew {
		return nil
	}
	direction := "ahead of"
	if skew < 0 {
		direction = "behind"
	}
	return &Problem{
		Op: "comparing the clock with the authority's", Local: true,
		Err:    fmt.Errorf("this machine's says %s, which is %s %s it", c.now().UTC().Format(time.RFC3339), skew.Abs().Round(time.Minute), direction),
		Advice: "set the clock (NTP); until then nothing is ordered, because every new certificate would look wrong and be ordered again",
	}
}
