package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/audit"
)

const optionsPolicy = `
host: app.viloforge.test
upstream: app
cors: { origins: ["https://website.viloforge.test"], credentials: true }
routes:
  - { path: /small, methods: [POST], allow: public, max_body: 1KiB }
  - { path: "/api/v1/*rest", allow: authenticated, strip_prefix: /api/v1, rewrite_host: "app.internal:8080", encoded_slash: allow }
  - path: /headers
    allow: authenticated
    headers:
      request: { set: { X-Tenant: acme }, remove: [X-Secret, User-Agent] }
      response: { set: { X-Frame-Options: DENY }, remove: [Content-Type] }
  - { path: /user, allow: authenticated, rate: 3/h per user }
  - { path: /ip, allow: public, rate: 3/h per ip }
  - { path: /optional, allow: optional }
  - { path: /pay, methods: [POST], allow: authenticated, csrf: { exempt: ["https://pay.example"] } }
  - { path: /any, methods: [GET, PUT], allow: public, cors: { origins: ["*"], headers: [X-Custom], exposed_headers: [X-Total] } }
  - { path: /none, allow: public, cors: none }
  - { path: /here, allow: { networks: [127.0.0.0/8], any: [{ roles: [admin] }, { when: 'request.query["code"] == "7"' }] } }
  - { path: /elsewhere, allow: { networks: [192.0.2.0/24] } }
  - { path: /agent, allow: { when: 'request.headers["user-agent"].startsWith("vilo")' } }
  - { path: "/*rest", allow: authenticated }
`

// options is a site whose routes have every option.
func options(t *testing.T, more string) attackSite {
	t.Helper()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + more + fmt.Sprintf("\nupstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": optionsPolicy,
	})
	s.addUser("alice", "member")
	s.addUser("carol", "admin")
	return attackSite{site: s, backend: backend, alice: s.client().login("alice").sso(), carol: s.client().login("carol").sso()}
}

func TestRouteOptions(t *testing.T) {
	t.Parallel()
	tests{
		"body": oversizedBodies, "stripped": strippedPrefixOfAuthorisedPath, "headers": headersOfARoute,
		"rates": ratesOfARoute, "optional": optionalRoutes, "csrf": csrfExemptOrigins, "cors": corsOfARoute, "facts": factsOfTheRequest,
	}.against(t, options(t, ""))
}

