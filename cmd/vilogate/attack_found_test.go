package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// raw is a backend that answers every request with the same bytes.
func rawBackend(t *testing.T, answer string) string {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer closeQuietly(t, conn)
				if _, err := readRecorded(bufio.NewReader(conn)); err != nil {
					return
				}
				if _, err := io.WriteString(conn, answer); err != nil {
					return // the gateway has heard enough
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// TestInformationalAnswers: what a backend may not say in its answer it may not say before it either, and saying
// something before it takes nothing from what every answer has.
func TestInformationalAnswers(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", rawBackend(t,
			"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nSet-Cookie: __Secure-sso=planted; Domain=viloforge.test; Path=/; Secure\r\n"+
				"Access-Control-Allow-Origin: *\r\nX-Request-Id: forged\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")),
		"policies/app.yaml": attackedPolicy + "cors: { origins: [\"https://friend.viloforge.test\"] }\n",
	})
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, request{host: appHost, target: "/public/x", header: []string{"Connection: close"}}.text()); err != nil {
		t.Fatal(err)
	}
	everything, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	hints, final, found := strings.Cut(string(everything), "HTTP/1.1 200 OK")
	if !found {
		t.Fatalf("got %q", everything)
	}
	for _, bad := range []string{"planted", "Access-Control-", "forged"} {
		if strings.Contains(hints, bad) {
			t.Errorf("the informational answer holds %s:\n%s", bad, hints)
		}
	}
	if !strings.Contains(final, "Strict-Transport-Security:") {
		t.Errorf("the answer behind an informational one has lost its HSTS:\n%s", final)
	}
}

// TestAnswerTrailers: nor in a trailer, where there is nothing either that is about the backend's connection alone.
func TestAnswerTrailers(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", rawBackend(t,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Announced, X Spaced, a{b}, \xe9\r\nConnection: close, x-announced\r\nConnection: x-hop\r\n\r\n2\r\nok\r\n0\r\n"+
				"Set-Cookie: __Secure-sso=planted\r\nAccess-Control-Allow-Origin: *\r\nX-Request-Id: forged\r\nX-Sum: good\r\nX-Announced: 1\r\nX-Hop: 1\r\n\r\n")),
		"policies/app.yaml": attackedPolicy,
	})
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: "/public/x"})
		if fmt.Sprint(got.trailer) != "map[X-Sum:[good]]" || got.header.Get("Trailer") != "" {
			t.Errorf("%s: header %v, trailer %v, want one trailer, which was not announced", p.name, got.header, got.trailer)
		}
	}
}

// TestATrailerForEachOptionOfAConnection: one small request cannot buy a second of a processor. Each name that Trailer announces is looked
// for among those of Connection.
func TestATrailerForEachOptionOfAConnection(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	var names []string
	for n := range 7000 {
		names = append(names, "x"+strconv.FormatInt(int64(n), 36))
	}
	message := request{method: http.MethodPost, host: appHost, target: "/public/x", header: []string{
		"Transfer-Encoding: chunked", "Trailer: " + strings.Join(names, ","), "Connection: close" + strings.Repeat(",o", 12000),
	}, body: "0\r\n\r\n"}
	const requests = 10
	before := processorTime(t, a.cmd.Process.Pid)
	for range requests {
		if got := a.http1(t, message); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	if each := (processorTime(t, a.cmd.Process.Pid) - before) / requests; each > 100*time.Millisecond {
		t.Errorf("a request costs %v of a processor", each)
	}
}

// TestSSOCookieBehindOddSpace: Django, Starlette and Node take every white space of Unicode off a cookie's name; a
// credential that we would have judged, or refused as revoked, gets past us to them in that disguise.
func TestSSOCookieBehindOddSpace(t *testing.T) {
	t.Parallel()
	g := newLegacySite(t)
	raw, other := g.token(nil), g.token(claims{"username": "mallory"})
	for name, space := range map[string]string{
		"U+00A0": "\u00a0", "U+0085": "\u0085", "U+2003": "\u2003", "U+3000": "\u3000", "U+FEFF": "\ufeff", "latin1-A0": "\xa0", "latin1-85": "\x85",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for host, target := range map[string]string{appHost: "/public/x", "django.viloforge.test": "/x"} {
				probe := g.backend.probe(t)
				probe.mark += "-" + host[:3]
				got := g.http1(t, request{host: host, target: target, header: []string{probe.header(), "Cookie: jwt=" + raw + "; " + space + "jwt" + space + "=" + other}})
				if got.status == http.StatusBadRequest {
					continue
				}
				if seen := probe.one(); strings.Contains(seen.head, other) {
					t.Errorf("%s received a token that nobody judged, as %q; X-User %q", host, space+"jwt", seen.value("X-User"))
				}
			}
		})
	}
}

