package gateway

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
)

// TestTheLiveGatewayDecidesAsThePoliciesSay: for random policies and random requests, of every kind of address, what the
// gateway does is what policies.Set.Decide says, which the tests in policy files go by, and what Explain tells people.
func TestTheLiveGatewayDecidesAsThePoliciesSay(t *testing.T) {
	seen := map[string]int{}
	seed := rand.Uint64()
	r := &dice{rand.New(rand.NewPCG(seed, 1))}
	log := &memoryLog{}
	s := newSite(t)
	s.gateway.opts.Audit = log
	s.respond = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	people := newPeople(s)
	rare := func(kind string) bool { return seen[kind] < 20 }
	for n := 0; n < 300 || n < 3000 && slices.ContainsFunc(decidedKinds, rare); n++ {
		text := r.policy()
		set := compile(t, text)
		settings := s.gateway.generation.Load().Settings
		settings.Policies = set
		generation, err := NewGeneration(settings)
		if err != nil {
			t.Fatal(err)
		}
		s.gateway.Swap(generation)
		for range 80 {
			asked := r.request(s.now)
			who := max(0, r.one(len(people)+3)-3) // often nobody
			byCookie := r.flip()
			live := s.live(log, asked, people[who], byCookie)
			asked.Identity = people[who].identity(byCookie)
			want, err := set.Decide(&asked)
			if err != nil {
				t.Fatal(err)
			}
			seen[kindOf(want)]++
			explained, _, _ := strings.Cut(analysis.Explain(set, asked).Outcome, " ") // deny (405 …)
			if expected := want.Outcome.Word(); explained != expected {
				t.Fatalf("seed %d: %+v is explained as %s, and the policies say %s\n%s", seed, asked, explained, expected, text)
			}
			if expected := expectedOf(want); !slices.Contains(expected.statuses, live.status) || live.decision != expected.decision || live.reached != expected.reached {
				t.Fatalf("seed %d: %s %s%s %v as %d, by cookie %v: the gateway did %+v, the policies say %s (%s): %+v: %s\n%s",
					seed, asked.Method, asked.Host, asked.Target, asked.Header, who, byCookie, live, want.Outcome, want.Kind, expected, want.Reason, text)
			}
		}
	}
	for _, kind := range decidedKinds {
		if rare(kind) {
			t.Errorf("only %d times %s: these requests show little (%v)", seen[kind], kind, seen)
		}
	}
}

// decidedKinds are what random requests have to come to, each often enough.
var decidedKinds = []string{
	"route allow", "route deny", "route login", "route step-up", "route bad-request", "preflight allow", "preflight deny", "login-host allow",
	"login-host bad-request", "own allow", "own deny", "own login", "own bad-request", "malformed bad-request", "method-refused deny", "unknown-host deny",
}

func kindOf(a policies.Answer) string { return a.Kind.String() + " " + a.Outcome.Word() }

// TestWhatNobodyGets: requests that the gateway and the tools once answered differently. Nobody is signed in.
func TestWhatNobodyGets(t *testing.T) {
	s := newSite(t)
	log := &memoryLog{}
	s.gateway.opts.Audit = log
	set := s.gateway.generation.Load().Policies
	for _, c := range []struct {
		method, host, target string
		status               int
		explained            string
	}{
		{"TRACE", "login.example.test", "/login", 405, "deny (405 method not allowed)"},
		{"TRACE", "nope.example.test", "/", 405, "deny (405 method not allowed)"},
		{"get", "app.example.test", "/", 501, "deny (501 not implemented)"},
		{"PURGE", "nope.example.test", "/", 501, "deny (501 not implemented)"},
		{"post", "login.example.test", "/login", 501, "deny (501 not implemented)"},
		{"get", "app.example.test", "/.vilogate/me", 501, "deny (501 not implemented)"},
		{"get", "app.example.test", "/../", 400, "bad-request"},
		{"GET", "nope.example.test", "/", 404, "deny (404 not found)"},
		{"GET", "nope.example.test", "/.vilogate/me", 404, "deny (404 not found)"},
		{"GET", "login.example.test", "/login", 200, "allow"},
		{"GET", "login.example.test", "/.vilogate/me", 401, "login"},
		{"GET", "login.example.test", "/%2evilogate/me", 401, "login"},
		{"GET", "login.example.test", "/.vilogate/nope", 404, "deny (404 not found)"},
		{"POST", "login.example.test", "/.vilogate/me", 405, "deny (405 method not allowed)"},
		{"GET", "login.example.test", "//login", 400, "bad-request"},
		{"GET", "login.example.test", "/login;x", 400, "bad-request"},
		{"GET", "login.example.test", "/a%2fb", 400, "bad-request"},
		{"GET", "app.example.test", "/.well-known/vilogate/jwks.json", 200, "allow"},
		{"GET", "app.example.test", "/.well-known//vilogate/jwks.json", 400, "bad-request"},
		{"GET", "app.example.test..", "/", 400, "bad-request"},
		{"GET", "nope.example.test.", "/", 404, "deny (404 not found)"},
		{"GET", "login.example.test.:443", "/login", 200, "allow"},
		{"GET", "app_example.test", "/", 400, "bad-request"},
	} {
		asked := policies.Request{Method: c.method, Host: c.host, Target: c.target, Header: policies.Fields{}, Client: netip.MustParseAddr("192.0.2.7"), Now: s.now}
		if live := s.live(log, asked, person{}, false); live.status != c.status {
			t.Errorf("%s %s%s: %d, want %d", c.method, c.host, c.target, live.status, c.status)
		}
		if e := analysis.Explain(set, asked); e.Outcome != c.explained {
			t.Errorf("%s %s%s is explained as %s (%s), want %s", c.method, c.host, c.target, e.Outcome, e.Reason, c.explained)
		}
	}
}

