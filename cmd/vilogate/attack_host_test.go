package main_test

import (
	"bufio"
	"io"
	"net/http"
	"testing"
)

// TestHostDecides: the policy of Host is the one that counts, whatever name the connection was opened for; a host that
// the connection's certificate does not cover is not served on it.
func TestHostDecides(t *testing.T) {
	t.Parallel()
	open, strict := record(t), record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":        serveConfig + ownIdP + "upstreams:\n  open: { url: \"" + open.url() + "\" }\n  strict: { url: \"" + strict.url() + "\" }\n",
		"policies/open.yaml":   "host: open.viloforge.test\nupstream: open\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
		"policies/strict.yaml": "host: strict.viloforge.test\nupstream: strict\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
	})
	for name, c := range map[string]struct {
		sni, host string
		statuses  []int
	}{
		"stricter-host":      {"open.viloforge.test", "strict.viloforge.test", []int{http.StatusUnauthorized}},
		"stricter-host-case": {"open.viloforge.test", "STRICT.viloforge.TEST", []int{http.StatusUnauthorized}},
		"stricter-port":      {"open.viloforge.test", "strict.viloforge.test:443", []int{http.StatusUnauthorized}},
		"laxer-host":         {"strict.viloforge.test", "open.viloforge.test", []int{http.StatusOK}},
		"upper-case":         {"open.viloforge.test", "OPEN.ViloForge.Test", []int{http.StatusOK}},
		"unknown-host":       {"open.viloforge.test", "nowhere.viloforge.test", []int{http.StatusNotFound}},
		"not-covered":        {"open.viloforge.test", "www.example.org", []int{http.StatusMisdirectedRequest}},
		"two-labels":         {"open.viloforge.test", "a.b.viloforge.test", []int{http.StatusMisdirectedRequest}},
		"look-alike":         {"open.viloforge.test", "evilviloforge.test", []int{http.StatusMisdirectedRequest}},
		"longer":             {"open.viloforge.test", "open.viloforge.test.example.org", []int{http.StatusMisdirectedRequest}},
		"address":            {"open.viloforge.test", "127.0.0.1", []int{http.StatusMisdirectedRequest}},
		"trailing-dot":       {"open.viloforge.test", "strict.viloforge.test.", []int{http.StatusUnauthorized}},
		"trailing-dot-laxer": {"strict.viloforge.test", "open.viloforge.test.:443", []int{http.StatusOK}},
		"two-trailing-dots":  {"strict.viloforge.test", "open.viloforge.test..", []int{http.StatusBadRequest}},
		"dot-alone":          {"strict.viloforge.test", ".", []int{http.StatusBadRequest, http.StatusMisdirectedRequest}},
		"userinfo":           {"strict.viloforge.test", "strict.viloforge.test@open.viloforge.test", []int{http.StatusBadRequest}},
		"bad-port":           {"strict.viloforge.test", "open.viloforge.test:4x3", []int{http.StatusBadRequest}},
		"path-in-host":       {"strict.viloforge.test", "open.viloforge.test/public", []int{http.StatusBadRequest}},
		"two-in-one":         {"strict.viloforge.test", "open.viloforge.test, strict.viloforge.test", []int{http.StatusBadRequest}},
		"empty":              {"open.viloforge.test", "", []int{http.StatusBadRequest, http.StatusMisdirectedRequest}},
		"missing":            {"open.viloforge.test", "-", []int{http.StatusBadRequest, http.StatusMisdirectedRequest}},
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				opened, strictly := open.probe(t), strict.probe(t)
				r := request{host: c.host, target: "/x", header: []string{opened.header()}}
				var got answer
				if p.name == "HTTP2" {
					got = s.h2(t, c.sni).exchange(r.fields(), "")
				} else {
					got = s.on(t, c.sni, r)
				}
				assertRefused(t, p, got, c.statuses...)
				strictly.none()
				if c.statuses[0] != http.StatusOK {
					opened.none()
				}
			})
		}
	}
	t.Run("two-opinions", func(t *testing.T) { conflictingHosts(t, s, open, strict) })
}

// TestFinalDotOfAHost: a person is sent to the name without it, with path and query; a script is answered as at that name,
// which is what the backend sees.
func TestFinalDotOfAHost(t *testing.T) {
	t.Parallel()
	a := newAttackSite(t)
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			a := a.in(t)
			probe := a.backend.probe(t)
			got := p.send(a.site, t, request{host: appHost + ".", target: "/public/x%2e?a=1", header: []string{probe.header(), "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}})
			if got.status != http.StatusPermanentRedirect || got.header.Get("Location") != "https://"+appHost+"/public/x.?a=1" {
				t.Errorf("a navigation: %v, Location %q", got, got.header.Get("Location"))
			}
			probe.none()
			got = p.send(a.site, t, request{method: http.MethodPost, host: appHost + ".", target: "/x", header: []string{probe.header(), cookieLine(a.alice), "Origin: https://" + appHost + "."}})
			if got.status != http.StatusForbidden {
				t.Errorf("an Origin with a final dot: %v", got)
			}
			probe.none()
			if got = p.send(a.site, t, request{host: appHost + ".", target: "/public/x", header: []string{probe.header()}}); got.status != http.StatusOK {
				t.Fatalf("a script: %v", got)
			}
			if seen := probe.one(); seen.value("Host") != appHost || seen.value("X-Forwarded-Host") != appHost {
				t.Errorf("the backend sees %q, %q", seen.value("Host"), seen.value("X-Forwarded-Host"))
			}
			finalDotDecidesNothing(t, a, p)
		})
	}
}

