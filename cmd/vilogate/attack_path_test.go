package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// assertRefused says which statuses refuse a request before any backend sees it. On HTTP/2 a malformed request may also end
// its stream without a response (RFC 9113, 8.1.1).
func assertRefused(t *testing.T, p protocol, got answer, statuses ...int) {
	t.Helper()
	if p.name == "HTTP2" && got.status == 0 {
		return
	}
	for _, want := range statuses {
		if got.status == want {
			return
		}
	}
	t.Errorf("got %v, want one of %v", got, statuses)
}

// pathConfusion: no spelling of a path may be judged as one route and served as another. A stranger aims at /admin
// through /public, and so does somebody who is signed in without the role.
func pathConfusion(t *testing.T, a attackSite) {
	malformed := []string{
		"/public/../admin", "/public/..%2fadmin", "/public/..%2Fadmin", "/public/%2e%2e/admin", "/public/%2E./admin", "/public/.%2e/admin",
		"/public/%EF%BC%8E%EF%BC%8E/admin", "/public/%EF%BC%8F..%EF%BC%8Fadmin", "/public/%E2%80%A4%E2%80%A4/admin", "/public/..%EF%BC%BCadmin",
		"/public/..%252fadmin", "/public/%252e%252e/admin", "/public/%25252e%25252e%25252fadmin", "/public/%252e%252e%252fadmin",
		"/public//../admin", "//../admin", "/public/..;/admin", "/public/..;x=1/admin", "/public/%2e%2e;/admin", "/public/..%3b/admin",
		`/public/..\admin`, `/public\..\admin`, "/public/..%5cadmin", "/public%5c..%5cadmin", "/public/..%255cadmin",
		"/public/%00/../admin", "/public/x%00", "/public/%2500x", "/public/..%00/admin", "/public/..%2500/admin",
		"/public/%c0%ae%c0%ae/admin", "/public/..%c0%afadmin", "/public/%e0%80%ae/admin", "/public/%f0%80%80%af", "/public/%ff", "/public/%c3",
		"/public/%ed%a0%80", "/public/%u002e%u002e/admin", "/public/%", "/public/%2", "/public/%zz", "/public/%g0", "/public/%%32%65",
		"/public/./admin", "/public/.", "/public/..", "/public/%2e", "/public/%2e/", "/public/./../admin", "/.", "/..",
		"/public/#/../admin", "/public/x#", "/#admin", "/public/..?/admin", "/public/%2f../admin", "/public/%252f..%252fadmin",
		"/public/a%2fb", "/public//x", "//public/x", "/public/;x", "/public/x;y=1", "/public/%2f", "/public%2fx", "/public/%252fx",
		"/public/%25%32%66admin", "/public/..%25%35%63admin", "/public/%2e%252e/admin",
	}
	for _, p := range protocols() {
		for number, target := range malformed {
			for who, cookie := range map[string]string{"stranger": "", "alice": a.alice} {
				t.Run(fmt.Sprintf("%s/%d/%s", p.name, number, who), func(t *testing.T) {
					t.Parallel()
					probe := a.backend.probe(t)
					header := []string{probe.header()}
					if cookie != "" {
						header = append(header, cookieLine(cookie))
					}
					got := p.send(a.site, t, request{host: appHost, target: target, header: header})
					if assertRefused(t, p, got, http.StatusBadRequest); t.Failed() {
						t.Errorf("target %q", target)
					}
					probe.none()
				})
			}
		}
	}
}

// adminByPathEncoding: as a plain user, every spelling of /admin is refused.
func adminByPathEncoding(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for number, target := range []string{
			"/admin", "/admin/", "/%61dmin", "/%61%64%6d%69%6e", "/admi%6E", "/admin?x=/public/", "/admin?/public/", "/admin?", "/admin/?",
			"/x/..%2fadmin", "//admin", "/./admin", "/%2fadmin", `/\admin`, "/admin%2f", "/admin%2F..", "/admin//", "/admin/.", "/admin/..",
			"/admin;/public/", "/admin;", "/admin;x=1", "/;/admin", "/admin%3b", "/admin%23", "/admin%00", "/admin%20/..", "/admin\x09", "/admin%5c",
			"/public/#/../admin", "///admin", "/x//admin/..", "/%252fadmin", "/admin%252f", "/%2561dmin/%252e", "/admin\\",
			"/admin/x", "/admin/%2e", "/admin#", "/x%2f..%2fadmin",
		} {
			t.Run(fmt.Sprintf("%s/%d", p.name, number), func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				got := p.send(a.site, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(a.alice)}})
				if assertRefused(t, p, got, http.StatusBadRequest, http.StatusForbidden); t.Failed() {
					t.Errorf("target %q", target)
				}
				probe.none()
			})
		}
	}
}