// oversizedBodies: 413, said beforehand or found out on the way, and the connection is good for nothing that hides in
// the rest of the body.
func oversizedBodies(t *testing.T, a attackSite) {
	chunked := func(sizes ...int) string {
		var b strings.Builder
		for _, n := range sizes {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, strings.Repeat("x", n))
		}
		return b.String() + "0\r\n\r\n"
	}
	for name, c := range map[string]struct {
		header []string
		body   string
		want   int
	}{
		"as much as may be":          {nil, strings.Repeat("x", 1024), 200},
		"one byte more":              {nil, strings.Repeat("x", 1025), 413},
		"a length that is announced": {[]string{"Content-Length: 9999999999"}, "", 413},
		"chunks, as much as may be":  {[]string{"Transfer-Encoding: chunked"}, chunked(1000, 24), 200},
		"chunks, one byte more":      {[]string{"Transfer-Encoding: chunked"}, chunked(1000, 25), 413},
		"chunks, far more":           {[]string{"Transfer-Encoding: chunked"}, chunked(1<<19, 1<<19), 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := a.http1(t, request{method: "POST", host: appHost, target: "/small", header: append([]string{probe.header()}, c.header...), body: c.body})
			if got.status != c.want {
				t.Fatalf("got %v", got)
			}
			if c.want == 413 && !strings.HasSuffix(got.problem(t).Type, "/too-large") {
				t.Errorf("got %v", got)
			}
			for _, r := range a.backend.with(probe.mark + ".") {
				if strings.Count(r.body, "x") > 1024 {
					t.Errorf("the backend saw %d bytes", strings.Count(r.body, "x"))
				}
			}
		})
	}
	for _, n := range []int{1024, 1025, 1 << 20} {
		t.Run(fmt.Sprint("HTTP2/", n), func(t *testing.T) {
			t.Parallel()
			c := newClient(t, a.site, a.tls("", "h2"))
			r, err := http.NewRequest(http.MethodPost, a.url("app", "/small"), io.NopCloser(bufio.NewReader(strings.NewReader(strings.Repeat("x", n)))))
			if err != nil {
				t.Fatal(err)
			}
			response, err := c.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer closeQuietly(t, response.Body)
			if want := map[bool]int{true: 200, false: 413}[n <= 1024]; response.StatusCode != want || response.ProtoMajor != 2 {
				t.Errorf("%s %d, want %d", response.Proto, response.StatusCode, want)
			}
		})
	}
	t.Run("a client that asks first", func(t *testing.T) {
		t.Parallel()
		answers, _ := a.wire(t, appHost, "POST /small HTTP/1.1\r\nHost: app.viloforge.test\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n\r\n")
		if len(answers) != 1 || answers[0].status != 413 {
			t.Errorf("got %v", answers)
		}
	})
	t.Run("a request behind a body that is too long", func(t *testing.T) {
		t.Parallel()
		probe := a.backend.probe(t)
		hidden := "GET /any HTTP/1.1\r\nHost: app.viloforge.test\r\n" + probe.header() + "\r\n\r\n"
		answers, _ := a.wire(t, appHost, fmt.Sprintf("POST /small HTTP/1.1\r\nHost: app.viloforge.test\r\nContent-Length: %d\r\n\r\n%s%s", 2000+len(hidden), strings.Repeat("x", 2000), hidden))
		if len(answers) != 1 || answers[0].status != 413 {
			t.Errorf("got %v", answers)
		}
		probe.none()
	})
}

func strippedPrefixOfAuthorisedPath(t *testing.T, a attackSite) {
	for target, want := range map[string]string{
		"/api/v1": "/", "/api/v1/": "/", "/api/v1/x?y=%2F": "/x?y=%2F", "/%61pi/v1/caf%c3%a9": "/caf%C3%A9", "/api/v1/a%2fb": "/a%2Fb",
		"/api/v1/api/v1/x": "/api/v1/x", "/api/v1/%5B%5d": "/%5B%5D", "/api/v1/.vilogate/x": "/.vilogate/x",
	} {
		for _, p := range protocols() {
			t.Run(p.name+target, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				got := p.send(a.site, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(a.alice), "X-Forwarded-Prefix: /evil"}})
				if got.status != http.StatusOK {
					t.Fatalf("got %v", got)
				}
				seen := probe.one()
				if seen.target() != want || seen.value("Host") != "app.internal:8080" || seen.value("X-Forwarded-Host") != appHost || seen.value("X-Forwarded-Prefix") != "/api/v1" {
					t.Errorf("the backend received\n%s", seen.head)
				}
			})
		}
	}
	for _, target := range []string{"/api/v1/../../admin", "/api/v1/%2e%2e/admin", "/api/v1//evil.example", "/api/v1/..;/admin", `/api/v1/\evil`, "/api/v1/%00", "/api//v1/x"} {
		for _, p := range protocols() {
			t.Run(p.name+target, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				if got := p.send(a.site, t, request{host: appHost, target: target, header: []string{probe.header(), cookieLine(a.alice)}}); got.status != http.StatusBadRequest && got.status != 0 {
					t.Errorf("got %v", got)
				}
				probe.none()
			})
		}
	}
}

