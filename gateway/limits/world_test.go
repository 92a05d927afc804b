package limits

import (
	"context"
	"net"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// clock is a time that stands until a test moves it.
type clock struct{ nanos atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.nanos.Store(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time           { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(by time.Duration) { c.nanos.Add(int64(by)) }

// A server is a real redis-server on a loopback port that is free.
type server struct {
	t       testing.TB
	address string
	args    []string
	cmd     *exec.Cmd
	client  redis.UniversalClient
}

func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	logging.Disable() // the library writes to standard error what it also returns
	s := &server{t: t, args: args}
	s.start()
	s.client = redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{s.address}, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience,
		MaxRetries: 1, DialerRetries: 1, ContextTimeoutEnabled: true,
	})
	t.Cleanup(func() {
		if err := s.client.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start starts the server, again at the port that it had. Another process may take a free port first; then the next one
// is tried.
func (s *server) start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is missing: apt-get install redis-server")
	}
	for range 5 {
		if s.address == "" {
			s.address = freeAddress(s.t)
		}
		_, port, err := net.SplitHostPort(s.address)
		if err != nil {
			s.t.Fatal(err)
		}
		cmd := exec.Command(path, append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.t.TempDir(), "--save", "", "--appendonly", "no"}, s.args...)...)
		if err := cmd.Start(); err != nil {
			s.t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		s.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
		if s.cmd = cmd; answers(s.address, ended) {
			return
		}
		s.address = ""
	}
	s.t.Fatal("redis-server does not start")
}

func answers(address string, ended <-chan struct{}) bool {
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DialerRetries: 1})
	defer func() { _ = client.Close() }()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		select {
		case <-ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
		if client.Ping(context.Background()).Err() == nil {
			return true
		}
	}
	return false
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	return l.Addr().String()
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// patientRedis is a store that waits for as long as a busy machine may need.
func patientRedis(client redis.UniversalClient) *Redis {
	r := NewRedis(client)
	r.timeout = patience
	return r
}

// newCluster is a connection to a Cluster of three nodes.
func newCluster(t testing.TB) redis.UniversalClient {
	t.Helper()
	ctx := context.Background()
	var nodes [3]*server
	var buses [3]string
	for i := range nodes {
		_, port, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		buses[i] = port
		nodes[i] = newServer(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", port)
		first, last := i*16384/3, (i+1)*16384/3-1
		for _, command := range [][]any{{"CLUSTER", "ADDSLOTSRANGE", first, last}, {"CLUSTER", "SET-CONFIG-EPOCH", i + 1}} {
			if err := nodes[i].client.Do(ctx, command...).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, port, err := net.SplitHostPort(nodes[0].address)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes[1:] {
		if err := n.client.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", port, buses[0]).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range nodes {
		eventually(t, "the cluster is formed", func() bool {
			info, err := n.client.ClusterInfo(ctx).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{nodes[1].address}, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// patience ends a test that hangs.
const patience = 2 * time.Minute

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); {
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
