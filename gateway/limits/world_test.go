package limits

import (
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

func TestMain(m *testing.M) {
	logging.Disable() // the library writes to standard error what it also returns
	os.Exit(m.Run())
}

// clock is a time that stands until a test moves it.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time           { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(by time.Duration) { c.nanos.Add(int64(by)) }

// redisWithTimeout is a store that waits for as long as a busy machine may need.
func redisWithTimeout(client redis.UniversalClient) *Redis {
	r := NewRedis(client)
	r.timeout = waitTimeout
	return r
}

// newCluster is a connection to a Cluster of three nodes.
func newCluster(t testing.TB) redis.UniversalClient {
	t.Helper()
	nodes := redistest.NewCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[1].Address}, DialTimeout: waitTimeout, ReadTimeout: waitTimeout, WriteTimeout: waitTimeout})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// waitTimeout ends a test that hangs.
const waitTimeout = 2 * time.Minute

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

var secret = []byte("0123456789abcdef0123456789abcdef")

func newLimiter(t testing.TB, o Options) *Limiter {
	t.Helper()
	l, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}
