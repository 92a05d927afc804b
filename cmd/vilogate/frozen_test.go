package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// frozenFor is how long a process is stopped in these tests: longer than a view of the revocations is believed unconfirmed.
const frozenFor = 4 * time.Second

// freeze stops the process, does what others do meanwhile, and has it go on no sooner than after frozenFor.
func (s *site) freeze(t *testing.T, meanwhile func()) {
	t.Helper()
	s.signal(syscall.SIGSTOP)
	stopped := time.Now()
	meanwhile()
	eventually(t, "time passes", func() bool { return time.Since(stopped) > frozenFor })
	s.signal(syscall.SIGCONT)
}

// waitedInVain is how often a request waited for news of revocations and there was none in time, as on a busy machine: what was known
// before counts then.
func (s *site) waitedInVain(t *testing.T) int {
	t.Helper()
	_, rest, _ := strings.Cut(s.admin(t, "/metrics").body, "\nvilogate_revocation_sync_timeouts_total ")
	line, _, _ := strings.Cut(rest, "\n")
	count, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// TestAFrozenGatewayAdmitsNothingThatWasRevokedMeanwhile: what another gateway revoked while one was stopped, as a paused
// virtual machine is, is refused by the first requests that it answers: on connections that were open, with the request
// waiting in them, and on new ones. Whoever is still signed in is served.
func TestAFrozenGatewayAdmitsNothingThatWasRevokedMeanwhile(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	frozen, other := f.gateway(), f.gateway()
	publisher := other.h2(t, appHost)
	const rounds, workers, each = 3, 8, 4 // workers of each kind
	mint := func() string { return own.sign(own.header(nil), good("alice", nil).json()) }
	live := mint()
	get := func(raw string) request {
		return request{host: appHost, target: "/.vilogate/me", header: []string{cookieLine(raw)}}
	}
	var refused atomic.Int64
	for round, more := 0, 5; round < rounds; round++ {
		waited := frozen.waitedInVain(t)
		var h1 []*bufio.ReadWriter
		var h2 []*h2conn
		for range workers {
			conn := frozen.handshake(t, frozen.tls(appHost, "http/1.1"))
			h1 = append(h1, bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn)))
			h2 = append(h2, frozen.h2(t, appHost))
		}
		exchange1 := func(c *bufio.ReadWriter, raw string) answer {
			if _, err := c.WriteString(get(raw).text()); err != nil {
				t.Error(err)
			}
			if err := c.Flush(); err != nil {
				t.Error(err)
			}
			return readAnswer(t, c.Reader, http.MethodGet)
		}
		var tokens []string
		for range 4 * workers * each {
			tokens = append(tokens, mint())
		}
		for i, raw := range tokens { // known to be good, and remembered as such
			if got := h2[i%workers].exchange(get(raw).fields(), ""); got.status != http.StatusOK {
				t.Fatalf("before: %v", got)
			}
			if i < workers {
				if got := exchange1(h1[i], live); got.status != http.StatusOK {
					t.Fatalf("before: %v", got)
				}
			}
		}
		var mu sync.Mutex
		var admitted []string
		check := func(what string, got answer) {
			if got.status != http.StatusUnauthorized {
				mu.Lock()
				defer mu.Unlock()
				admitted = append(admitted, fmt.Sprintf("%s: got %v, want 401", what, got))
				return
			}
			refused.Add(1)
		}
		var group sync.WaitGroup
		frozen.freeze(t, func() {
			for i, raw := range tokens {
				out := publisher.exchange(request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(raw), "Origin: https://" + appHost}}.fields(), "")
				if out.status != http.StatusNoContent {
					t.Fatalf("revocation %d: %v", i, out)
				}
			}
			for i := range workers {
				mine := func(kind int) []string { return tokens[(kind*workers+i)*each:][:each] }
				group.Go(func() {
					for _, raw := range mine(0) {
						check("HTTP/1.1, a connection that was open", exchange1(h1[i], raw))
					}
				})
				group.Go(func() {
					for _, raw := range mine(1) {
						check("HTTP/2, a connection that was open", h2[i].exchange(get(raw).fields(), ""))
					}
				})
				group.Go(func() {
					for _, raw := range mine(2) {
						check("HTTP/1.1, a new connection", frozen.http1(t, get(raw)))
					}
				})
				group.Go(func() {
					for _, raw := range mine(3) {
						check("HTTP/2, a new connection", frozen.http2(t, get(raw)))
					}
				})
			}
		})
		if got := frozen.http2(t, get(live)); got.status != http.StatusOK {
			t.Errorf("round %d, whoever is still signed in: %v", round, got)
		}
		group.Wait()
		if len(admitted) > 0 && more > 0 && frozen.waitedInVain(t) != waited {
			t.Logf("once more: the machine was too busy for an answer of Redis within 250 ms, and %d were admitted", len(admitted))
			round, more = round-1, more-1
			continue
		}
		for _, what := range admitted {
			t.Errorf("round %d, %s", round, what)
		}
	}
	t.Logf("%d refused", refused.Load())
	if metrics := frozen.admin(t, "/metrics").body; strings.Contains(metrics, "vilogate_revocation_sync_waits_total 0\n") || !strings.Contains(metrics, "vilogate_revocation_sync_waits_total ") {
		t.Errorf("the waits are not counted")
	}
}

