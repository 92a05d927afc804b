package main_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// activatedSite is a gateway with an IdP and embedded stores, whose sockets the test holds, as systemd does.
type activatedSite struct {
	*site
	backend *slowBackend
	listen  map[string]string // addresses by setting
}

func newActivatedSite(t *testing.T) *activatedSite {
	t.Helper()
	a := &activatedSite{backend: newSlowBackend(t), listen: map[string]string{}}
	var sockets []*os.File
	for _, setting := range []string{"https", "http", "admin"} {
		a.listen[setting] = freeAddress(t)
		l, err := net.Listen("tcp4", a.listen[setting])
		if err != nil {
			t.Fatal(err)
		}
		sockets = append(sockets, held(t, l.(*net.TCPListener)))
	}
	a.listen["http3"] = a.listen["https"]
	packets, err := net.ListenPacket("udp4", a.listen["http3"])
	if err != nil {
		t.Fatal(err)
	}
	sockets = append(sockets, held(t, packets.(*net.UDPConn)))
	a.site = prepare(t, map[string]string{
		"vilogate.yaml":     a.config(""),
		"policies/app.yaml": handoverPolicy,
	})
	a.sockets = sockets
	return a
}

// config is the configuration, with more of `listen:`.
func (a *activatedSite) config(more string) string {
	return strings.NewReplacer(`https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0"`,
		fmt.Sprintf("https: %q, http: %q, admin: %q, http3: %q%s", a.listen["https"], a.listen["http"], a.listen["admin"], a.listen["http3"], more),
		"timeout: 20s", "timeout: 150s").Replace(serveConfig) + // no drain ends before what a test has under way
		ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", a.backend.URL)
}

// held is a socket that the test holds, as systemd does: it stays open while the program restarts.
func held(t *testing.T, socket interface {
	File() (*os.File, error)
	Close() error
},
) *os.File {
	t.Helper()
	f, err := socket.File()
	if err != nil {
		t.Fatal(err)
	}
	closeQuietly(t, socket)
	t.Cleanup(func() { closeQuietly(t, f) })
	return f
}

// TestActivationRestartsUnderLoad: while the program restarts, twice, whoever connects waits, and nobody is refused or fails. A
// WebSocket of the old process has ended before the new one has the state folder.
func TestActivationRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	a := newActivatedSite(t)
	a.start()
	a.addUser("alice")
	cookie := cookieLine(a.client().login("alice").sso())
	l, asked := newLoad(t), *a.site // which stays where it is while the other is started again
	l.clients(&asked)
	for range 2 {
		l.more(20)
		old := a.process
		conn, reader := a.socket(t, cookie)
		echoes(t, conn, reader)
		old.signal(syscall.SIGTERM)
		l.more(100) // while the WebSocket is open
		echoes(t, conn, reader)
		closeQuietly(t, conn)
		if err := old.wait(); err != nil {
			t.Fatalf("the old process: %v", err)
		}
		before := l.answered.Load()
		a.start()
		l.more(100)
		t.Logf("%d requests were answered until the old process had ended", before)
	}
	l.end()
}

// TestActivationDrainFollowsRevocations: a process that drains still has the state folder, and is whom commands ask: a session that
// is revoked now ends what is open for it.
func TestActivationDrainFollowsRevocations(t *testing.T) {
	t.Parallel()
	a := newActivatedSite(t)
	a.start()
	a.addUser("alice")
	conn, reader := a.socket(t, cookieLine(a.client().login("alice").sso()))
	echoes(t, conn, reader)
	a.signal(syscall.SIGTERM)
	a.said(t, `"draining"`, 1)
	began := time.Now()
	a.must("", "session", "revoke", "--user", "alice", "--state", a.state)
	if rest, err := io.ReadAll(reader); len(rest) > 0 || err != nil {
		t.Errorf("the WebSocket ends with %q, %v", rest, err)
	}
	if err := a.wait(); err != nil {
		t.Error(err)
	}
	if taken := time.Since(began); taken > 2*time.Minute {
		t.Errorf("it ended after %v, and not because nothing was open any more", taken)
	}
	a.said(t, `"stream_end":"revoked"`, 1)
}

// TestActivationMatchesSockets: a listener without a socket, and a socket without a listener, are errors that name both.
func TestActivationMatchesSockets(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(a *activatedSite)
		wants  func(a *activatedSite) []string
	}{
		"no socket for it": {
			func(a *activatedSite) { a.sockets = a.sockets[:2] },
			func(a *activatedSite) []string {
				return []string{"listen.admin " + a.listen["admin"] + ": systemd passed sockets", "it passed besides: tcp " + a.listen["https"] + " (), tcp " + a.listen["http"]}
			},
		},
		"no listener for it": {
			func(a *activatedSite) {
				writeFiles(t, a.dir, map[string]string{"vilogate.yaml": strings.Replace(a.config(""), fmt.Sprintf("http: %q", a.listen["http"]), "http: off", 1)})
			},
			func(a *activatedSite) []string {
				return []string{"systemd passed sockets that no listener of the configuration has: tcp " + a.listen["http"] + " ()"}
			},
		},
		"UDP where TCP is meant": {
			func(a *activatedSite) { a.sockets[0] = a.sockets[3] },
			func(a *activatedSite) []string {
				return []string{"listen.https " + a.listen["https"] + ": systemd passed sockets"}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newActivatedSite(t)
			c.change(a)
			a.spawn()
			if a.wait() == nil {
				t.Error("it served")
			}
			for _, want := range c.wants(a) {
				if !strings.Contains(a.output.String(), want) {
					t.Errorf("said %q, want %q", a.output, want)
				}
			}
			if _, err := os.Stat(filepath.Join(a.state, "vilogate.db")); err == nil {
				t.Error("it has opened what it keeps")
			}
		})
	}
}