// seen is what the gateway did with a request.
type seen struct {
	status   int
	decision string
	reached  bool // the backend
}

// expected is what it may do.
type expected struct {
	statuses []int
	decision string
	reached  bool
}

// expectedOf is what an answer of the policies means to a client.
func expectedOf(a policies.Answer) expected {
	if a.RedirectsFinalDot() {
		return expected{statuses: []int{http.StatusPermanentRedirect}, decision: "redirect"}
	}
	e := expected{decision: a.Outcome.Word()}
	switch a.Outcome {
	case policies.Allow:
		e.statuses = []int{http.StatusOK}
		switch a.Kind {
		case policies.Routed:
			e.reached = true
		case policies.LoginHost:
			e.decision = "login-host"
		case policies.CORSPreflight:
			e.statuses, e.decision = []int{http.StatusNoContent}, "preflight"
		case policies.OwnPath:
			e.decision = decisionOwn
			if a.Endpoint == policies.Logout {
				e.statuses, e.decision = []int{http.StatusNoContent, http.StatusSeeOther}, "logout"
			}
		}
	case policies.Login, policies.StepUp:
		e.statuses = []int{http.StatusUnauthorized, http.StatusFound}
		if a.Endpoint == policies.Me {
			e.decision = decisionOwn
		}
	case policies.MethodNotAllowed:
		e.statuses = []int{http.StatusMethodNotAllowed}
	case policies.MethodNotImplemented:
		e.statuses = []int{http.StatusNotImplemented}
	case policies.BadRequest:
		e.statuses, e.decision = []int{http.StatusBadRequest}, decisionMalformed
	case policies.NotFound:
		e.statuses, e.decision = []int{http.StatusNotFound}, decisionOwn
		if a.Kind == policies.UnknownHost {
			e.decision = decisionUnknownHost
		}
	default:
		e.statuses = []int{http.StatusForbidden}
	}
	return e
}

// person is somebody, or nobody, with a token.
type person struct {
	raw       string
	principal *principal
}

func (p person) identity(byCookie bool) *policies.Identity {
	if p.principal == nil {
		return nil
	}
	return p.principal.identity(byCookie)
}

func newPeople(s *site) []person {
	people := []person{{}}
	for i, edit := range []func(*token.Grant){
		func(*token.Grant) {},
		func(g *token.Grant) { g.Roles = []string{"admin", "member"} },
		func(g *token.Grant) { g.Roles, g.User = nil, "bob" },
		func(g *token.Grant) { g.AuthTime = s.now.Add(-2 * time.Hour) },
		func(g *token.Grant) { g.AMR, g.Email = []string{"mfa", "otp", "pwd"}, "carol@partner.test" },
		func(g *token.Grant) { g.AMR, g.AuthTime = []string{"mfa"}, s.now.Add(-20*time.Minute) },
	} {
		g := s.grant()
		g.Subject, g.ID, g.Session = fmt.Sprint("u-", i), fmt.Sprint("t-", i), fmt.Sprint("s-", i)
		edit(&g)
		raw := s.sign(g)
		claims, err := s.gateway.generation.Load().Verifier.Verify(raw, s.now)
		if err != nil {
			s.t.Fatal(err)
		}
		people = append(people, person{raw, newPrincipal(claims, 1)})
	}
	return people
}