// finalDotDecidesNothing: whatever is no navigation is answered with a final dot as without it.
func finalDotDecidesNothing(t *testing.T, a attackSite, p protocol) {
	page := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}
	const form = "Origin: https://app.viloforge.test"
	for _, c := range []struct {
		method, host, target string
		header               []string
		status               int
	}{
		{"GET", appHost, "/x", nil, http.StatusUnauthorized},
		{"GET", appHost, "/admin", []string{cookieLine(a.alice)}, http.StatusForbidden},
		{"GET", appHost, "/admin", []string{cookieLine(a.carol)}, http.StatusOK},
		{"POST", appHost, "/x", []string{cookieLine(a.alice), form}, http.StatusOK},
		{"GET", appHost, "/public//x", nil, http.StatusBadRequest},
		{"GET", appHost, "/.vilogate/me", []string{cookieLine(a.alice)}, http.StatusOK},
		{"GET", "login.viloforge.test", "/login", nil, http.StatusOK},
		{"GET", "nowhere.viloforge.test", "/", nil, http.StatusNotFound},
		{"GET", "nowhere.viloforge.test", "/", page, http.StatusNotFound},
		{"GET", "www.example.org", "/", page, http.StatusMisdirectedRequest},
	} {
		var answers []answer
		for _, host := range []string{c.host, c.host + "."} {
			answers = append(answers, p.send(a.site, t, request{method: c.method, host: host, target: c.target, header: c.header}))
		}
		if answers[0].status != c.status || answers[1].status != c.status {
			t.Errorf("%s %s%s %q: got %v, and with a final dot %v, want %d", c.method, c.host, c.target, c.header, answers[0], answers[1], c.status)
		}
	}
	got := p.send(a.site, t, request{host: "login.viloforge.test.:443", target: "/login?redirect_uri=x", header: page})
	if got.status != http.StatusPermanentRedirect || got.header.Get("Location") != "https://login.viloforge.test/login?redirect_uri=x" {
		t.Errorf("a navigation to the login host: %v, Location %q", got, got.header.Get("Location"))
	}
}

// conflictingHosts: a request that names two hosts is refused, or is one host's alone.
func conflictingHosts(t *testing.T, s *site, open, strict *recorder) {
	t.Run("HTTP2/authority-and-host-disagree", func(t *testing.T) {
		t.Parallel()
		strictly := strict.probe(t)
		for _, fields := range [][]field{
			{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "open.viloforge.test"}, {"host", "strict.viloforge.test"}},
			{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "strict.viloforge.test"}, {"host", "open.viloforge.test"}},
			{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":authority", "open.viloforge.test"}, {":authority", "strict.viloforge.test"}},
			{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {":path", "/y"}, {":authority", "strict.viloforge.test"}},
			{{":method", "GET"}, {":scheme", "https"}, {":path", "/x"}, {"host", "open.viloforge.test"}, {"host", "strict.viloforge.test"}},
		} {
			c := s.h2(t, "open.viloforge.test")
			c.exchange(append(fields, field{"x-probe", strictly.mark + "."}), "")
			strictly.none()
			for _, seen := range open.with(strictly.mark + ".") {
				if got := seen.values("Host"); len(got) != 1 || got[0] != "open.viloforge.test" {
					t.Errorf("decided for open, forwarded with Host %q", got)
				}
			}
		}
	})
	t.Run("HTTP1.1/two-Host-lines", func(t *testing.T) {
		t.Parallel()
		opened := open.probe(t)
		got := s.on(t, "open.viloforge.test", request{host: "open.viloforge.test", target: "/x", header: []string{"Host: strict.viloforge.test", opened.header()}})
		if got.status != http.StatusBadRequest {
			t.Errorf("got %v, want 400", got)
		}
		opened.none()
	})
}

// on sends a request in HTTP/1.1 on a connection that was opened for another name.
func (s *site) on(tb testing.TB, serverName string, r request) answer {
	tb.Helper()
	conn := s.handshake(tb, s.tls(serverName, "http/1.1"))
	if _, err := io.WriteString(conn, r.text()); err != nil {
		tb.Fatal(err)
	}
	return readAnswer(tb, bufio.NewReader(conn), r.filled().method)
}

// ownPathsNeverReachABackend: /.vilogate/ and the gateway's keys are answered at the edge, in every spelling.
func ownPathsNeverReachABackend(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for _, target := range []string{
			"/.vilogate/me", "/.vilogate", "/.vilogate/", "/.vilogate/unknown", "/%2evilogate/me", "/.%76ilogate/x", "/.vilogate/logout",
			"/.well-known/vilogate/jwks.json", "/.well-known/%76ilogate/jwks.json", "/.well-known/vilogate", "/.well-known/vilogate/x",
		} {
			t.Run(p.name+target, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				p.send(a.site, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(a.carol)}})
				probe.none()
			})
		}
	}
}
