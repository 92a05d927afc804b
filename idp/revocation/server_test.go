package revocation

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A server is a process of Redis.
type server struct {
	t       testing.TB
	binary  string
	dir     string
	address string
	args    []string
	cmd     *exec.Cmd
}

// newServer starts redis-server on a loopback port that is free, with a folder of its own.
func newServer(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, binary: "redis-server", dir: t.TempDir(), args: args}
	s.start()
	return s
}

// installed returns where a program is, and fails the test where it is not.
func installed(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install redis-server redis-sentinel", name)
	}
	return path
}

func freePort(t testing.TB) string {
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
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start starts the server, again at the port that it had.
func (s *server) start() {
	s.t.Helper()
	s.startWith(func(port string) []string {
		return append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	})
}

// startWith starts the server with the arguments for a port. Another process may take a free port first; then the next
// one is tried.
func (s *server) startWith(args func(port string) []string) {
	s.t.Helper()
	for range 5 {
		port := freePort(s.t)
		if s.address != "" {
			_, port, _ = net.SplitHostPort(s.address)
		}
		if address := "127.0.0.1:" + port; s.run(address, args(port)) {
			s.address = address
			return
		}
	}
	s.t.Fatalf("%s does not start", s.binary)
}

// run starts the process and reports whether it answers.
func (s *server) run(address string, args []string) bool {
	s.t.Helper()
	cmd := exec.Command(installed(s.t, s.binary), args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "signal:") {
			s.t.Logf("%s at %s: %v", s.binary, address, err)
		}
	}()
	s.t.Cleanup(func() {
		kill(s.t, cmd)
		<-exited
	})
	client := redis.NewClient(&redis.Options{Addr: address, MaxRetries: -1, DialerRetries: 1})
	defer closing(s.t, client)
	up, answered := true, false
	eventually(s.t, s.binary+" answers", func() bool {
		select {
		case <-exited:
			up = false
			return true
		default:
		}
		err := client.Ping(context.Background()).Err()
		answered = err == nil || strings.HasPrefix(err.Error(), "NOAUTH")
		return answered
	})
	s.cmd = cmd
	return up && answered
}

func closing(t testing.TB, c interface{ Close() error }) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// kill is kill -9, which a process that has ended survives.
func kill(t testing.TB, cmd *exec.Cmd) {
	if err := cmd.Process.Kill(); err != nil && !strings.Contains(err.Error(), "already finished") {
		t.Error(err)
	}
}

// kill ends the server as a power failure would.
func (s *server) kill() {
	s.t.Helper()
	kill(s.t, s.cmd)
	eventually(s.t, "the port is free again", func() bool {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			return true
		}
		closing(s.t, conn)
		return false
	})
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// do sends one command to the server.
func (s *server) do(args ...any) any {
	s.t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.address, DialTimeout: patience, ReadTimeout: patience, WriteTimeout: patience})
	defer closing(s.t, client)
	reply, err := client.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("%v: %v", args[0], err)
	}
	return reply
}

// number sends a command that is answered with one.
func (s *server) number(args ...any) int64 {
	s.t.Helper()
	n, ok := s.do(args...).(int64)
	if !ok {
		s.t.Fatalf("%v: not answered with a number", args)
	}
	return n
}

func (s *server) url() string { return fmt.Sprintf("redis://%s/0", s.address) }

// open opens the log in this server.
func (s *server) open() *Redis {
	s.t.Helper()
	return openRedis(s.t, RedisOptions{URL: s.url()})
}

// openHasty opens the log as OpenRedis does, which gives the server a second to answer.
func (s *server) openHasty() *Redis {
	s.t.Helper()
	return openRedis(s.t, RedisOptions{URL: s.url(), timeout: replyTimeout})
}

// openRedis opens a log with the secret of the tests, unless another is given. It gives the server all the time that a busy
// machine may need, and does not reconcile unless it has to.
func openRedis(t testing.TB, o RedisOptions) *Redis {
	t.Helper()
	if o.Secret == nil {
		o.Secret = []byte(testSecret)
	}
	if o.timeout == 0 {
		o.timeout = patience
	}
	r, err := OpenRedis(o)
	if err != nil {
		t.Fatal(err)
	}
	r.reconcileEvery = time.Hour
	t.Cleanup(func() { closing(t, r) })
	return r
}