// TestOwnPathsAreNoLabels: whatever stands below /.vilogate/, the metrics stay as they are.
func TestOwnPathsAreNoLabels(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	c := a.client()
	for i := range 20 {
		c.get(a.url("app", fmt.Sprintf("/.vilogate/made-up-%d", i)))
	}
	if n := strings.Count(a.admin(t, "/metrics").body, "made-up-"); n > 0 {
		t.Errorf("%d series of metrics are named by a stranger", n)
	}
}

// TestSlowBodyTimeout: a body that is announced to the redirecting listener and never comes holds nothing for ever.
// The same for a form without a length at the login host.
func TestSlowBodyTimeout(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	for name, dial := range map[string]func() (net.Conn, string){
		"plain": func() (net.Conn, string) {
			conn, err := net.Dial("tcp", a.at.HTTP)
			if err != nil {
				t.Fatal(err)
			}
			return conn, "POST /x HTTP/1.1\r\nHost: app.viloforge.test\r\nContent-Length: 1000\r\n\r\n"
		},
		"login": func() (net.Conn, string) {
			return a.handshake(t, a.tls("login.viloforge.test", "http/1.1")), "POST /login HTTP/1.1\r\nHost: login.viloforge.test\r\n" +
				"Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, text := dial()
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(waitTimeout)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection was still open after %v", waitTimeout)
			}
		})
	}
}

// TestManySSOCookiesAtLogout: one small request cannot buy a second of a processor. HPACK makes eighty copies of one
// cookie eighty bytes, and each copy's signature is verified, again and again while /logout?done waits.
func TestManySSOCookiesAtLogout(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	fields := request{host: "login.viloforge.test", target: "/logout?done"}.fields()
	for range 80 {
		fields = append(fields, field{"cookie", ssoCookie + "=" + a.alice})
	}
	const requests = 40
	before := processorTime(t, a.cmd.Process.Pid)
	var stop atomic.Bool
	ended := make(chan struct{})
	var streams []uint32
	c := a.h2(t, "login.viloforge.test")
	for range requests {
		streams = append(streams, c.headers(fields, true))
	}
	go func() { defer close(ended); c.read(streams[len(streams)-1]); stop.Store(true) }()
	bystander := a.client()
	for !stop.Load() {
		if got := bystander.get(a.url("app", "/public/x")); got.status != http.StatusOK {
			t.Errorf("another client, while one connection asks for /logout?done: %v", got)
		}
	}
	<-ended
	if each := (processorTime(t, a.cmd.Process.Pid) - before) / requests; each > 250*time.Millisecond {
		t.Errorf("a request costs %v of a processor", each)
	}
}

// processorTime is what a process has used, however many others there are.
func processorTime(tb testing.TB, pid int) time.Duration {
	tb.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	var ticks [2]int // in user mode and in the kernel's: a hundred a second
	for i := range ticks {
		if ticks[i], err = strconv.Atoi(fields[11+i]); err != nil {
			tb.Fatal(err)
		}
	}
	return time.Duration(ticks[0]+ticks[1]) * 10 * time.Millisecond
}

// TestTwoHostsInHTTP2: two authorities are ambiguous in HTTP/2 as they are in HTTP/1.1 (RFC 9113, section 8.3.1).
func TestTwoHostsInHTTP2(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	for name, r := range map[string]request{
		"beside-authority": {host: appHost, target: "/public/x", header: []string{"Host: login.viloforge.test"}},
		"two-hosts":        {host: "-", target: "/public/x", header: []string{"Host: " + appHost, "Host: login.viloforge.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			r.header = append(r.header, probe.header())
			if got := a.h2(t, appHost).exchange(r.fields(), ""); got.status != http.StatusBadRequest && got.status != 0 {
				t.Errorf("got %v, want 400", got)
			}
			probe.none()
		})
	}
}
