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

// A clock stands between us and the authority. It learns from the answers how
// wrong our own clock is and for how long nothing may be asked, and bounds them.
// Safe for concurrent use.
type clock struct {
	next http.RoundTripper
	now  func() time.Time

	mu     sync.Mutex
	skew   time.Duration // how far we are ahead; guarded by mu
	status int           // of the last answer; guarded by mu
	retry  time.Time     // when the last answer wants to be asked again; guarded by mu
}

// mostSkew is how wrong a clock may be before nothing is ordered: what is issued
// would look ended, or not begun, and be ordered again.
const mostSkew = time.Hour

// maxAuthorityAnswer bounds an answer of the authority, in bytes.
const maxAuthorityAnswer = 1 << 20

// RoundTrip implements http.RoundTripper.
func (c *clock) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(r)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status, c.retry = 0, time.Time{}
	if err != nil {
		return resp, err
	}
	resp.Body = &boundedBody{resp.Body, maxAuthorityAnswer}
	now := c.now()
	if theirs, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.skew = now.Sub(theirs)
	}
	c.status, c.retry = resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), now)
	return resp, nil
}

var errTooLong = errors.New("the answer is longer than 1 MiB")

// boundedBody fails when a body is too long.
type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
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

// last tells of the last answer: its status, 0 where none came, and when the
// authority wants to be asked again, zero where it did not say.
func (c *clock) last() (status int, retry time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status, c.retry
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
		Doing: "comparing the clock with the authority's", Ours: true,
		Err:    fmt.Errorf("this machine's says %s, which is %s %s it", c.now().UTC().Format(time.RFC3339), skew.Abs().Round(time.Minute), direction),
		Advice: "set the clock (NTP); until then nothing is ordered, because every new certificate would look wrong and be ordered again",
	}
}
