package gateway

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// memoryLog is an audit log in memory.
type memoryLog struct {
	records []*audit.Record
	events  []*audit.Event
	fail    error
}

func (l *memoryLog) Put(r *audit.Record) error {
	if l.fail == nil {
		l.records = append(l.records, r)
	}
	return l.fail
}

func (l *memoryLog) PutBestEffort(r *audit.Record) { l.records = append(l.records, r) }

func (l *memoryLog) PutEventBestEffort(e *audit.Event) { l.events = append(l.events, e) }

func (l *memoryLog) last(t *testing.T) *audit.Record {
	t.Helper()
	if len(l.records) == 0 {
		t.Fatal("nothing was recorded")
	}
	r := l.records[len(l.records)-1]
	l.records = nil
	return r
}

func TestEveryDecisionIsRecorded(t *testing.T) {
	log := &memoryLog{}
	s := newSite(t, func(st *Settings) { st.PoliciesID = "abc" })
	s.gateway.opts.Audit = log
	for _, c := range []struct {
		method, target, decision, route, rule string
		lines                                 []string
		status                                int
	}{
		{"GET", "/things/7?page=secret-in-query", "allow", "/things/:id", "app.yaml:9:5", []string{s.cookie()}, 200},
		{"GET", "/things/7", "login", "/things/:id", "app.yaml:9:5", nil, 401},
		{"GET", "/admin", "deny", "/admin", "app.yaml:7:5", []string{s.cookie()}, 403},
		{"PUT", "/things/7", "deny", "/things/:id", "app.yaml:9:5", []string{s.cookie()}, 405},
		{"GET", "/a%2Fb", "bad-request", "/*rest", "app.yaml:11:5", nil, 400},
		{"POST", "/things/7", "deny", "/things/:id", "app.yaml:9:5", []string{s.cookie(), "Sec-Fetch-Site: cross-site"}, 403},
		{"OPTIONS", "/things/7", "preflight", "/things/:id", "", []string{"Origin: https://website.example.test", "Access-Control-Request-Method: GET"}, 204},
		{"GET", "/.vilogate/me", "own", "/.vilogate/me", "", []string{s.cookie()}, 200},
		{"GET", "/x", "deny", "/*rest", "", []string{"Authorization: Bearer x"}, 401},
	} {
		wantStatus(t, s.ask(c.method, c.target, c.lines...), c.status)
		s.reached()
		if len(log.records) != 1 {
			t.Errorf("%s %s: %d records", c.method, c.target, len(log.records))
			continue
		}
		r := log.last(t)
		path, _, _ := strings.Cut(c.target, "?")
		if r.Decision != c.decision || r.Route != c.route || r.Rule != c.rule || r.Host != "app.example.test" || r.Method != c.method ||
			r.Path != path || r.Generation != "abc" || r.RequestID == "" || r.Client.String() != "192.0.2.7" {
			t.Errorf("%s %s: %+v", c.method, c.target, r)
		}
		signedIn := len(c.lines) > 0 && strings.HasPrefix(c.lines[0], "Cookie") && c.route != "/a"
		if signedIn != (r.Who != nil) || r.Who != nil && (r.Who.Subject != "u-1" || r.Who.Issuer != "vilogate" || r.Who.Session != "s-1" || r.Who.Credential != audit.ByCookie) {
			t.Errorf("%s %s: who is %+v", c.method, c.target, r.Who)
		}
	}
	if resp := s.askHost("other.example.test", "GET", "/", ""); resp.StatusCode != 404 || len(log.records) != 0 {
		t.Errorf("a host that nobody serves: %d, %d records", resp.StatusCode, len(log.records))
	}
	log.fail = errors.New("disk full")
	wantStatus(t, s.ask("GET", "/things/7", s.cookie()), 503)
	if s.reached() != nil {
		t.Error("a request without a record reached the backend")
	}
	wantStatus(t, s.ask("GET", "/things/7"), 401)
}

func TestShadowsChangeNothingAndAreRecorded(t *testing.T) {
	log := &memoryLog{}
	s := newSite(t, withRoutes(t, `routes:
  - { path: "/*rest", allow: authenticated }
  - { path: /admin, allow: { roles: [admin] }, mode: shadow }
`), func(st *Settings) {
		st.Shadow, st.ShadowID = compile(t, "host: app.example.test\nupstream: app\nroutes:\n  - { path: /open, allow: public }\n"), "next"
	})
	s.gateway.opts.Audit = log
	wantStatus(t, s.ask("GET", "/admin", s.cookie()), 200)
	s.reached()
	if got := log.last(t).Shadow; len(got) != 2 || got[0].Decision != "deny" || got[0].Rule != "app.yaml:5:5" || got[0].Generation != "" || got[1].Decision != "deny" || got[1].Generation != "next" {
		t.Errorf("%+v", got)
	}
	wantStatus(t, s.ask("GET", "/open"), 401)
	if got := log.last(t).Shadow; len(got) != 1 || got[0].Decision != "allow" || got[0].Generation != "next" {
		t.Errorf("%+v", got)
	}
	wantStatus(t, s.ask("GET", "/x"), 401)
	if got := log.last(t).Shadow; len(got) != 0 {
		t.Errorf("they agree: %+v", got)
	}
	if !strings.Contains(s.log.String(), `"shadow":{"folder":true,"decision":"allow"`) {
		t.Errorf("the access record does not say so: %s", s.log.String())
	}
}