// authorisedPathIsForwarded: one spelling of a path is decided on, and that very string is forwarded.
func authorisedPathIsForwarded(t *testing.T, a attackSite) {
	for number, c := range []struct{ target, want string }{
		{"/public/x", "/public/x"},
		{"/public", "/public"},
		{"/public/", "/public/"},
		{"/%70ublic/%78", "/public/x"},
		{"/public/%7e%41%2d%2E%5fz", "/public/~A-._z"},
		{"/public/caf%c3%a9", "/public/caf%C3%A9"},
		{"/public/caf\xc3\xa9", "/public/caf%C3%A9"},
		{"/public/a%20b", "/public/a%20b"},
		{"/public/100%25", "/public/100%25"},
		{"/public/%2541", "/public/%2541"},
		{"/public/a:b@c!$&'()*+,=", "/public/a:b@c!$&'()*+,="},
		{`/public/"<>^` + "`" + `{|}`, "/public/%22%3C%3E%5E%60%7B%7C%7D"},
		{"/public/...", "/public/..."},
		{"/public/..x", "/public/..x"},
		{"/public/.x", "/public/.x"},
		{"/public/x?a=1;b=2", "/public/x?a=1;b=2"},
		{"/public/x?a=%zz", "/public/x?a=%zz"},
		{"/public/x?", "/public/x?"},
		{"/public/x??a", "/public/x??a"},
		{"/public/x?../admin/..%2f%00&a=b&a=c", "/public/x?../admin/..%2f%00&a=b&a=c"},
		{"/public/x?" + strings.Repeat("a=1&", 4000) + "b", "/public/x?" + strings.Repeat("a=1&", 4000) + "b"},
	} {
		for _, p := range protocols() {
			t.Run(fmt.Sprintf("%s/%d", p.name, number), func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				got := p.send(a.site, t, request{host: appHost, target: c.target, header: []string{probe.header()}})
				if p.name == "HTTP2" && got.status == 0 && strings.Contains(c.target, "\xc3") {
					probe.none() // RFC 9113 forbids it on the wire
					return
				}
				if got.status != http.StatusOK {
					t.Fatalf("%.200q: got %v", c.target, got)
				}
				if target := probe.one().target(); target != c.want {
					t.Errorf("%.200q was forwarded as %.200q, want %.200q", c.target, target, c.want)
				}
			})
		}
	}
}

// absoluteForm: a target that names a host of its own is no second opinion about the host. (absoluteFormOfHost: one that names
// the same is what HTTP/1.1 has to take.)
func absoluteForm(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for number, target := range []string{
			"https://app.viloforge.test/public/x", "http://app.viloforge.test/public/x", "https://other.viloforge.test/public/x",
			"https://evil.example/public/x", "app.viloforge.test/public/x", "public/x", "*", "?x", "https:/public/x", "//evil.example/public/x",
			"https://app.viloforge.test", "javascript:alert(1)", "",
		} {
			t.Run(fmt.Sprintf("%s/%d", p.name, number), func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				r := request{host: appHost, target: target, header: []string{probe.header(), cookieLine(a.carol)}}
				var got answer
				if p.name == "HTTP1.1" && strings.HasPrefix(target, "https://"+appHost) {
					return // it names what Host names
				}
				if target == "" && p.name == "HTTP1.1" {
					answers, _ := a.wire(t, appHost, "GET  HTTP/1.1\r\nHost: "+appHost+"\r\n"+probe.header()+"\r\n\r\n")
					got = append(answers, answer{status: http.StatusBadRequest})[0]
				} else if target == "" {
					c := a.h2(t, appHost)
					got = c.exchange([]field{{":method", "GET"}, {":scheme", "https"}, {":path", ""}, {":authority", appHost}, {"x-probe", probe.mark + "."}}, "")
				} else {
					got = p.send(a.site, t, r)
				}
				assertRefused(t, p, got, http.StatusBadRequest, http.StatusMisdirectedRequest)
				probe.none()
			})
		}
	}
}

