package limits

import (
	"context"
	"net"
	"os/exec"
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
	cmd     *exec.Cmd
	client  redis.UniversalClient
}

func newServer(t testing.TB) *server {
	t.Helper()
	logging.Disable() // the library writes to standard error what it also returns
	s := &server{t: t}
	s.start()
	s.client = redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: []string{s.address}, DialTimeout: time.Second, ReadTimeout: time.Second, MaxRetries: 1, DialerRetries: 1,
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
		cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--dir", s.t.TempDir(), "--save", "", "--appendonly", "no")
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
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
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

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); {
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
