package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSlowClients: a connection on which no request comes, whole or in part, is closed. (How slow a body may be takes
// half a minute to find out; gateway/edge tests it with a clock of its own.)
func TestSlowClients(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t, "limits: { header_time: 15s, idle_time: 15s }") // a handshake has the former, too
	for name, raw := range map[string]string{
		"half-a-header": "GET /public/x HTTP/1.1\r\nHost: app.vilo", "nothing": "", "an-answer-and-nothing": "GET /public/x HTTP/1.1\r\nHost: app.viloforge.test\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := a.handshake(t, a.tls(appHost, "http/1.1"))
			if _, err := io.WriteString(conn, raw); err != nil {
				t.Fatal(err)
			}
			const less = time.Minute // than the idle time by default
			if err := conn.SetReadDeadline(time.Now().Add(less)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection is still open after %v", less)
			}
		})
	}
}

// oversizedHeaders: more than the limit is refused and costs nothing; as much as the limit is served.
func oversizedHeaders(t *testing.T, a attackSite) {
	for name, header := range map[string][]string{
		"one-cookie":    {"Cookie: a=" + strings.Repeat("x", 900<<10)},
		"1.2-MB":        {"X-A: " + strings.Repeat("x", 600<<10), "X-B: " + strings.Repeat("x", 600<<10)},
		"many-lines":    strings.Split(strings.TrimSuffix(strings.Repeat("X-A: b\n", 30000), "\n"), "\n"),
		"many-cookies":  {"Cookie: " + strings.Repeat("c=1; ", 30000) + "d=1"},
		"long-target":   nil,
		"cookies-split": strings.Split(strings.TrimSuffix(strings.Repeat("Cookie: c=1\n", 20000), "\n"), "\n"),
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				r := request{host: appHost, target: "/public/x", header: append([]string{probe.header()}, header...)}
				if name == "long-target" {
					r.target += "?" + strings.Repeat("x", 200<<10)
				}
				got := p.send(a.site, t, r)
				if got.status != http.StatusRequestHeaderFieldsTooLarge && got.status != http.StatusRequestURITooLong && got.status != 0 {
					t.Errorf("got %d, want 431", got.status)
				}
				probe.none()
			})
		}
	}
	t.Run("3500-cookies", func(t *testing.T) {
		t.Parallel()
		probe := a.backend.probe(t)
		got := a.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), "Cookie: " + strings.Repeat("c=1; ", 3500) + ssoCookie + "=" + a.alice}})
		if got.status == http.StatusOK {
			assertIdentity(t, probe.one(), "alice", "member")
		} else if got.status != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("got %v", got)
		}
	})
}

// TestDrain: after SIGTERM the site says that it is not ready, still takes new connections for drain.delay, and ends
// what is under way; then the process ends well.
func TestDrain(t *testing.T) {
	t.Parallel()
	arrived, finish := make(chan struct{}, 4), make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			arrived <- struct{}{}
			<-finish
		}
		fmt.Fprint(w, "finished")
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": strings.Replace(serveConfig, "delay: 0s", "delay: 10s", 1) + fmt.Sprintf(`
tokens: { issuers: [ { name: legacy-django, secret: "the JWT_SECRET of the guide's services", cookie: jwt, claims: { user: username } } ] }
upstreams: { app: { url: %q } }
`, backend.URL),
		"policies/app.yaml": publicOnly,
	})
	if got := s.admin(t, "/readyz"); got.status != http.StatusOK {
		t.Fatalf("readyz: %v", got)
	}
	results := make(chan answer, 2)
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := newClient(t, s, s.tls("", protocol))
		go func() {
			got, err := c.try(http.MethodGet, s.url("app", "/slow"), "")
			if err != nil {
				t.Errorf("%s: what was under way: %v", protocol, err)
			}
			results <- got
		}()
		wait(t, arrived, "the request arrives")
	}
	s.signal(syscall.SIGTERM)
	eventually(t, "readyz fails", func() bool { return s.admin(t, "/readyz").status == http.StatusServiceUnavailable })
	if got := s.client().get(s.url("app", "/new")); got.status != http.StatusOK {
		t.Errorf("a new connection within drain.delay: %v", got)
	}
	eventually(t, "no new connections after drain.delay", func() bool {
		conn, err := net.Dial("tcp", s.at.HTTPS)
		if err == nil {
			closeQuietly(t, conn)
		}
		return err != nil
	})
	if !s.running() {
		t.Error("the process ended before what was under way")
	}
	close(finish)
	for range 2 {
		if got := <-results; got.status != http.StatusOK || got.body != "finished" {
			t.Errorf("what was under way: %v", got)
		}
	}
	if err := s.wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}