// absoluteFormOfHost: a target in absolute-form with https that names what Host names is taken over HTTP/1.1 (RFC 9112, section
// 3.2.2), goes on in origin-form, and is decided as that; any other is 400, and 421 where Host alone would be.
func absoluteFormOfHost(t *testing.T, a attackSite) {
	const app, ok, bad = "https://" + appHost, http.StatusOK, http.StatusBadRequest
	for number, c := range []struct {
		method, target, host string
		status               int
		forwarded            string // the backend's target, with 200
	}{
		{"GET", app + "/public/x?a=1", appHost, ok, "/public/x?a=1"},
		{"POST", app + "/public/x", appHost, ok, "/public/x"},
		{"GET", "HTTPS://APP.ViloForge.Test:443/%70ublic/x", appHost, ok, "/public/x"},
		{"GET", app, appHost, ok, "/"},
		{"GET", app + "?x", appHost + ":443", ok, "/?x"},
		{"GET", app + "//public/x", appHost, bad, ""},
		{"GET", app + "/public/..%2fx", appHost, bad, ""},
		{"GET", app + "/public/x#y", appHost, bad, ""},
		{"GET", app + "#y", appHost, bad, ""},
		{"OPTIONS", app, appHost, bad, ""}, // as OPTIONS *
		{"OPTIONS", "*", appHost, bad, ""},
		{"OPTIONS", app + "?x", appHost, ok, "/?x"},
		{"OPTIONS", app + "/", appHost, ok, "/"},
		{"CONNECT", app + "/public/x", appHost, http.StatusMethodNotAllowed, ""},
		{"GET", app + "/.vilogate/nothing", appHost, http.StatusNotFound, ""},
		{"GET", app + "/admin", appHost, ok, "/admin"},
		{"GET", app + ":8443/public/x", appHost, bad, ""},
		{"GET", app + "/public/x", appHost + ":8443", bad, ""},
		{"GET", app + "./public/x", appHost, bad, ""},
		{"GET", app + "./public/x", appHost + ".", ok, "/public/x"},
		{"GET", "http://" + appHost + "/public/x", appHost, bad, ""},
		{"GET", "https://u@" + appHost + "/public/x", appHost, bad, ""},
		{"GET", "https://u:p@" + appHost + "/public/x", "u:p@" + appHost, bad, ""},
		{"GET", "https://" + appHost + "@evil.example/public/x", appHost, bad, ""},
		{"GET", "https://evil.example/public/x", appHost, bad, ""},
		{"GET", "https://login.viloforge.test/login", appHost, bad, ""},
		{"GET", app + "/public/x", "login.viloforge.test", bad, ""},
		{"GET", app + "/public/x", "evil.example", bad, ""},
		{"GET", app + "/public/x", "", bad, ""},
		{"GET", app + "/public/x", "-", bad, ""},
		{"GET", "https:///public/x", "", bad, ""},
		{"GET", "https://evil.example/public/x", "evil.example", http.StatusMisdirectedRequest, ""},
		{"GET", "https://nowhere.viloforge.test/x", "nowhere.viloforge.test", http.StatusNotFound, ""},
		{"GET", "https://login.viloforge.test/login", "login.viloforge.test", ok, ""},
	} {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			r := request{method: c.method, host: c.host, target: c.target, header: []string{probe.header(), cookieLine(a.carol), "Origin: " + app}}
			got := a.on(t, appHost, r)
			if got.status != c.status {
				t.Fatalf("%s %s, Host %q: got %v, want %d", c.method, c.target, c.host, got, c.status)
			}
			if c.forwarded == "" {
				probe.none()
				return
			}
			if seen := probe.one(); seen.target() != c.forwarded || seen.value("Host") != appHost || seen.value("X-Forwarded-Host") != appHost {
				t.Errorf("%s: the backend was asked for %q of %q", c.target, seen.target(), seen.value("Host"))
			}
		})
	}
	t.Run("twice", func(t *testing.T) { // the second on a connection is compared too, and two Hosts are none
		t.Parallel()
		probe := a.backend.probe(t)
		first := "GET " + app + "/public/x HTTP/1.1\r\nHost: " + appHost + "\r\n\r\n"
		for _, second := range []string{
			"GET " + app + "/public/x HTTP/1.1\r\nHost: " + appHost + "\r\nHost: " + appHost + "\r\n",
			"GET " + app + "/public/x HTTP/1.1\r\nHost: login.viloforge.test\r\n", "GET " + app + "/public/x HTTP/1.1\r\n", "GET " + app + "/public/x HTTP/1.0\r\n",
		} {
			answers, closed := a.wire(t, appHost, first+second+probe.header()+"\r\n\r\n")
			if len(answers) != 2 || answers[0].status != ok || answers[1].status != bad || !closed {
				t.Errorf("%q: got %v, closed: %v", second, answers, closed)
			}
			probe.none()
		}
	})
	t.Run("navigation-with-a-final-dot", func(t *testing.T) {
		t.Parallel()
		got := a.on(t, appHost, request{host: appHost + ".", target: app + "./public/x?a", header: []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}})
		if got.status != http.StatusPermanentRedirect || got.header.Get("Location") != app+"/public/x?a" {
			t.Errorf("got %v, Location %q", got, got.header.Get("Location"))
		}
	})
}

