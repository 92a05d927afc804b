package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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
	files["vilogate.yaml"] = strings.NewReplacer(h.fleet.backend.url(), h.backend.URL, "listen: {", "listen: { http3: 127.0.0.1:0,").Replace(files["vilogate.yaml"])
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

// TestHandoverUnderLoad: a new process takes over twice, and no connection is refused, no request fails; what was under way in the
// old one ends there.
func TestHandoverUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first, listening := h.owner(t), readFile(t, filepath.Join(h.state, "addresses.json"))
	cookie := cookieLine(h.own.sign(h.own.header(nil), good("alice", nil).json()))

	l := newLoad(t)
	l.clients(h.site)
	l.overHTTP3(h.site)
	l.more(20)
	upload, send := io.Pipe()
	uploaded := started(t, newClient(t, h.site, h.tls("", "h2")), http.MethodPost, h.url("app", "/public/upload"), upload)
	if _, err := io.WriteString(send, strings.Repeat("u", half)); err != nil {
		t.Fatal(err)
	}
	over1 := started(t, newClient(t, h.site, h.tls("", "http/1.1")), http.MethodGet, h.url("app", "/public/download"), nil)
	over2 := started(t, newClient(t, h.site, h.tls("", "h2")), http.MethodGet, h.url("app", "/public/download"), nil)
	conn, reader := h.socket(t, cookie)
	echoes(t, conn, reader)
	eventually(t, "all are under way", func() bool { return h.backend.held.Load() == 3 })

	second := h.handOver(t, first)
	l.more(100)
	echoes(t, conn, reader)
	if gone(first) {
		t.Error("the old process has not waited for what is under way")
	}
	// Commands reach the new process.
	if status := object[struct{ PID int }](t, answer{body: h.must("", "status", "--json", "--state", h.state)}); status.PID != second {
		t.Errorf("asked %d for its status, and %d has taken over", status.PID, second)
	}
	h.must("", "reload", "--state", h.state)

	if _, err := io.WriteString(send, strings.Repeat("u", half)); err != nil {
		t.Fatal(err)
	}
	closeQuietly(t, send)
	close(h.backend.proceed)
	if got := <-uploaded; got != fmt.Sprint(2*half, nil) {
		t.Errorf("uploaded: %.100s", got)
	}
	for _, download := range []<-chan string{over1, over2} {
		if got := <-download; got != strings.Repeat("x", 2*half) {
			t.Errorf("downloaded %d bytes: %.100s", len(got), got)
		}
	}
	closeQuietly(t, conn)
	eventually(t, "the old process has ended", func() bool { return gone(first) })

	third := h.handOver(t, second)
	l.more(100)
	l.end()
	eventually(t, "that process has ended, too", func() bool { return gone(second) })
	noDescriptorTwice(t, third)
	// All ports were picked by the first: whatever had not been handed over would have another.
	if now := readFile(t, filepath.Join(h.state, "addresses.json")); string(now) != string(listening) {
		t.Errorf("the first listened at %s, and the third does at %s", listening, now)
	}
	if err := syscall.Kill(third, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the last has ended", func() bool { return gone(third) })
	if _, err := os.Stat(filepath.Join(h.state, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
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

// TestHandoverToWhatDoesNotServe: where the new process ends, hangs, or is not let, the old one goes on with everything that it
// had, and says why.
func TestHandoverToWhatDoesNotServe(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "", "--handover-timeout", "3s")
	h.start()
	pid := h.owner(t)
	l := newLoad(t)
	l.clients(h.site)
	good := string(readFile(t, filepath.Join(h.dir, "vilogate.yaml")))
	for i, c := range []struct {
		name, why string
		prepare   func()
		meanwhile func()
	}{
		{"a bad configuration", "the new process has ended: exit status 1", func() {
			writeFiles(t, h.dir, map[string]string{"vilogate.yaml": good + "nonesuch: 1\n"})
		}, func() { h.said(t, "vilogate.yaml:", 1) }},
		{"a program that hangs", "the new process was not ready within 3s, and was ended", func() {
			writeFiles(t, h.dir, map[string]string{"vilogate.yaml": good})
			h.installScript(t, "trap '' TERM; while :; do sleep 1; done")
		}, func() {
			signalTo(t, pid, syscall.SIGUSR2)
			h.said(t, "another handover is under way", 1)
		}},
		{"a program that is none", "starting the new process: ", func() {
			writeFiles(t, h.dir, map[string]string{"vilogate.sh": "no program"})
			h.install(t, h.program+".sh")
			if err := os.Chmod(h.program, 0o700); err != nil {
				t.Fatal(err)
			}
		}, func() {}},
	} {
		c.prepare()
		before := strings.Count(h.output.String(), goesOn)
		signalTo(t, pid, syscall.SIGUSR2)
		if c.name != "a program that is none" {
			eventually(t, "the new process is started", func() bool { return len(h.successors(t)) == i+1 })
		}
		c.meanwhile()
		h.said(t, goesOn, before+1)
		h.said(t, c.why, 1)
		for _, successor := range h.successors(t) {
			eventually(t, c.name+": it has ended", func() bool { return gone(successor) })
		}
	}
	l.more(50)
	l.end()
	if h.owner(t) != pid {
		t.Errorf("the folder is %d's, and not %d's", h.owner(t), pid)
	}
	h.must("", "reload", "--state", h.state)
}

// TestHandoverToWhatDiesAtOnce: the new process was ready, and ends before it is in charge: the old one goes on. SIGTERM during a
// handover ends both.
func TestHandoverToWhatDiesAtOnce(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first := h.owner(t)
	signalTo(t, first, syscall.SIGUSR2)
	// It accepts as soon as it has looked at its listeners, and is in charge two seconds later.
	eventually(t, "the new process serves beside the old one", func() bool {
		all := h.successors(t)
		return len(all) == 1 && serves(h.site, all[0])
	})
	signalTo(t, h.successors(t)[0], syscall.SIGKILL)
	h.said(t, "the new process was ready, and did not take over: the new process has ended: signal: killed", 1)
	c := h.client()
	for range 20 {
		if err := ask(c.http, h.site); err != nil {
			t.Fatal(err)
		}
		c.http.CloseIdleConnections()
	}
	if h.owner(t) != first {
		t.Errorf("the folder is %d's, and not %d's", h.owner(t), first)
	}
	h.must("", "reload", "--state", h.state)

	signalTo(t, first, syscall.SIGUSR2)
	eventually(t, "another one serves", func() bool {
		all := h.successors(t)
		return len(all) == 2 && serves(h.site, all[1])
	})
	signalTo(t, first, syscall.SIGTERM)
	for _, pid := range append(h.successors(t), first) {
		eventually(t, "everything has ended", func() bool { return gone(pid) })
	}
	if err := h.wait(); err != nil {
		t.Errorf("the old process ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(h.state, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control socket is left: %v", err)
	}
}

// TestHandoverByAProcessThatIsKilled: the new process, which is not in charge yet, ends with the one that has started it, so that
// whatever starts the service again finds its ports free.
func TestHandoverByAProcessThatIsKilled(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first := h.owner(t)
	signalTo(t, first, syscall.SIGUSR2)
	eventually(t, "the new process serves beside the old one", func() bool {
		all := h.successors(t)
		return len(all) == 1 && serves(h.site, all[0])
	})
	signalTo(t, first, syscall.SIGKILL)
	eventually(t, "the new process has ended", func() bool { return gone(h.successors(t)[0]) })
	if h.wait() == nil {
		t.Error("the old process has ended well")
	}
	h.start()
	if err := ask(h.client().http, h.site); err != nil {
		t.Error(err)
	}
}

// TestHandoverWithAnotherConfiguration: the state folder and a port are others, one listener is gone. The new process opens what it
// was not given, and nobody has what is left.
func TestHandoverWithAnotherConfiguration(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first, before, plain := h.owner(t), h.state, h.at.HTTP
	admin := freeAddress(t)
	config := strings.NewReplacer("state: state", "state: other", `http: "127.0.0.1:0"`, "http: off", `admin: "127.0.0.1:0"`, "admin: "+admin).
		Replace(string(readFile(t, filepath.Join(h.dir, "vilogate.yaml"))))
	writeFiles(t, h.dir, map[string]string{"vilogate.yaml": config})
	signalTo(t, first, syscall.SIGUSR2)
	eventually(t, "the old process has ended", func() bool { return gone(first) })
	h.state = filepath.Join(h.dir, "other")
	if status := object[struct{ PID int }](t, answer{body: h.must("", "status", "--json", "--state", h.state)}); status.PID == first || status.PID != h.owner(t) {
		t.Errorf("asked %d for its status, the first was %d, and %d has the folder", status.PID, first, h.owner(t))
	}
	h.readAddresses()
	if h.at.Admin != admin || h.at.HTTP != "" || !serves(h.site, h.owner(t)) {
		t.Errorf("it listens at %+v", h.at)
	}
	if err := ask(h.client().http, h.site); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", plain); err == nil {
		closeQuietly(t, conn)
		t.Error("somebody still listens where HTTP was")
	}
	if _, err := os.Stat(filepath.Join(before, "control.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old folder's control socket is left: %v", err)
	}
}

// serves reports whether a process answers new connections, by asking until it does: /status says which process it is.
func serves(s *site, pid int) bool {
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://" + s.at.Admin + "/status")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return err == nil && strings.Contains(string(text), fmt.Sprintf(`"pid":%d,`, pid))
}

// TestHandoverWhileDraining: a process that drains hands nothing over, whether it was told to end or has handed over before; the
// one that has taken over can, while the first still drains. A revocation ends what is left in it.
func TestHandoverWhileDraining(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first := h.owner(t)
	raw := h.own.sign(h.own.header(nil), good("alice", nil).json())
	conn, reader := h.socket(t, cookieLine(raw))
	echoes(t, conn, reader)
	second := h.handOver(t, first)
	signalTo(t, first, syscall.SIGUSR2)
	h.said(t, "this process drains, and ends by itself", 1)
	third := h.handOver(t, second)
	eventually(t, "the one between has ended", func() bool { return gone(second) })
	echoes(t, conn, reader)
	if gone(first) {
		t.Fatal("the first has ended")
	}
	// Signed out at the new process: the WebSocket in the old one ends by it.
	if got := h.client().do(http.MethodPost, h.url("app", "/.vilogate/logout"), "", cookieLine(raw), "Origin: https://"+appHost); got.status != http.StatusNoContent {
		t.Fatalf("signing out: %v", got)
	}
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("the WebSocket ends with %q, %v", rest, err)
	}
	h.said(t, `"stream_end":"revoked"`, 1)
	eventually(t, "the first has ended", func() bool { return gone(first) })
	if got := h.ask(t, "app", raw); got != http.StatusUnauthorized {
		t.Errorf("after the sign-out: %d", got)
	}
	if third != h.owner(t) {
		t.Errorf("the folder is %d's, and not %d's", h.owner(t), third)
	}
}