// TestShadowsSeeAmbiguousPathsAndCSRF: a shadow may permit what the live route refuses before it asks who is there, and
// the other way about; so may its CSRF rule. The answers are the same as without it.
func TestShadowsSeeAmbiguousPathsAndCSRF(t *testing.T) {
	const live = `routes:
  - { path: "/s/*rest", allow: { roles: [member] } }
  - { path: "/open/*rest", allow: public, semicolon: allow }
  - { path: "/post", allow: authenticated }
  - { path: "/trusting", allow: authenticated, csrf: { exempt: ["https://forms.example"] } }
  - { path: "/reads", allow: authenticated }
`
	log := &memoryLog{}
	var settings Settings
	s := newSite(t, withRoutes(t, live+`  - { path: "/s/*rest", allow: { roles: [member] }, semicolon: allow, mode: shadow }
`), func(st *Settings) {
		st.Shadow, st.ShadowID = compile(t, `
host: app.example.test
upstream: app
routes:
  - { path: "/s/*rest", allow: { roles: [admin] }, semicolon: allow }
  - { path: "/open/*rest", allow: public }
  - { path: "/post", allow: authenticated, csrf: { exempt: ["https://forms.example"] } }
  - { path: "/trusting", allow: authenticated }
  - { path: "/reads", allow: { when: '"x-tenant" in request.headers' } }
`), "next"
		settings = *st
	})
	bare := newSite(t, withRoutes(t, live), func(st *Settings) { st.Verifier = settings.Verifier })
	s.gateway.opts.Audit = log
	forged := s.sign(s.grant())
	forged = forged[:len(forged)-4] + "AAAA"
	conflict := []string{"Cookie: __Secure-sso=a", "Cookie: __Secure-sso=b", navigation}
	form := []string{"Origin: https://forms.example", "Sec-Fetch-Site: cross-site"}
	for _, c := range []struct {
		method, target, want string
		lines                []string
	}{
		{"GET", "/s/a;b", "[allow deny]", []string{s.cookie()}},
		{"GET", "/s/a;b", "[login login]", nil},
		{"GET", "/s/a;b", "[login login]", conflict},
		{"GET", "/s/a;b", "[]", []string{"Authorization: Bearer " + forged}}, // it does not verify
		{"GET", "/s/a//b", "[]", []string{s.cookie()}},
		{"GET", "/open/a;b", "[bad-request]", nil},
		{"POST", "/post", "[allow]", append(form, s.cookie())},
		{"POST", "/trusting", "[deny]", append(form, s.cookie())},
		{"POST", "/trusting", "[]", form},
		{"GET", "/reads", "[]", []string{s.cookie(), "X-Tenant: a"}},
		{"GET", "/reads", "[bad-request]", []string{s.cookie(), "X-Tenant: a", "Connection: X-Tenant"}},
	} {
		got, without := s.ask(c.method, c.target, c.lines...), bare.ask(c.method, c.target, c.lines...)
		s.reached()
		if got.StatusCode != without.StatusCode || fmt.Sprint(got.Header["Set-Cookie"]) != fmt.Sprint(without.Header["Set-Cookie"]) {
			t.Errorf("%s %s: %d %v, and without shadows %d %v", c.method, c.target, got.StatusCode, got.Header, without.StatusCode, without.Header)
		}
		decisions := []string{}
		for _, second := range log.last(t).Shadow {
			decisions = append(decisions, second.Decision)
		}
		if fmt.Sprint(decisions) != c.want {
			t.Errorf("%s %s: in the shadow %v, want %s", c.method, c.target, decisions, c.want)
		}
	}
}

func TestValuesThatMayBeSecretsAreWithheld(t *testing.T) {
	for name, want := range map[string]bool{
		"Authorization": true, "Cookie": true, "X-Api-Key": true, "X-Csrf-Token": true, "X-Session-Id": true,
		"User-Agent": false, "Accept-Language": false, "X-Tenant": false,
	} {
		if isSecret(name) != want {
			t.Errorf("%s: want %v", name, want)
		}
	}
	for value, want := range map[string]bool{
		"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": true, "Bearer 0123456789abcdef0123": true, "550e8400-e29b-41d4-a716-446655440000": true,
		"": false, "acme": false, "Mozilla/5.0 (X11; Linux x86_64)": false, "en-GB,en;q=0.9": false, "a-rather-long-name-of-a-tenant": false,
	} {
		if looksSecret(value) != want {
			t.Errorf("%q: want %v", value, want)
		}
	}
	log := &memoryLog{}
	s := newSite(t)
	s.gateway.opts.Audit = log
	x := &decided{located: &located{received: &received{g: s.gateway, r: httptest.NewRequest("GET", "/?page=1", nil)}}}
	x.Match.Route = &policies.Route{Reads: policies.Reads{Headers: []string{"X-Api-Key", "X-Tenant", "X-None"}, Query: []string{"page"}}}
	x.r.Header.Set("X-Tenant", "acme")
	x.r.Header.Set("X-Api-Key", "hunter2")
	x.recordFacts()
	if got := fmt.Sprint(x.facts.Headers, x.facts.Withheld, x.facts.Claims); got != "map[x-tenant:[acme]] [headers.x-api-key query.page] map[]" {
		t.Errorf("%s", got)
	}
}