// TestAGatewayFrozenAfterAWaitInVain: Redis was away for a moment, and a request waited for it in vain, before the gateway was
// stopped. What was revoked meanwhile is refused by the first requests that it answers, since Redis is back.
func TestAGatewayFrozenAfterAWaitInVain(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	frozen, other := f.gateway(), f.gateway()
	for tries := 5; ; tries-- {
		raw := own.sign(own.header(nil), good("alice", nil).json())
		me := request{host: appHost, target: "/.vilogate/me", header: []string{cookieLine(raw)}}
		conn, h2 := frozen.handshake(t, frozen.tls(appHost, "http/1.1")), frozen.h2(t, appHost)
		f.redis.Pause()
		waited := frozen.waitedInVain(t)
		eventually(t, "a request waits in vain", func() bool {
			if got := h2.exchange(me.fields(), ""); got.status != http.StatusOK {
				t.Fatalf("before: %v", got)
			}
			return frozen.waitedInVain(t) > waited
		})
		waited = frozen.waitedInVain(t)
		frozen.freeze(t, func() {
			f.redis.Resume()
			out := request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(raw), "Origin: https://" + appHost}}
			eventually(t, "the other gateway signs out", func() bool { return other.http2(t, out).status == http.StatusNoContent })
			if _, err := io.WriteString(conn, me.text()); err != nil {
				t.Error(err)
			}
		})
		got2 := h2.exchange(me.fields(), "")
		got1 := readAnswer(t, bufio.NewReader(conn), http.MethodGet)
		switch {
		case got1.status == http.StatusUnauthorized && got2.status == http.StatusUnauthorized:
			return
		case tries == 0 || frozen.waitedInVain(t) == waited:
			t.Fatalf("HTTP/1.1: %v\nHTTP/2: %v", got1, got2)
		}
		t.Log("once more: the machine was too busy for an answer of Redis within 250 ms")
	}
}

// TestAFrozenIdPIssuesNothingForWhatWasRevokedMeanwhile: the first request that it answers is a browser's whose session was
// signed out at a gateway while it was stopped.
func TestAFrozenIdPIssuesNothingForWhatWasRevokedMeanwhile(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	s := f.gateway()
	for tries := 5; ; tries-- {
		c := s.client().login("alice")
		session := "Cookie: " + sessionCookie + "=" + c.cookie("login", sessionCookie)
		answered := make(chan answer, 1)
		waited := f.idp.waitedInVain(t)
		f.idp.freeze(t, func() {
			if got := c.logout("app"); got.status != http.StatusNoContent {
				t.Fatalf("logout: %v", got)
			}
			go func() {
				answered <- s.client().open(s.url("login", "/login?redirect_uri="+url.QueryEscape(s.url("app", "/x"))), session)
			}()
		})
		switch got := <-answered; {
		case got.status == http.StatusOK && strings.Contains(got.body, "password"):
			return
		case tries == 0 || f.idp.waitedInVain(t) == waited:
			t.Fatalf("got %v, want the form", got)
		}
		t.Log("once more: the machine was too busy for an answer of Redis within 250 ms")
	}
}

// TestAFrozenServerWithoutRedisIsAnsweringAtOnce: nobody else writes to its list.
func TestAFrozenServerWithoutRedisIsAnsweringAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	sso := s.client().login("alice").sso()
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	s.freeze(t, func() {
		if _, err := io.WriteString(conn, request{host: appHost, target: "/x", header: []string{cookieLine(sso)}}.text()); err != nil {
			t.Error(err)
		}
	})
	if got := readAnswer(t, bufio.NewReader(conn), http.MethodGet); got.status != http.StatusOK {
		t.Errorf("got %v", got)
	}
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, "vilogate_revocation_sync_waits_total 0\n") {
		t.Error("a list that nobody else writes to was waited for")
	}
}