// methodsThatAreNoRequests: CONNECT and TRACE reach no backend.
func methodsThatAreNoRequests(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for _, r := range []request{
			{method: "CONNECT", target: appHost + ":443"},
			{method: "CONNECT", target: "127.0.0.1:22"},
			{method: "CONNECT", target: "/public/x"},
			{method: "TRACE", target: "/public/x"},
		} {
			t.Run(p.name+"/"+r.method+"/"+foldHeaderName(r.target), func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				r.host, r.header = appHost, []string{probe.header(), cookieLine(a.carol)}
				assertRefused(t, p, p.send(a.site, t, r), http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusBadRequest)
				probe.none()
			})
		}
	}
	t.Run("HTTP2/extended-CONNECT", func(t *testing.T) {
		t.Parallel()
		probe := a.backend.probe(t)
		c := a.h2(t, appHost)
		got := c.exchange([]field{
			{":method", "CONNECT"},
			{":protocol", "websocket"},
			{":scheme", "https"},
			{":path", "/public/x"},
			{":authority", appHost},
			{"x-probe", probe.mark + "."},
			{"origin", "https://" + appHost},
			{"sec-websocket-version", "13"},
		}, "")
		assertRefused(t, protocols()[1], got, http.StatusMethodNotAllowed, http.StatusNotImplemented, http.StatusBadRequest)
		probe.none()
	})
}

// TestMethodIsComparedAsItIs: methods are case-sensitive, and no header overrides them.
func TestMethodIsComparedAsItIs(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /thing, methods: [GET], allow: public }
  - { path: /thing, methods: [DELETE], allow: { roles: [admin] } }
  - { path: /read, methods: [GET], allow: public }
`,
	})
	for number, c := range []struct {
		method, target, allow string
		status                int
	}{
		{"GET", "/thing", "", http.StatusOK},
		{"HEAD", "/thing", "", http.StatusOK},
		{"DELETE", "/thing", "", http.StatusUnauthorized},
		{"get", "/thing", "", http.StatusNotImplemented},
		{"Delete", "/thing", "", http.StatusNotImplemented},
		{"POST", "/read", "GET, HEAD", http.StatusMethodNotAllowed},
		{"get", "/read", "", http.StatusNotImplemented},
		{"OPTIONS", "/read", "GET, HEAD", http.StatusMethodNotAllowed},
	} {
		for _, p := range protocols() {
			t.Run(fmt.Sprintf("%s/%d", p.name, number), func(t *testing.T) {
				t.Parallel()
				probe := backend.probe(t)
				got := p.send(s, t, request{method: c.method, host: appHost, target: c.target, header: []string{
					probe.header(), "X-HTTP-Method-Override: DELETE", "X-Method-Override: GET",
				}})
				if got.status != c.status || got.header.Get("Allow") != c.allow {
					t.Errorf("%s %s: got %v, want %d with Allow %q", c.method, c.target, got, c.status, c.allow)
				}
				if c.status != http.StatusOK {
					probe.none()
				}
			})
		}
	}
}
