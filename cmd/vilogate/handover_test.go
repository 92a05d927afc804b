package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

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

// TestHandoverToWhatDoesNotServe: where the new process ends, hangs, or is not let, the old one goes on with everything that it
// had, and says why.
func TestHandoverToWhatDoesNotServe(t *testing.T) {
	t.Parallel()
	const hangs = "30s"
	h := newHandoverSite(t, "", "--handover-timeout", hangs) // beyond what a busy machine takes to read a configuration
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
		{"a program that hangs", "the new process was not ready within " + hangs + ", and was ended", func() {
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
	h := newHandoverSite(t, "", "--handover-timeout", "10m") // it is stopped meanwhile
	h.start()
	h.stopAtHandovers(t)
	first, rounds := h.owner(t), 0
	eventually(t, "the new process is killed when it has said ready", func() bool { // which it does just after its listeners accept
		signalTo(t, h.startBeside(t, first), syscall.SIGKILL)
		signalTo(t, first, syscall.SIGCONT)
		rounds++
		h.said(t, goesOn, rounds)
		return strings.Contains(h.output.String(), "the new process was ready, and did not take over: the new process has ended: signal: killed")
	})
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

	next := h.startBeside(t, first)
	signalTo(t, first, syscall.SIGTERM)
	signalTo(t, first, syscall.SIGCONT)
	for _, pid := range []int{next, first} {
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
	h.stopAtHandovers(t)
	first := h.owner(t)
	next := h.startBeside(t, first)
	signalTo(t, first, syscall.SIGKILL)
	eventually(t, "the new process has ended", func() bool { return gone(next) })
	if h.wait() == nil {
		t.Error("the old process has ended well")
	}
	h.install(t, binary)
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
	if h.at.Admin != admin || h.at.HTTP != "" {
		t.Errorf("it listens at %+v", h.at)
	}
	eventually(t, "it answers there", func() bool { return servedBy(h.site) == h.owner(t) })
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

// TestHandoverWithAFolderThatCannotBeWritten: what is written there when a process is in charge is for commands. The one before has
// given everything up by then, so that the new one serves on.
func TestHandoverWithAFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	h := newHandoverSite(t, "")
	h.start()
	first, addresses := h.owner(t), filepath.Join(h.state, "addresses.json")
	if err := errors.Join(os.Remove(addresses), os.Mkdir(addresses, 0o700)); err != nil { // where a file cannot be put
		t.Fatal(err)
	}
	second := h.handOver(t, first)
	h.said(t, "this process has taken over, and the state folder does not say so", 1)
	eventually(t, "the old process has ended", func() bool { return gone(first) })
	if err := ask(h.client().http, h.site); err != nil || gone(second) {
		t.Errorf("then: %v, ended %v", err, gone(second))
	}
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