func headersOfARoute(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := p.send(a.site, t, request{host: appHost, target: "/headers", header: []string{
				probe.header(), cookieLine(a.alice), "X-Tenant: evil", "x-tenant: evil", "X_Tenant: evil", "X-Secret: s", "User-Agent: curl", "Connection: X-Tenant",
			}[:map[string]int{"HTTP1.1": 8, "HTTP2": 7}[p.name]]})
			if got.status != http.StatusOK || got.header.Get("X-Frame-Options") != "DENY" || got.header["Content-Type"] != nil {
				t.Errorf("got %v", got)
			}
			seen := probe.one()
			if fmt.Sprint(seen.folding("X-Tenant")) != "[X-Tenant: acme]" || seen.value("X-Secret") != "" || seen.value("User-Agent") != "" || seen.value("X-User") != "alice" {
				t.Errorf("the backend received\n%s", seen.head)
			}
		})
	}
}

func ratesOfARoute(t *testing.T, a attackSite) {
	// Both protocols count together; another spelling of the path, of the token's signature or of the cookie counts the same.
	send := func(p protocol, sso, target string) answer {
		return p.send(a.site, t, request{host: appHost, target: target, header: []string{cookieLine(sso)}})
	}
	both := protocols()
	for i, target := range []string{"/user", "/%75ser", "/user/?x=1"} {
		got := send(both[i%2], a.alice, target)
		if want := fmt.Sprintf(`"per-user";r=%d;t=`, 2-i); got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("RateLimit"), want) || got.header.Get("RateLimit-Policy") != `"per-user";q=3;w=3600` {
			t.Errorf("request %d: %v", i, got)
		}
	}
	for _, p := range both {
		probe := a.backend.probe(t)
		got := p.send(a.site, t, request{host: appHost, target: "/user", header: []string{probe.header(), "Authorization: Bearer " + a.alice}})
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || !strings.HasPrefix(got.header.Get("RateLimit"), `"per-user";r=0;t=`) || !strings.HasSuffix(got.problem(t).Type, "/rate-limited") {
			t.Errorf("%s: %v", p.name, got)
		}
		probe.none()
	}
	if page := a.client().open(a.url("app", "/user"), cookieLine(a.alice)); page.status != http.StatusTooManyRequests || !strings.Contains(page.body, "Too many requests") {
		t.Errorf("a person sees %v", page)
	}
	if got := send(both[0], a.carol, "/user"); got.status != http.StatusOK {
		t.Errorf("somebody else: %v", got)
	}
	again := a.client().login("alice") // a new token of the same person
	if got := send(both[0], again.sso(), "/user"); got.status != http.StatusTooManyRequests {
		t.Errorf("with a new token: %v", got)
	}
	for i := range 4 {
		got := both[i%2].send(a.site, t, request{host: appHost, target: "/ip", header: []string{fmt.Sprintf("X-Forwarded-For: 198.51.100.%d", i), fmt.Sprintf("X-Real-IP: 198.51.100.%d", i)}})
		if want := map[bool]int{true: 200, false: 429}[i < 3]; got.status != want {
			t.Errorf("address, request %d: %v", i, got)
		}
	}
	a.must("", "reload", "--state", a.state)
	if got := send(both[1], a.alice, "/user"); got.status != http.StatusTooManyRequests {
		t.Errorf("after a reload: %v", got)
	}
}

func optionalRoutes(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for want, header := range map[int][]string{200: {}, 401: {"Cookie: " + ssoCookie + "=x"}} {
			probe := a.backend.probe(t)
			if got := p.send(a.site, t, request{host: appHost, target: "/optional", header: append(header, "X-Case: "+probe.mark)}); got.status != want {
				t.Errorf("%s %v: %v", p.name, header, got)
			}
		}
	}
	probe := a.backend.probe(t)
	a.http1(t, request{host: appHost, target: "/optional", header: []string{probe.header(), cookieLine(a.alice)}})
	assertIdentity(t, probe.one(), "alice", "member")
}