// TestHandoverWithEmbeddedStoresIsRefused: two processes cannot have one database. The process says so, and what does the same.
func TestHandoverWithEmbeddedStoresIsRefused(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	s.signal(syscall.SIGUSR2)
	s.said(t, goesOn, 1)
	s.said(t, "one process has at a time; let systemd hold the sockets (vilogate.socket), and restart", 1)
	if err := ask(s.client().http, s); err != nil {
		t.Error(err)
	}
	if len(s.successors(t)) > 0 {
		t.Error("a process was started all the same")
	}
}

// TestHandoverTellsSystemd: which process is the service's, and how it is; of a process that drains behind a handover nothing.
func TestHandoverTellsSystemd(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	path := filepath.Join(h.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeQuietly(t, socket) })
	h.more = append(h.more, "NOTIFY_SOCKET="+path)
	told := func(want ...string) {
		t.Helper()
		message := make([]byte, 4096)
		if err := socket.SetReadDeadline(time.Now().Add(waitTimeout)); err != nil {
			t.Fatal(err)
		}
		n, err := socket.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(message[:n]), "\n")
		for _, one := range want {
			if !slices.Contains(lines, one) {
				t.Errorf("told %q, want %q", lines, one)
			}
		}
	}
	h.start()
	told("READY=1")
	first := h.owner(t)
	h.must("", "reload", "--state", h.state)
	told("RELOADING=1")
	told("READY=1")
	second := h.handOver(t, first)
	told(fmt.Sprintf("MAINPID=%d", second), "READY=1")
	told("READY=1") // of the new one
	eventually(t, "the old process has ended", func() bool { return gone(first) })
	signalTo(t, second, syscall.SIGTERM)
	told("STOPPING=1")
}
