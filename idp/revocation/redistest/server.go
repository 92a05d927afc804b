package redistest

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// timeout bounds each wait for a server; a busy machine may need that long.
const timeout = 2 * time.Minute

// A Server is a process of Redis. Its methods are for the goroutine of the test, which they end where something fails.
type Server struct {
	Address string // host:port on loopback; the same for as long as the test runs
	Dir     string // where it would write its snapshots

	t        testing.TB
	secure   *tls.Config // how it is spoken to; nil in plain
	password string      // of its default user; "" without one
	program  string
	args     func(port string) []string
	cmd      *exec.Cmd
	exited   chan struct{} // closed once cmd has ended
}

// New starts a redis-server with more arguments than its address, such as "--requirepass", "word".
func New(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: "redis-server", Dir: t.TempDir()}
	s.password = after(args, "--requirepass")
	s.args = func(port string) []string {
		return append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--appendonly", "no"}, args...)
	}
	s.begin()
	return s
}

// NewSecure is New for a server that speaks TLS alone, by the self-signed certificate and the key in two files (PEM), and
// asks for no certificate of its clients. It is spoken to by the first name of the certificate, where that has names.
func NewSecure(t testing.TB, certificate, key string, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, program: "redis-server", Dir: t.TempDir(), password: after(args, "--requirepass")}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s.secure = &tls.Config{RootCAs: x509.NewCertPool()}
	if names := pair.Leaf.DNSNames; len(names) > 0 {
		s.secure.ServerName = names[0]
	}
	s.secure.RootCAs.AddCert(pair.Leaf)
	s.args = func(port string) []string {
		return append([]string{
			"--port", "0", "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate,
			"--tls-auth-clients", "no", "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--appendonly", "no",
		}, args...)
	}
	s.begin()
	return s
}

// after is the argument behind another one, "" where there is none.
func after(args []string, option string) string {
	if i := slices.Index(args, option); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// begin starts the server at a port that is free. Another process may take the port first; then it tries another one.
func (s *Server) begin() {
	s.t.Helper()
	s.t.Cleanup(s.end)
	for range 5 {
		if s.Address = freeAddress(s.t); s.run() {
			return
		}
	}
	s.t.Fatalf("%s does not start", s.program)
}

// Start starts a server that was killed, at its address.
func (s *Server) Start() {
	s.t.Helper()
	if !s.run() {
		s.t.Fatalf("%s does not start again at %s", s.program, s.Address)
	}
}

// run starts the process and reports whether it answers, which one that ends does not.
func (s *Server) run() bool {
	s.t.Helper()
	path, err := exec.LookPath(s.program)
	if err != nil {
		s.t.Fatalf("%s is not on PATH: apt-get install redis-server redis-sentinel", s.program)
	}
	output, err := os.OpenFile(s.outputFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer closeOf(s.t, output)
	_, port := s.hostPort()
	s.cmd, s.exited = exec.Command(path, s.args(port)...), make(chan struct{})
	s.cmd.Stdout, s.cmd.Stderr = output, output
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func(cmd *exec.Cmd, exited chan<- struct{}) {
		defer close(exited)
		_ = cmd.Wait() // the test kills it, and the output says the rest
	}(s.cmd, s.exited)
	return s.answers()
}

// answers waits until the server answers PING, be it that it wants a password, or until it ends.
func (s *Server) answers() bool {
	s.t.Helper()
	var answered bool
	wait(s.t, s.program+" answers", func() bool {
		select {
		case <-s.exited:
			return true
		default:
		}
		reply := s.ping()
		answered = strings.HasPrefix(reply, "+PONG") || strings.HasPrefix(reply, "-NOAUTH")
		return answered
	})
	return answered
}

// ping returns the answer to PING, "" without one.
func (s *Server) ping() string {
	dialer := &net.Dialer{Timeout: timeout}
	dial := dialer.Dial
	if s.secure != nil {
		dial = (&tls.Dialer{NetDialer: dialer, Config: s.secure}).Dial
	}
	conn, err := dial("tcp", s.Address)
	if err != nil {
		return ""
	}
	defer closeOf(s.t, conn)
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return ""
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return ""
	}
	reply, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return ""
	}
	return reply
}

// Kill ends the server as a power failure would, and returns once its port is free. A server that has ended survives it.
func (s *Server) Kill() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
	<-s.exited
}

// end kills the server, and shows what it said where the test has failed.
func (s *Server) end() {
	s.Kill()
	if !s.t.Failed() {
		return
	}
	if output, err := os.ReadFile(s.outputFile()); err == nil {
		s.t.Logf("%s %s said:\n%s", s.program, s.Address, output[max(0, len(output)-4<<10):])
	}
}

func (s *Server) outputFile() string { return filepath.Join(s.Dir, "output") }

// Pause makes the server take connections and say nothing, until Resume.
func (s *Server) Pause() { s.t.Helper(); s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() { s.t.Helper(); s.signal(syscall.SIGCONT) }

func (s *Server) signal(number syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(number); err != nil {
		s.t.Fatal(err)
	}
}

// URL is the server's first database, without a password, and in plain whatever it speaks.
func (s *Server) URL() string { return "redis://" + s.Address + "/0" }

// Client is a new client of the server, which waits for as long as a busy machine may need. The test's end closes it.
func (s *Server) Client() redis.UniversalClient {
	client := s.client()
	s.t.Cleanup(func() { closeOf(s.t, client) })
	return client
}

func (s *Server) client() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: s.Address, Password: s.password, TLSConfig: s.secure, DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout,
		MaxRetries: 1, DialerRetries: 1, ContextTimeoutEnabled: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// Do sends one command and returns the answer, nil where there is none.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	client := s.client()
	defer closeOf(s.t, client)
	reply, err := client.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		s.t.Fatalf("%v: %v", args[0], err)
	}
	return reply
}

// Number sends a command that is answered with a number.
func (s *Server) Number(args ...any) int64 {
	s.t.Helper()
	n, ok := s.Do(args...).(int64)
	if !ok {
		s.t.Fatalf("%v: not answered with a number", args)
	}
	return n
}

// freeAddress is an address on loopback that nobody listens on. It lies below the range from which the kernel takes ports
// for outgoing connections, so that nobody has taken it when a server comes back.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(16000+rand.IntN(16000)))
		if l, err := net.Listen("tcp", address); err == nil {
			closeOf(t, l)
			return address
		}
	}
	t.Fatal("no free port between 16000 and 32000")
	return ""
}

// wait waits until a condition holds.
func wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(timeout); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

func closeOf(t testing.TB, c interface{ Close() error }) {
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func (s *Server) hostPort() (host, port string) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(s.Address)
	if err != nil {
		s.t.Fatal(err)
	}
	return host, port
}
