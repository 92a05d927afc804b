package acmetest

import (
	"bufio"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A Redis is a redis-server that keeps nothing on disk.
type Redis struct {
	Address string

	t     testing.TB
	cmd   *exec.Cmd
	ended chan struct{}
}

// NewRedis starts one on a loopback port.
func NewRedis(t testing.TB) *Redis {
	t.Helper()
	r := &Redis{t: t, Address: freePorts(t, 1)[0]}
	r.Start()
	return r
}

// Start starts it, again at its address.
func (r *Redis) Start() {
	r.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		r.t.Fatal("redis-server is not on PATH: apt-get install redis-server")
	}
	_, port, err := net.SplitHostPort(r.Address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.cmd = exec.Command(path, "--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--dir", r.t.TempDir())
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	cmd, ended := r.cmd, make(chan struct{})
	r.ended = ended
	go func() {
		defer close(ended)
		if err := cmd.Wait(); err != nil && !strings.Contains(err.Error(), "signal:") {
			r.t.Logf("redis-server: %v", err)
		}
	}()
	r.t.Cleanup(r.Stop)
	for deadline := time.Now().Add(startTimeout); r.Do("PING") != "+PONG"; {
		if time.Now().After(deadline) {
			r.t.Fatal("redis-server does not answer")
		}
		<-time.After(10 * time.Millisecond)
	}
}

// Stop ends it as a power failure would.
func (r *Redis) Stop() {
	if r.cmd == nil {
		return
	}
	if err := r.cmd.Process.Kill(); err != nil && !strings.Contains(err.Error(), "finished") {
		r.t.Error(err)
	}
	<-r.ended
	r.cmd = nil
}

// Do sends one inline command and returns the first line of the answer, "" without one.
func (r *Redis) Do(format string, a ...any) string {
	conn, err := net.DialTimeout("tcp", r.Address, startTimeout)
	if err != nil {
		return ""
	}
	defer func() {
		if err := conn.Close(); err != nil {
			r.t.Error(err)
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(startTimeout)); err != nil {
		return ""
	}
	if _, err := fmt.Fprintf(conn, format+"\r\n", a...); err != nil {
		return ""
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}

// Client is a client of it, which waits for as long as a busy machine may need.
func (r *Redis) Client() redis.UniversalClient {
	client := redis.NewClient(&redis.Options{
		Addr: r.Address, DialTimeout: startTimeout, ReadTimeout: startTimeout, WriteTimeout: startTimeout, MaxRetries: 1, DialerRetries: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	r.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			r.t.Error(err)
		}
	})
	return client
}
