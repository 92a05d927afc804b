// The tests in this package hold vilogate to its contract from the outside: each starts the real binary with a state
// folder of its own, speaks to it over real sockets, and looks at what its backends received. Nothing is imported from
// the product but the authority and the DNS that it is tested with, so that a test can fail only where a person would have
// seen something go wrong.
//
// harness_test.go starts and ends processes, site_test.go servers with a folder of their own, client_test.go is a well-behaved HTTP client and its logins, wire_test.go
// speaks HTTP/1.1 and HTTP/2 byte for byte, recorder_test.go keeps what a backend received, mint_test.go signs tokens.
package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// waitTimeout ends a test that hangs. It is far above what anything takes, so that a busy machine fails no test.
const waitTimeout = 3 * time.Minute

// unhelped bounds what has to happen by itself: it is less than the time after which a gateway looks at its whole
// revocation list again, and would find what it had missed.
const unhelped = 20 * time.Second

// The program under test, built once by TestMain before any test runs: binary is what serves, with the race detector where
// the tests have it. Commands that end by themselves run without it (commandBinary): there are hundreds of them, each would
// take five times as long, and nothing in them is shared.
var binary, commandBinary string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "vilogate-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	binary = filepath.Join(dir, "server", "vilogate")
	commandBinary = binary
	if raceDetector() {
		commandBinary = filepath.Join(dir, "command", "vilogate")
		if err := build(commandBinary, "-tags", "cheaphash"); err != nil {
			return 1, err
		}
		err = build(binary, "-race")
	} else {
		err = build(binary)
	}
	if err != nil {
		return 1, err
	}
	return m.Run(), nil
}

func build(path string, flags ...string) error {
	arguments := append([]string{"build", "-ldflags", "-s -w", "-o", path}, flags...)
	command := exec.Command("go", append(arguments, ".")...)
	if !slices.Contains(flags, "-race") { // which needs cgo
		command.Env = append(os.Environ(), "CGO_ENABLED=0") // as releases are built
	}
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("building the program under test: %w\n%s", err, output)
	}
	return nil
}

// raceDetector says whether what serves is built with -race: where VILOGATE_RACE says so, or these tests are. `make test` does the
// former, because the clients and backends in this package would take as much time as what they try.
func raceDetector() bool {
	if os.Getenv("VILOGATE_RACE") != "" {
		return true
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" && s.Value == "true" {
			return true
		}
	}
	return false
}

// program finds a real part that a test needs. A missing one fails the test and names what to install.
func program(tb testing.TB, name, debianPackage string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		tb.Fatalf("%s is not on PATH: apt-get install %s", name, debianPackage)
	}
	return path
}

// eventually waits for a condition without sleeping blindly, and fails with what was waited for.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	within(tb, waitTimeout, what, condition)
}

func within(tb testing.TB, limit time.Duration, what string, condition func() bool) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			tb.Fatalf("waited %v in vain: %s", limit, what)
		}
		<-tick.C
	}
}

// process is one running program. Its output is kept, and shown when the test fails.
type process struct {
	tb     testing.TB
	cmd    *exec.Cmd
	name   string
	output *transcript
	ended  chan struct{} // closed by the goroutine that waits for the process
	err    error         // how it ended; read only after ended is closed
}

// launch starts a program that the test's end kills, if nothing ended it before.
func launch(tb testing.TB, dir string, environment []string, path string, arguments ...string) *process {
	tb.Helper()
	return launchWith(tb, nil, dir, environment, path, arguments...)
}

// launchWith is launch with files that are open for the program, from descriptor 3 on.
func launchWith(tb testing.TB, files []*os.File, dir string, environment []string, path string, arguments ...string) *process {
	tb.Helper()
	p := &process{tb: tb, name: filepath.Base(path), output: newTranscript(), ended: make(chan struct{})}
	p.cmd = exec.Command(path, arguments...)
	p.cmd.Dir, p.cmd.ExtraFiles = dir, files
	p.cmd.Env = environment
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		tb.Fatalf("starting %s: %v", p.name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	tb.Cleanup(func() {
		p.kill()
		if tb.Failed() {
			tb.Logf("%s %s said:\n%s", p.name, strings.Join(arguments, " "), p.output.tail(80))
		}
	})
	return p
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) signal(s syscall.Signal) {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.tb.Errorf("sending %v to %s: %v", s, p.name, err)
	}
}

// kill ends the process as a power failure would: nothing of it runs any more, nor of what it started.
func (p *process) kill() {
	p.tb.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.tb.Errorf("killing %s: %v", p.name, err)
	}
	<-p.ended
}

// terminate asks the process to end and returns how it did.
func (p *process) terminate(s syscall.Signal) error {
	p.tb.Helper()
	p.signal(s)
	return p.wait()
}

func (p *process) wait() error {
	p.tb.Helper()
	select {
	case <-p.ended:
	case <-time.After(waitTimeout):
		p.tb.Fatalf("%s did not end", p.name)
	}
	return p.err
}

// transcript keeps what a program printed, and tells when a given line has appeared.
type transcript struct {
	mu    sync.Mutex
	text  bytes.Buffer // guarded by mu
	ready chan struct{}
}

func newTranscript() *transcript { return &transcript{ready: make(chan struct{})} }

var readyLine = regexp.MustCompile(`(?m)^ready\r?$`)

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, err := t.text.Write(p)
	select {
	case <-t.ready: // there may be much of it by now
	default:
		if readyLine.Match(t.text.Bytes()) {
			close(t.ready)
		}
	}
	return n, err
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func (t *transcript) tail(lines int) string {
	all := strings.Split(t.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// lastPort counts the addresses handed out, so that no two tests of this process are given the same one.
var lastPort atomic.Int32

// freeAddress returns a loopback address for a server that has to come back to the same one. It lies below the range
// from which the kernel serves port 0, so that nothing else takes it while that server is away.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for range 1000 {
		port := 16000 + (os.Getpid()*41+int(lastPort.Add(1)))%16000
		listener, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			tb.Fatal(err)
		}
		return listener.Addr().String()
	}
	tb.Fatal("no free port between 16000 and 32000")
	return ""
}

func listenLoopback(tb testing.TB) net.Listener {
	tb.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return listener
}
