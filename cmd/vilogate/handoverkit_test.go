package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
)

// handoverPolicy is of the site that hands over.
const handoverPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /socket, allow: authenticated, websocket: true }
  - { path: "/*rest", allow: authenticated }
`

// slowBackend answers at once, but for what the test holds back: downloads, of which the first half comes, and uploads, which are
// read as they come.
type slowBackend struct {
	*httptest.Server
	held     atomic.Int32
	proceed  chan struct{}
	upgraded atomic.Int32
}

const half = 100_000 // bytes of a download

func newSlowBackend(t *testing.T) *slowBackend {
	b := &slowBackend{proceed: make(chan struct{})}
	echo := echoFrames(t, &b.upgraded)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/socket":
			echo(w, r)
		case "/public/download":
			part := strings.Repeat("x", half)
			_, _ = io.WriteString(w, part)
			_ = http.NewResponseController(w).Flush()
			b.held.Add(1)
			<-b.proceed
			_, _ = io.WriteString(w, part)
		case "/public/upload":
			b.held.Add(1)
			n, err := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n, err)
		default:
			fmt.Fprint(w, "ok")
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// handoverSite is a gateway of a fleet, which keeps nothing in its state folder that one process alone may have.
type handoverSite struct {
	*site
	backend *slowBackend
	fleet   *fleet
	own     signer
}

// newHandoverSite lays one out, with more of its configuration and of the command line.
func newHandoverSite(t *testing.T, more string, arguments ...string) *handoverSite {
	t.Helper()
	h := &handoverSite{backend: newSlowBackend(t), own: newSigner(t)}
	h.fleet = newFleet(t, publishKeys(t, h.own).URL, more)
	files := h.fleet.files()
	files["vilogate.yaml"] = strings.NewReplacer(h.fleet.backend.url(), h.backend.URL, "listen: {", "listen: { http3: 127.0.0.1:0,",
		"timeout: 20s", "timeout: 150s").Replace(files["vilogate.yaml"]) // no drain ends before what a test has under way
	files["vilogate.yaml"] += "forward_auth: { listen: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1] }\n"
	files["policies/app.yaml"] = handoverPolicy
	h.site = prepare(t, files)
	h.arguments = append(h.arguments, arguments...)
	// The program is looked up again at each handover, so that a test can put another in its place.
	h.program = filepath.Join(h.dir, "vilogate")
	h.install(t, binary)
	return h
}

// install puts another program in the place of the site's, as an upgrade does.
func (h *handoverSite) install(t *testing.T, from string) {
	t.Helper()
	fresh := h.program + ".new"
	if err := errors.Join(os.Link(from, fresh), os.Rename(fresh, h.program)); err != nil {
		t.Fatal(err)
	}
}

// installScript puts a shell script there.
func (h *handoverSite) installScript(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(h.program+".sh", []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.install(t, h.program+".sh")
}

// owner is the process that has the state folder.
func (s *site) owner(t *testing.T) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(string(readFile(t, filepath.Join(s.state, "lock")))))
	if err != nil {
		return 0 // it is being written
	}
	return pid
}

// handOver asks a process to hand over, and returns the one that has taken over.
func (h *handoverSite) handOver(t *testing.T, old int) int {
	t.Helper()
	if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another process has taken over", func() bool { now := h.owner(t); return now != 0 && now != old })
	return h.owner(t)
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// load asks again and again, and counts what fails.
type load struct {
	t        *testing.T
	stop     chan struct{}
	all      sync.WaitGroup
	answered atomic.Int64
}

func newLoad(t *testing.T) *load { return &load{t: t, stop: make(chan struct{})} }

// run has a client ask until the load ends. No failure is allowed.
func (l *load) run(name string, ask func() error) {
	l.all.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				l.t.Logf("%s: %d", name, i)
				return
			default:
			}
			if err := ask(); err != nil {
				l.t.Errorf("%s, request %d: %v", name, i, err)
				return
			}
			l.answered.Add(1)
		}
	})
}

// more waits until so many more requests were answered.
func (l *load) more(n int64) {
	l.t.Helper()
	until := l.answered.Load() + n
	eventually(l.t, "requests are answered", func() bool { return l.answered.Load() >= until })
}

func (l *load) end() {
	close(l.stop)
	l.all.Wait()
}

// ask gets the page that anybody may have.
func ask(c *http.Client, s *site) error {
	response, err := c.Get(s.url("app", "/public/x"))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || string(body) != "ok" {
		return fmt.Errorf("answered %d %q", response.StatusCode, body)
	}
	return nil
}

// clients load a site over new connections and kept ones, in each protocol over TCP.
func (l *load) clients(s *site) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		kept := newClient(l.t, s, s.tls("", protocol))
		l.run("kept, "+protocol, func() error { return ask(kept.http, s) })
		fresh := newClient(l.t, s, s.tls("", protocol))
		l.run("new, "+protocol, func() error {
			err := ask(fresh.http, s)
			fresh.http.CloseIdleConnections()
			return err
		})
	}
}

// overHTTP3 loads a site over HTTP/3. A request that fails before it could be answered is repeated once, as browsers do.
func (l *load) overHTTP3(s *site) {
	c := s.client().overHTTP3()
	repeated := 0
	l.run("HTTP/3", func() error {
		err := ask(c.http, s)
		if err == nil {
			return nil
		}
		repeated++
		l.t.Logf("HTTP/3 repeats: %v", err)
		c.http.Transport.(*http3.Transport).CloseIdleConnections()
		return ask(c.http, s)
	})
}

// started begins a request, and returns what its answer comes to.
func started(t *testing.T, c *client, method, address string, body io.Reader) <-chan string {
	t.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan string, 1)
	go func() {
		response, err := c.http.Do(request)
		if err != nil {
			result <- err.Error()
			return
		}
		text, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			result <- err.Error()
			return
		}
		result <- string(text)
	}()
	return result
}

// socket opens a WebSocket, of which the bytes come back as they are.
func (s *site) socket(t *testing.T, cookie string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: "+appHost+"\r\n"+upgrade+"Origin: https://"+appHost+"\r\n"+cookie+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the WebSocket: %v, %v", response, err)
	}
	return conn, reader
}

func echoes(t *testing.T, conn net.Conn, reader *bufio.Reader) {
	t.Helper()
	if _, err := io.WriteString(conn, "still there"); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("still there"))
	if _, err := io.ReadFull(reader, got); err != nil || string(got) != "still there" {
		t.Fatalf("echoed %q, %v", got, err)
	}
}

// noDescriptorTwice: what was handed over is open once, and what the old process had besides has not come along.
func noDescriptorTwice(t *testing.T, pid int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, fd := range all {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		if n, _ := strconv.Atoi(fd.Name()); err != nil || n < 3 || !strings.HasPrefix(to, "socket:") && !strings.HasSuffix(to, "/lock") {
			continue
		}
		if other, twice := seen[to]; twice {
			t.Errorf("descriptors %s and %s are both %s", other, fd.Name(), to)
		}
		seen[to] = fd.Name()
	}
}

// said waits until a server has written a text, so often.
func (s *site) said(t *testing.T, text string, times int) {
	t.Helper()
	eventually(t, text, func() bool { return strings.Count(s.output.String(), text) >= times })
}

// successors are the processes that a server has started to take over from it, in their order.
func (s *site) successors(t *testing.T) []int {
	t.Helper()
	var all []int
	for line := range strings.Lines(s.output.String()) {
		if _, rest, ok := strings.Cut(line, `"msg":"a new process is starting, to take over","successor":`); ok {
			pid, err := strconv.Atoi(strings.TrimRight(rest, "}\n"))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, pid)
		}
	}
	return all
}

func signalTo(t *testing.T, pid int, s syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatalf("%v to %d: %v", s, pid, err)
	}
}

const goesOn = `"msg":"not handed over; this process goes on"`

// stopAtHandovers has each new process stop the one that has started it, which takes no step before it is continued.
func (h *handoverSite) stopAtHandovers(t *testing.T) {
	t.Helper()
	h.installScript(t, "kill -STOP $PPID\nexec "+binary+` "$@"`)
}

// startBeside asks a process to hand over, which is stopped by that, and returns the new process, which serves.
func (h *handoverSite) startBeside(t *testing.T, old int) (next int) {
	t.Helper()
	signalTo(t, old, syscall.SIGUSR2)
	eventually(t, "the new process serves beside the old one", func() bool {
		next = servedBy(h.site)
		return next != 0 && next != old
	})
	return next
}

// servedBy is the process that answers a new connection, as /status says; 0 where none does, as one that was stopped when it had
// accepted the connection.
func servedBy(s *site) int {
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}
	response, err := c.Get("http://" + s.at.Admin + "/status")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	var status struct{ PID int }
	if json.NewDecoder(response.Body).Decode(&status) != nil {
		return 0
	}
	return status.PID
}
