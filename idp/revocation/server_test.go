package revocation

import (
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// A server is a Redis in which logs are opened.
type server struct {
	*redistest.Server
	t testing.TB
}

func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{redistest.New(t, args...), t}
}

// open opens the log in this server.
func (s *server) open() *Redis {
	s.t.Helper()
	return openRedis(s.t, RedisOptions{URL: s.URL()})
}

// openHasty opens the log as OpenRedis does, which gives the server a second to answer.
func (s *server) openHasty() *Redis {
	s.t.Helper()
	return openRedis(s.t, RedisOptions{URL: s.URL(), Timeout: replyTimeout})
}

// openRedis opens a log with the secret of the tests, unless another is given. It gives the server all the time that a busy
// machine may need, and does not reconcile unless it has to.
func openRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	if o.Secret == nil {
		o.Secret = []byte(testSecret)
	}
	if o.Timeout == 0 {
		o.Timeout = waitTimeout
	}
	r, err := OpenRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	r.reconcileEvery = time.Hour
	t.Cleanup(func() { closing(t, r) })
	return r
}

func closing(t testing.TB, c interface{ Close() error }) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