// TestEveryFactOfAPersonComesFromTheirToken: what policies can ask about somebody is known to the live gateway.
func TestEveryFactOfAPersonComesFromTheirToken(t *testing.T) {
	id := reflect.ValueOf(newPeople(newSite(t))[1].principal.byBearer)
	for _, f := range reflect.VisibleFields(id.Type()) {
		if id.FieldByIndex(f.Index).IsZero() && f.Name != "MFATime" { // which no issuer says
			t.Errorf("newPrincipal knows %s of nobody", f.Name)
		}
	}
}

// live sends the request through the gateway, and returns what it did.
func (s *site) live(log *memoryLog, asked policies.Request, who person, byCookie bool) (did seen) {
	s.t.Helper()
	r := httptest.NewRequest("GET", "/", nil)
	r.Method, r.RequestURI, r.Host, r.RemoteAddr = asked.Method, asked.Target, asked.Host, netip.AddrPortFrom(asked.Client, 1234).String()
	r.Header = http.Header{}
	for name, values := range asked.Header {
		r.Header[name] = values
	}
	switch {
	case who.principal == nil:
	case byCookie:
		r.Header.Set("Cookie", "__Secure-sso="+who.raw)
	default:
		r.Header.Set("Authorization", "Bearer "+who.raw)
	}
	s.gateway.opts.Observe = func(r *Record) { did.decision = r.Decision }
	w := httptest.NewRecorder()
	s.gateway.ServeHTTP(w, r)
	did.status = w.Code
	if w.Code >= 500 && w.Code != http.StatusNotImplemented {
		body, _ := io.ReadAll(w.Result().Body)
		s.t.Fatalf("%s %s: %d %s", asked.Method, asked.Target, w.Code, body)
	}
	s.revoked.mu.Lock()
	s.revoked.entries = nil // the next request is not signed out
	s.revoked.mu.Unlock()
	for _, recorded := range log.records {
		if word := auditDecision(did.decision); recorded.Decision != word {
			s.t.Errorf("%s %s%s: %s in the audit log, %s in the access record", asked.Method, asked.Host, asked.Target, recorded.Decision, word)
		}
	}
	log.records = nil
	did.reached = s.reached() != nil
	return did
}

// dice throws policies and requests.
type dice struct{ *rand.Rand }

func (d *dice) one(n int) int            { return d.IntN(n) }
func (d *dice) flip() bool               { return d.IntN(2) == 0 }
func (d *dice) rarely() bool             { return d.IntN(5) == 0 }
func (d *dice) of(list ...string) string { return list[d.IntN(len(list))] }

// condition is a map of conditions, or what composes them.
func (d *dice) condition(depth int) string {
	if depth > 0 && d.rarely() {
		switch d.one(3) {
		case 0:
			return "{ any: [" + d.condition(depth-1) + ", " + d.condition(depth-1) + "] }"
		case 1:
			return "{ not: " + d.condition(depth-1) + " }"
		default:
			return "{ all: [" + d.condition(depth-1) + ", " + d.condition(depth-1) + "] }"
		}
	}
	return d.of(
		"{ roles: [admin] }", "{ roles: [member, root] }", "{ users: [alice] }", "{ email_domains: [example.test] }",
		"{ claims: { preferred_username: bob } }", "{ issuers: [vilogate] }", "{ networks: [192.0.2.0/24] }", "{ amr: [mfa] }",
		"{ amr: [pwd] }", "{ mfa: 15m }", "{ max_age: 1h }", "{ max_age: 3h, roles: [admin] }", "{ bearer: only }",
		`{ when: '"x" in request.query && request.query["x"] == "1"' }`, `{ when: 'user.username.startsWith("a")' }`,
		`{ when: 'request.headers["x-tenant"] == "acme"' }`, `{ when: 'request.method == "GET" && !token.bearer' }`,
		`{ when: '"admin" in user.roles', max_age: 1h }`,
	)
}

func (d *dice) policy() string {
	var b strings.Builder
	b.WriteString("host: app.example.test\nupstream: app\n")
	if d.flip() {
		b.WriteString(d.of(`cors: { origins: ["https://website.example.test"], credentials: true }`, `cors: { origins: ["https://*.example.test"] }`, `cors: { origins: ["*"], methods: [GET] }`) + "\n")
	}
	if d.rarely() {
		b.WriteString("paths: case-insensitive\n")
	}
	b.WriteString("routes:\n")
	patterns := []string{"/", "/a", "/a/b", "/a/:id", "/a/*rest", "/:x", "/:x/b", "/*rest", "/a/b/c"}
	d.Shuffle(len(patterns), func(i, j int) { patterns[i], patterns[j] = patterns[j], patterns[i] })
	for _, pattern := range patterns[:1+d.one(len(patterns)-1)] {
		methods := d.of("", "GET", "GET, POST", "POST", "DELETE, OPTIONS", "DELETE, PURGE")
		d.route(&b, pattern, methods)
		if methods == "GET" && d.flip() {
			d.route(&b, pattern, "POST, PUT")
		}
	}
	return b.String()
}

