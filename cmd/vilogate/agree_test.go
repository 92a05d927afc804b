package main_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
)

// identityOf is who a token of our own IdP is of, as policies see it.
func identityOf(t *testing.T, raw string, byBearer bool) *policies.Identity {
	t.Helper()
	if raw == "" {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Sub, Email, Name string
		User             string `json:"preferred_username"`
		Roles, AMR       []string
		AuthTime         int64 `json:"auth_time"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		t.Fatal(err)
	}
	return &policies.Identity{
		Issuer: "vilogate", User: c.User, Subject: c.Sub, Email: c.Email, EmailVerified: true, Name: c.Name, Roles: c.Roles, AMR: c.AMR,
		AuthTime: time.Unix(c.AuthTime, 0), Bearer: byBearer,
	}
}

// randomRoutes are routes of patterns that overlap, each with a random rule and random options.
func randomRoutes(r *rand.Rand) string {
	of := func(list ...string) string { return list[r.IntN(len(list))] }
	patterns := []string{"/", "/a", "/a/b", "/a/:id", "/a/*rest", "/:x", "/:x/b", "/*rest"}
	r.Shuffle(len(patterns), func(i, j int) { patterns[i], patterns[j] = patterns[j], patterns[i] })
	var b strings.Builder
	for _, pattern := range patterns[:2+r.IntN(6)] {
		fmt.Fprintf(&b, "  - { path: %q%s, allow: %s%s }\n", pattern, of("", ", methods: [GET]", ", methods: [POST, DELETE]", ", methods: [POST, DELETE]", ", methods: [PURGE]"),
			of("public", "authenticated", "optional", "deny", "{ roles: [admin] }", "{ users: [alice] }", "{ not: { roles: [admin] } }",
				"{ networks: [127.0.0.0/8], roles: [member] }", "{ bearer: only }", "{ mfa: 15m }", "{ any: [{ max_age: 1d }, { amr: [mfa] }] }",
				`{ when: '"x" in request.query && user.username == "carol"' }`, `{ when: 'request.headers["x-tenant"] == "acme"' }`),
			of("", "", ", semicolon: allow", ", double_slash: allow", ", encoded_hash: allow", ", double_encoding: allow", ", encoded_backslash: allow", `, csrf: { exempt: ["https://pay.example"] }`, ", cors: none"))
	}
	return b.String()
}

// statusesOf are those that an answer of the policies may have for a client.
func statusesOf(a policies.Answer) []int {
	switch a.Outcome {
	case policies.Allow:
		return []int{http.StatusOK, http.StatusNoContent, http.StatusSeeOther}
	case policies.Login, policies.StepUp:
		return []int{http.StatusUnauthorized, http.StatusFound}
	case policies.MethodNotAllowed:
		return []int{http.StatusMethodNotAllowed}
	case policies.MethodNotImplemented:
		return []int{http.StatusNotImplemented}
	case policies.BadRequest:
		return []int{http.StatusBadRequest}
	case policies.NotFound:
		return []int{http.StatusNotFound}
	}
	return []int{http.StatusForbidden}
}

// replayed replays the records of the policies in force against these very policies.
func (a attackSite) replayed(t *testing.T) (report struct{ Requests, Same, Different, Undecidable int }) {
	t.Helper()
	generation := object[struct{ Policies string }](t, a.admin(t, "/status")).Policies
	all, err := os.ReadFile(a.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, generation) {
			lines = append(lines, line)
		}
	}
	log := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(log, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	out := a.must("", "policy", "replay", "-c", filepath.Join(a.dir, "vilogate.yaml"), "--log", log, "--json", filepath.Join(a.dir, "policies"))
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if report.Different > 0 {
		t.Logf("%s", out)
	}
	return report
}

// TestTheLiveGatewayAgreesWithTestAndExplain: random policies are loaded by the real binary; what it does with random
// requests of every kind of address, in both protocols, is what the policies answer to the same question, by the same rule,
// and what is explained; and what it recorded is decided alike when it is replayed.
func TestTheLiveGatewayAgreesWithTestAndExplain(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: always")
	options := policies.Options{
		Domain: "viloforge.test", LoginHost: "login.viloforge.test", PublicPort: 443, Upstreams: []string{"app"}, Issuers: []string{"vilogate"},
	}
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	of := func(list ...string) string { return list[r.IntN(len(list))] }
	seen := map[string]int{}
	everyOutcome := []string{"allow", "deny", "login", "bad-request", "step-up", "own", "login-host", "unknown-host", "malformed", "method-refused", "route"}
	unseen := func(outcome string) bool { return seen[outcome] == 0 }
	for round := 0; round < 12 || round < 100 && slices.ContainsFunc(everyOutcome, unseen); round++ {
		text := "host: app.viloforge.test\nupstream: app\ncors: { origins: [\"https://website.viloforge.test\"], credentials: true }\n" + of("", "", "paths: case-insensitive\n") + "routes:\n" + randomRoutes(r)
		writeFiles(t, a.dir, map[string]string{"policies/app.yaml": text})
		a.must("", "reload", "--state", a.state)
		path := filepath.Join(a.dir, "policies", "app.yaml")
		set, err := policies.Compile([]policies.File{{Name: path, Data: []byte(text)}}, options)
		if err != nil {
			t.Fatal(err)
		}
		for range 30 {
			sso, byBearer := of("", a.alice, a.carol), r.IntN(2) == 0
			asked := policies.Request{
				Method: of("GET", "GET", "POST", "DELETE", "HEAD"), Host: appHost, Now: time.Now(), Client: netip.MustParseAddr("127.0.0.1"),
				Target:   of("/", "/a", "/a/b", "/a/c", "/x", "/x/b", "/a/", "/%61/b", "/a//b", "/a;v=1/b", "/b/c/d", "/A", "/A/B", "/a/%C5%BF", "/a/../b", "/a/C%23", "/a/x%252Fb", "/a%5Cb", "/a/x%5Cb") + of("", "", "?x=1", "?x=1&x=2", "?X=1"),
				Header:   policies.Fields{},
				Identity: identityOf(t, sso, byBearer),
			}
			for _, field := range []struct{ name, value string }{
				{"Origin", of("", "", "https://app.viloforge.test", "https://website.viloforge.test", "https://pay.example", "https://evil.example")},
				{"Sec-Fetch-Site", of("", "same-origin", "same-site", "cross-site")},
				{"X-Tenant", of("", "", "acme")},
			} {
				if field.value != "" {
					asked.Header[field.name] = []string{field.value}
				}
			}
			switch r.IntN(8) {
			case 0:
				asked.Host = of("login.viloforge.test", "login.viloforge.test", "other.viloforge.test")
				asked.Target = of("/login", "//login", "/login;x", "/a%2fb", "/.vilogate/me", "/%2evilogate/me", "/.vilogate/nope", "/nothing")
			case 1:
				asked.Target = of("/.vilogate/me", "/.vilogate/logout", "/.vilogate/nope", "/.vilogate;x/me", "//.vilogate/me", "/.well-known/vilogate/jwks.json")
			case 2:
				asked.Method = of("TRACE", "delete", "Get", "PURGE", "PRI", asked.Method)
			}
			sent := request{method: asked.Method, host: asked.Host, target: asked.Target}
			for name, values := range asked.Header {
				sent.header = append(sent.header, name+": "+values[0])
			}
			switch {
			case sso == "":
			case byBearer:
				sent.header = append(sent.header, bearer(sso))
			default:
				sent.header = append(sent.header, cookieLine(sso))
			}
			answered := protocols()[round%2].send(a.site, t, sent)
			want, err := set.Decide(&asked)
			if err != nil {
				t.Fatal(err)
			}
			seen[want.Kind.String()]++
			expected, _, _ := strings.Cut(want.Outcome.String(), " ")
			explained, _, _ := strings.Cut(analysis.Explain(set, asked).Outcome, " ")
			identityProvider := want.Kind == policies.LoginHost && want.Outcome == policies.Allow // which answers as it likes
			if !identityProvider && !slices.Contains(statusesOf(want), answered.status) || explained != expected {
				t.Fatalf("seed %d: %+v as %.8s, by Bearer token %v: %d; the policies say %s (%s, %s), explained as %s\n%s",
					seed, sent, sso, byBearer, answered.status, expected, want.Kind, want.Reason, explained, text)
			}
			if want.Endpoint == policies.Logout && want.Outcome == policies.Allow {
				a.alice, a.carol = a.client().login("alice").sso(), a.client().login("carol").sso()
			}
			if want.Kind != policies.Routed {
				continue
			}
			seen[expected]++
			rule := ""
			if want.Place.Line > 0 && want.Match.Pattern != "" {
				rule = want.Place.String()
			}
			if live := a.audit(t, answered); live.Decision != expected || rule != "" && live.Rule != rule {
				t.Fatalf("seed %d: %+v as %.8s, by Bearer token %v: recorded %s by %s; the policies say %s by %s (%s)\n%s",
					seed, sent, sso, byBearer, live.Decision, live.Rule, expected, rule, want.Reason, text)
			}
		}
		if report := a.replayed(t); report.Different > 0 || report.Requests == 0 {
			t.Fatalf("seed %d: replayed against the same policies: %+v\n%s", seed, report, text)
		}
	}
	if i := slices.IndexFunc(everyOutcome, unseen); i >= 0 {
		t.Errorf("seed %d: never %s: these policies show little (%v)", seed, everyOutcome[i], seen)
	}
}

// TestWhatIsRefusedBehindARuleIsNoDecisionOfIt: the rule allows the request, and it is refused for its body, its credentials, its
// names or what it would become. Replayed against the same policies, nothing of it is different.
func TestWhatIsRefusedBehindARuleIsNoDecisionOfIt(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: always")
	config := filepath.Join(a.dir, "vilogate.yaml")
	writeFiles(t, a.dir, map[string]string{
		"vilogate.yaml": strings.Replace(string(readFile(t, config)), "upstreams: { app: {", "upstreams: { app: { odd_headers: reject,", 1),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes:\n" +
			"  - { path: \"/*rest\", allow: authenticated, max_body: 1KiB }\n  - { path: /socket, allow: authenticated, websocket: true }\n",
	})
	a.must("", "reload", "--state", a.state)
	for reason, got := range map[string]answer{
		"the body is longer than max_body": a.http1(t, request{method: "PUT", host: appHost, target: "/x", header: []string{cookieLine(a.alice), "Origin: https://" + appHost}, body: strings.Repeat("x", 1025)}),
		"Authorization by Negotiate":       a.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(a.alice), "Authorization: Negotiate YII="}}),
		"a header name that the upstream":  a.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(a.alice), "X_Odd: 1"}}),
		"a WebSocket handshake with a body": a.http1(t, request{host: appHost, target: "/socket", body: "hi", header: append(
			strings.Split(upgrade, "\r\n")[:2], cookieLine(a.alice), "Origin: https://"+appHost)}),
		"a WebSocket, which": a.h2(t, appHost).exchange(
			request{host: appHost, target: "/x", header: []string{cookieLine(a.alice), "Origin: https://" + appHost}}.handshake(), ""),
	} {
		if r := a.audit(t, got); r.Decision == "allow" || !strings.HasPrefix(r.Reason, reason) || r.Rule == "" {
			t.Errorf("%v: recorded %q by %q, for %q; want one for %q", got, r.Decision, r.Rule, r.Reason, reason)
		}
	}
	if report := a.replayed(t); report.Different > 0 || report.Undecidable > 0 {
		t.Errorf("replayed against the same policies: %+v", report)
	}
}
