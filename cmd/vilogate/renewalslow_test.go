package main_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// slowly passes requests on to an address, and their answers so much later.
func slowly(t *testing.T, address string, late time.Duration) string {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.Header = r.In.Header.Clone() // with X-Forwarded-For
			r.SetURL(to)
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(r *http.Response) error {
			select {
			case <-time.After(late):
				return nil
			case <-r.Request.Context().Done():
				return r.Request.Context().Err()
			}
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// TestAnswersThatOutliveTokens: a lone browser whose identity provider takes 300 ms, more than is waited for where a token has not
// expired yet; with a WebSocket and answers of a backend that are under way while its token is replaced twice. It is never
// taken for a thief and never sees a login form, and what was slow says nothing about what came later.
func TestAnswersThatOutliveTokens(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "", "access_token_ttl: 3s")
	f.login = slowly(t, f.login, 300*time.Millisecond)
	long := newLongBackend(t)
	arrived := make(chan struct{})
	releases := map[string]chan struct{}{"good": make(chan struct{}), "expired": make(chan struct{}), "second": make(chan struct{})}
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		release := releases[r.URL.Query().Get("held")]
		if release == nil {
			long.ServeHTTP(w, r)
			return
		}
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(backend.Close)
	files := f.files()
	files["vilogate.yaml"] = strings.ReplaceAll(files["vilogate.yaml"], f.backend.url()+`"`, backend.URL+`", timeout: 10m`)
	files["policies/app.yaml"] = streamsPolicy
	g := serve(t, files)
	seen := newSuccessors(t)
	c := seen.watch(g.client().login("alice"))

	answers := map[string]chan answer{}
	hold := func(name string) {
		t.Helper()
		asks, sso := seen.watch(g.client()), c.sso()
		answers[name] = make(chan answer, 1)
		eventually(t, "a request arrives whose token is "+name, func() bool {
			go func() {
				got, err := asks.try(http.MethodGet, g.url("app", "/x?held="+name), "", cookieLine(sso))
				if err != nil {
					t.Error(err)
				}
				answers[name] <- got
			}()
			select {
			case <-arrived:
				return true
			case got := <-answers[name]:
				if !isLate(got) {
					t.Fatalf("a request whose token is %s: %v", name, got)
				}
				return false
			}
		})
	}
	replaced := func() {
		t.Helper()
		old := c.sso()
		expire(t, old)
		eventually(t, "the token is replaced", func() bool {
			c.isIn(t, g)
			return c.sso() != old
		})
	}
	socket := long.openSocket(g, "/socket", "socket", cookieLine(c.sso()))
	hold("good")
	first := claimsIn(t, c.sso())
	late := time.Unix(first.EXP, 0).Add(-time.Duration(first.EXP-first.IAT) * time.Second / 5)
	eventually(t, "the token is nearly over", func() bool { return time.Now().After(late) })
	c.isIn(t, g) // its successor comes too late, and counts as never given
	expire(t, c.sso())
	hold("expired")
	for range 2 {
		replaced()
		long.goesOn(socket)
		if answers["second"] == nil {
			expire(t, c.sso())
			hold("second")
		}
	}
	replaced()
	for name, release := range releases {
		close(release)
		if got := <-answers[name]; got.status != http.StatusOK || setSSO(got) != "" {
			t.Errorf("the answer to a request whose token was %s: %v", name, got)
		}
	}
	c.isIn(t, g)
	long.goesOn(socket)
	nobodySuspected(t, f.idp)
	if got := c.logout("app"); got.status != http.StatusNoContent {
		t.Errorf("sign-out: %v", got)
	}
	long.ends(socket.watch(), "close 4401 signed out", "close 4401 signed out")
}