func (d *dice) route(b *strings.Builder, pattern, methods string) {
	fmt.Fprintf(b, "  - path: %q\n", pattern)
	if methods != "" {
		fmt.Fprintf(b, "    methods: [%s]\n", methods)
	}
	allow := d.of("public", "authenticated", "optional", "deny", "")
	if allow == "" || d.flip() {
		allow = d.condition(2)
	}
	fmt.Fprintf(b, "    allow: %s\n", allow)
	for _, option := range []string{
		"cors: none", `cors: { origins: ["https://other.example"], headers: [X-Custom] }`, `csrf: { exempt: ["https://pay.example"] }`,
		"semicolon: allow", "double_slash: allow", "encoded_slash: allow", "encoded_hash: allow", "double_encoding: allow", "encoded_backslash: allow", "websocket: true", "mode: shadow",
	} {
		if d.rarely() && !(strings.HasPrefix(option, "cors") && strings.Contains(b.String()[strings.LastIndex(b.String(), "  - path"):], "cors:")) {
			fmt.Fprintf(b, "    %s\n", option)
		}
	}
}

func (d *dice) request(now time.Time) policies.Request {
	r := policies.Request{
		Method: d.of("GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"), Host: "app.example.test", Now: now, Header: policies.Fields{},
		Target: d.of("/", "/a", "/a/b", "/a/b", "/a/c", "/a/b/c", "/x", "/x/b", "/a/", "/%61/b", "/a//b", "/a;v=1/b", "/a/x%2Fb", d.of("/a/C%23", "/a/x%252Fb", "/a/x%5Cb", "/x%5Cb"), "/A", "/A/B", "/a/B/c", "/%E2%84%AA", "/a/../b", "/none/at/all"),
		Client: netip.MustParseAddr(d.of("192.0.2.7", "198.51.100.1", "2001:db8::1")),
	}
	if d.rarely() {
		r.Host = d.of("login.example.test", "LOGIN.example.test:443", "APP.example.test", "app.example.test:8443", "nope.example.test", "app.example.test.",
			"app_example.test", "app.example.test:0", "user@app.example.test", "[::1]", "192.0.2.1", "", "login.example.test")
		r.Target = d.of("/", "/login", "//login", "/login;x", "/a%2fb", "/a", "/a/../login", "/%6cogin")
	}
	if d.rarely() {
		r.Target = d.of("/.vilogate/me", "/.vilogate/logout", "/.vilogate/logout", "/.vilogate/nope", "/.vilogate", "/.vilogate/", "/%2evilogate/me", "//.vilogate/me",
			"/.vilogate;x/me", "/.vilogate%2fme", "/.vilogates", "/.Vilogate/me", "/.well-known/vilogate/jwks.json", "/.well-known//vilogate/jwks.json", "/.well-known/vilogate")
	}
	if d.one(20) == 0 {
		r.Method = d.of("TRACE", "CONNECT", "TRACK", "PROPFIND", "get", "delete", "Options", "PRI", "*", "PURGE", "PURGE", "BAN")
	}
	if d.one(20) == 0 {
		r.Target = d.of("", "*", "a", "/%zz", "/%00", "/a#b", "/\\a", "/a?b c")
	}
	if d.rarely() {
		r.Target += "?" + d.of("x=1", "x=2", "x=1&x=2", "X=1", "x=%zz", "y=1;x=1", "")
	}
	origins := []string{"https://app.example.test", "https://website.example.test", "https://sub.example.test", "https://other.example", "https://pay.example", "https://evil.test", "null"}
	if d.flip() {
		r.Header["Origin"] = []string{d.of(origins...)}
	}
	if d.flip() {
		r.Header["Sec-Fetch-Site"] = []string{d.of("same-origin", "same-site", "cross-site", "none")}
	}
	if r.Method == "OPTIONS" && d.flip() {
		r.Header["Origin"] = []string{d.of(origins[1:4]...)}
		r.Header["Access-Control-Request-Method"] = []string{d.of("GET", "GET", "POST", "POST", "PUT", "put")}
		if d.rarely() {
			r.Header["Access-Control-Request-Headers"] = []string{d.of("authorization", "x-custom", "content-type")}
		}
	}
	if d.rarely() {
		r.Header["X-Tenant"] = []string{d.of("acme", "other")}
	}
	if d.rarely() && r.Method == "GET" {
		r.Header["Upgrade"] = []string{"websocket"}
	}
	return r
}