func csrfExemptOrigins(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for origin, want := range map[string]int{
			"https://pay.example": 200, "https://pay.example.": 403, "https://sub.pay.example": 403, "http://pay.example": 403, "https://evil.example": 403,
			"https://website.viloforge.test": 200, "https://app.viloforge.test": 200, "https://other.viloforge.test": 403, "null": 403,
		} {
			got := p.send(a.site, t, request{method: "POST", host: appHost, target: "/pay", header: []string{cookieLine(a.alice), "Origin: " + origin, "Sec-Fetch-Site: cross-site", "Content-Length: 0"}})
			if got.status != want {
				t.Errorf("%s from %s: %v", p.name, origin, got)
			}
		}
		got := p.send(a.site, t, request{method: "POST", host: appHost, target: "/pay", header: []string{
			cookieLine(a.alice), "Origin: https://pay.example", "Origin: https://evil.example", "Content-Length: 0",
		}})
		if got.status != http.StatusForbidden {
			t.Errorf("%s, two origins: %v", p.name, got)
		}
	}
}

func corsOfARoute(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		got := p.send(a.site, t, request{host: appHost, target: "/any", header: []string{"Origin: https://evil.example"}})
		if got.header.Get("Access-Control-Allow-Origin") != "https://evil.example" || got.header.Get("Access-Control-Allow-Credentials") != "" || !strings.HasSuffix(got.header.Get("Access-Control-Expose-Headers"), ", X-Total") {
			t.Errorf("%s: %v", p.name, got)
		}
		got = p.send(a.site, t, request{method: "OPTIONS", host: appHost, target: "/any", header: []string{
			"Origin: https://evil.example", "Access-Control-Request-Method: PUT", "Access-Control-Request-Headers: x-custom",
		}})
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Headers") != "X-Custom" {
			t.Errorf("%s: %v", p.name, got)
		}
		got = p.send(a.site, t, request{host: appHost, target: "/none", header: []string{"Origin: https://website.viloforge.test"}})
		if got.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", p.name, got)
		}
		got = p.send(a.site, t, request{host: appHost, target: "/secret", header: []string{"Origin: https://website.viloforge.test"}})
		if got.status != 401 || got.header.Get("Access-Control-Allow-Origin") != "https://website.viloforge.test" || got.header.Get("Access-Control-Allow-Credentials") != "true" {
			t.Errorf("%s: a refusal to the page of the host's own rules: %v", p.name, got)
		}
	}
}

func factsOfTheRequest(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for _, c := range []struct {
			target, sso, agent string
			want               int
		}{
			{"/here", a.carol, "", 200},
			{"/here", a.alice, "", 403},
			{"/here?code=7", a.alice, "", 200},
			{"/here?code=8", a.alice, "", 403},
			{"/here?code=7&code=8", a.alice, "", 400},
			{"/here?code=7;code=8", a.alice, "", 400},
			{"/here?CODE=7", a.alice, "", 400},
			{"/elsewhere", a.carol, "", 403},
			{"/agent", a.alice, "vilo/1", 200},
			{"/agent", a.alice, "curl", 403},
		} {
			header := []string{cookieLine(c.sso), "X-Forwarded-For: 192.0.2.7"}
			if c.agent != "" {
				header = append(header, "User-Agent: "+c.agent)
			}
			if got := p.send(a.site, t, request{host: appHost, target: c.target, header: header}); got.status != c.want {
				t.Errorf("%s %+v: %v", p.name, c, got)
			}
		}
	}
}

// TestStepUp: a rule that asks for a recent login is kept by asking for the password again, although the session lives.
func TestStepUp(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("\naudit: { file: audit.log, fsync: always }\nupstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /recent, allow: { max_age: 2s } }
  - { path: /factor, allow: { mfa: 15m } }
  - { path: "/*rest", allow: authenticated }
`,
	})
	s.addUser("alice", "member")
	c := s.client().login("alice")
	first := c.sso()
	eventually(t, "the login is not recent any more", func() bool {
		return c.get(s.url("app", "/recent")).status == http.StatusUnauthorized
	})
	if got := c.get(s.url("app", "/x")); got.status != http.StatusOK {
		t.Fatalf("the session is over: %v", got)
	}
	got := c.get(s.url("app", "/recent"))
	if h := got.header.Get("WWW-Authenticate"); !strings.Contains(h, `error="insufficient_user_authentication"`) || !strings.Contains(h, `max_age="2"`) ||
		!strings.HasSuffix(got.problem(t).LoginURL, "&max_age=2") {
		t.Errorf("a program is told %v", got)
	}
	got = c.open(s.url("app", "/recent"))
	if got.status != http.StatusFound || !strings.HasSuffix(got.header.Get("Location"), "&max_age=2") {
		t.Fatalf("a person is sent to %v", got)
	}
	last, page := c.follow(got.header.Get("Location"))
	if !strings.HasPrefix(last, s.url("login", "/login")) || !strings.Contains(page.body, "Sign in again") {
		t.Fatalf("a person sees %s: %v", last, page)
	}
	if got := c.loginAt(last, "alice", passwordOf("alice")); got.status != http.StatusSeeOther || got.header.Get("Location") != s.url("app", "/recent") {
		t.Fatalf("the second login: %v", got)
	}
	if got := c.open(s.url("app", "/recent")); got.status != http.StatusOK {
		t.Errorf("after it: %v", got)
	}
	if got := s.ask(t, "app", first); got != http.StatusUnauthorized {
		t.Errorf("the session before is good still: %d", got)
	}

	// Who comes back with what they had sees a page, and is not sent in circles.
	eventually(t, "the login is not recent any more", func() bool {
		return c.get(s.url("app", "/recent")).status == http.StatusUnauthorized
	})
	c.open(s.url("app", "/recent"))
	if got := c.open(s.url("app", "/recent")); got.status != http.StatusUnauthorized || !strings.Contains(got.body, "prompt=login") {
		t.Errorf("the same login once more: %v", got)
	}

	last, page = c.follow(s.url("app", "/factor"))
	if page.status != http.StatusForbidden || !strings.HasPrefix(last, s.url("login", "/login")) || !strings.Contains(page.body, "second factor") {
		t.Errorf("a second factor: %s %v", last, page)
	}
	var stepUps []*audit.Record
	eventually(t, "the step-ups are recorded", func() bool { // which no refusal waits for
		stepUps = nil
		for r, err := range audit.ReadAll(s.dir + "/audit.log") {
			if err == nil && r.Decision == "step-up" {
				stepUps = append(stepUps, r)
			}
		}
		return len(stepUps) >= 5
	})
	for _, r := range stepUps {
		if r.Who == nil || r.Who.User != "alice" || r.Who.AuthTime == nil || !strings.HasSuffix(r.Rule, "policies/app.yaml:5:5") && !strings.HasSuffix(r.Rule, "policies/app.yaml:6:5") {
			t.Errorf("recorded as %+v", r)
		}
	}
}

// TestARateHoldsInTheFleet: what one gateway let through, another knows of from behind; while Redis is away each limits
// what it sees. (That nobody waits for Redis is for gateway/limits to show.)
func TestARateHoldsInTheFleet(t *testing.T) {
	t.Parallel()
	f := newFleet(t, publishKeys(t, newSigner(t)).URL, "")
	files := f.files()
	files["policies/app.yaml"] = "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public, rate: 5/h per ip } ]\n"
	one, two := serve(t, files), serve(t, files)
	ask := func(s *site) int { return s.http1(t, request{host: appHost, target: "/x"}).status }
	for range 5 {
		if got := ask(one); got != http.StatusOK {
			t.Fatalf("within the rate: %d", got)
		}
	}
	if got := ask(one); got != http.StatusTooManyRequests {
		t.Errorf("beyond it: %d", got)
	}
	if got := ask(two); got != http.StatusOK {
		t.Errorf("the other gateway decides by itself at first: %d", got)
	}
	eventually(t, "the other gateway knows", func() bool { return ask(two) == http.StatusTooManyRequests })
	f.redis.Kill()
	if got := ask(two); got != http.StatusTooManyRequests {
		t.Errorf("while Redis is away: %d", got)
	}
}
