package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/viloforge/vilogate/gateway/audit"
)

// audited is a site with an audit log.
func audited(t *testing.T, settings string) attackSite {
	t.Helper()
	return newAttackSite(t, "audit: { file: logs/../audit.log, "+settings+" }")
}

func (a attackSite) auditLog() string { return filepath.Join(a.dir, "audit.log") }

// audit returns the record of a request, by the id that its answer names.
func (a attackSite) audit(t *testing.T, got answer) *audit.Record {
	t.Helper()
	var r *audit.Record
	eventually(t, "the record of the request", func() bool {
		var err error
		r, err = audit.Find(a.auditLog(), got.header.Get("X-Request-Id"))
		if err != nil && !errors.Is(err, audit.ErrNotFound) {
			t.Fatal(err)
		}
		return err == nil
	})
	return r
}

// TestEveryDecisionHasARecord that says who, what and by which rule, and tells no secret; after a reload it names other
// policies.
func TestEveryDecisionHasARecord(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: always")
	generation := object[struct{ Policies string }](t, a.admin(t, "/status")).Policies
	for _, p := range protocols() {
		for _, c := range []struct {
			r              request
			sso, decision  string
			route, line    string
			status         int
			path, username string
		}{
			{request{target: "/x/y?q=secret-in-query"}, a.alice, "allow", "/*rest", "7:5", 200, "/x/y", "alice"},
			{request{target: "/x"}, "", "login", "/*rest", "7:5", 401, "/x", ""},
			{request{target: "/admin"}, a.alice, "deny", "/admin", "6:5", 403, "/admin", "alice"},
			{request{target: "/admin"}, a.carol, "allow", "/admin", "6:5", 200, "/admin", "carol"},
			{request{target: "/public/%41"}, "", "allow", "/public/*rest", "5:5", 200, "/public/A", ""},
			{request{target: "/public/a;b"}, "", "bad-request", "/public/*rest", "5:5", 400, "/public/a;b", ""},
			{request{target: "/public/../x"}, "", "bad-request", "", "", 400, "", ""},
			{request{method: "POST", target: "/x", header: []string{"Sec-Fetch-Site: cross-site", "Content-Length: 0"}}, a.alice, "deny", "/*rest", "7:5", 403, "/x", "alice"},
			{request{target: "/x", header: []string{"Authorization: Bearer x.y.z"}}, "", "deny", "/*rest", "", 401, "/x", ""},
		} {
			c.r.host = appHost
			if c.sso != "" {
				c.r.header = append(c.r.header, cookieLine(c.sso))
			}
			got := p.send(a.site, t, c.r)
			if got.status != c.status {
				t.Errorf("%s %+v: %v", p.name, c.r, got)
				continue
			}
			r := a.audit(t, got)
			if r.Decision != c.decision || r.Route != c.route || r.Host != appHost || r.Method != c.r.filled().method || r.Path != c.path ||
				r.Generation != generation || len(generation) != 64 || r.Client.String() != "127.0.0.1" || r.Time.IsZero() {
				t.Errorf("%s %+v: %+v", p.name, c.r, r)
			}
			if c.line != "" && !strings.HasSuffix(r.Rule, "policies/app.yaml:"+c.line) || c.line == "" && r.Rule != "" {
				t.Errorf("%s %+v: the rule is at %q", p.name, c.r, r.Rule)
			}
			switch {
			case (r.Who != nil) != (c.username != ""):
				t.Errorf("%s %+v: who is %+v", p.name, c.r, r.Who)
			case r.Who != nil && (r.Who.User != c.username || r.Who.Issuer != "vilogate" || r.Who.Session == "" || fmt.Sprint(r.Who.AMR) != "[pwd]" || r.Who.Credential != audit.ByCookie || r.Who.AuthTime == nil):
				t.Errorf("%s %+v: who is %+v", p.name, c.r, r.Who)
			}
		}
	}
	writeFiles(t, a.dir, map[string]string{"policies/app.yaml": attackedPolicy + "# changed\n"})
	a.must("", "reload", "--state", a.state)
	if r := a.audit(t, a.http1(t, request{host: appHost, target: "/public/x"})); r.Generation == generation || len(r.Generation) != 64 {
		t.Errorf("the policies have changed, and the record names %q", r.Generation)
	}
	data, err := os.ReadFile(a.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	if found := token.Find(data); found != nil || strings.Contains(string(data), "secret-in-query") || strings.Contains(string(data), "x.y.z") {
		t.Errorf("the log tells a secret: %.40s", found)
	}
	if info, err := os.Stat(a.auditLog()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestRecordsAreFlushedAtTheEnd: what waits to be written when the process drains is written.
func TestRecordsAreFlushedAtTheEnd(t *testing.T) {
	t.Parallel()
	a := audited(t, "fsync: off")
	h2 := a.h2(t, appHost)
	const requests = 500
	for range requests {
		if got := h2.exchange(request{host: appHost, target: "/public/x"}.fields(), ""); got.status != http.StatusOK {
			t.Fatal(got)
		}
	}
	if err := a.terminate(syscall.SIGTERM); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	n := 0
	for r, err := range audit.ReadAll(a.auditLog()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Path == "/public/x" && r.Decision == "allow" {
			n++
		}
	}
	if n != requests {
		t.Errorf("%d of %d requests are recorded", n, requests)
	}
}

// TestAFullDisk: the process may not write more to its files, as on a full disk. As configured, requests are refused and
// none reaches the backend unrecorded, or they pass and what is missing is counted; when there is room again, all goes on.
func TestAFullDisk(t *testing.T) {
	t.Parallel()
	for onFailure, during := range map[string]int{"refuse": http.StatusServiceUnavailable, "drop": http.StatusOK} {
		t.Run(onFailure, func(t *testing.T) {
			t.Parallel()
			a := audited(t, "fsync: always, on_failure: "+onFailure)
			info, err := os.Stat(a.auditLog())
			if err != nil {
				t.Fatal(err)
			}
			var room unix.Rlimit
			if err := unix.Prlimit(a.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &room); err != nil {
				t.Fatal(err)
			}
			full := unix.Rlimit{Cur: uint64(info.Size()) + 100, Max: room.Max}
			if err := unix.Prlimit(a.cmd.Process.Pid, unix.RLIMIT_FSIZE, &full, nil); err != nil {
				t.Fatal(err)
			}
			probe := a.backend.probe(t)
			ask := func(header ...string) answer {
				return a.http2(t, request{host: appHost, target: "/public/x", header: header})
			}
			for i := range 3 {
				got := ask(probe.header())
				if got.status != during {
					t.Errorf("request %d on a full disk: %v", i, got)
				}
				if during == http.StatusServiceUnavailable && (got.header.Get("Retry-After") == "" || !strings.HasSuffix(got.problem(t).Type, "/unavailable")) {
					t.Errorf("request %d: %v", i, got)
				}
			}
			if onFailure == "refuse" {
				probe.none()
			}
			if got := a.http1(t, request{host: appHost, target: "/x"}); got.status != http.StatusUnauthorized {
				t.Errorf("a refusal of our own: %v", got)
			}
			if got := a.admin(t, "/metrics").body; !strings.Contains(got, "vilogate_audit_failing 1\n") || strings.Contains(got, "vilogate_audit_write_failures_total 0\n") {
				t.Error("the metrics say nothing of it")
			}
			if err := unix.Prlimit(a.cmd.Process.Pid, unix.RLIMIT_FSIZE, &room, nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, "requests are recorded again", func() bool {
				got := ask()
				_, err := audit.Find(a.auditLog(), got.header.Get("X-Request-Id"))
				return got.status == http.StatusOK && err == nil && strings.Contains(a.admin(t, "/metrics").body, "vilogate_audit_failing 0\n")
			})
			for r, err := range audit.ReadAll(a.auditLog()) {
				if err != nil {
					t.Errorf("after it: %v, %v", r, err)
				}
			}
		})
	}
}

// TestAnAuditLogThatCannotBeOpenedIsAnError at the start, with its place.
func TestAnAuditLogThatCannotBeOpenedIsAnError(t *testing.T) {
	t.Parallel()
	s := prepare(t, map[string]string{
		"vilogate.yaml":     serveConfig + "audit: { file: nowhere/audit.log }\nupstreams: { app: { url: \"http://127.0.0.1:1\" } }\n",
		"policies/app.yaml": publicOnly,
	})
	_, said, err := s.command("", s.arguments...)
	if err == nil || !strings.Contains(said, "vilogate.yaml:9:16: audit: opening the log: ") {
		t.Errorf("%v: %s", err, said)
	}
}

// TestShadowPolicies: a folder of policies beside the live one decides nothing, is compared for every request, and is read
// again with the live one; a route with mode: shadow likewise.
func TestShadowPolicies(t *testing.T) {
	t.Parallel()
	backend := record(t)
	files := map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("audit: { file: audit.log, fsync: always }\nupstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": strings.Replace(attackedPolicy, "  - { path: /admin", "  - { path: /x, allow: { roles: [admin] }, mode: shadow }\n  - { path: /admin", 1),
		"next/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /admin, allow: public }
  - { path: "/*rest", allow: authenticated }
`,
	}
	s := prepare(t, files)
	s.arguments = append(s.arguments, "--shadow-policies", filepath.Join(s.dir, "next"))
	s.start()
	s.addUser("alice", "member")
	a := attackSite{site: s, backend: backend, alice: s.client().login("alice").sso()}
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: "/x", header: []string{cookieLine(a.alice)}})
		if r := a.audit(t, got); got.status != http.StatusOK || len(r.Shadow) != 1 || r.Shadow[0].Decision != "deny" || r.Shadow[0].Generation != "" || !strings.HasSuffix(r.Shadow[0].Rule, "policies/app.yaml:6:5") {
			t.Errorf("%s, a route in the shadow: %v %+v", p.name, got, r)
		}
		got = p.send(s, t, request{host: appHost, target: "/admin", header: []string{cookieLine(a.alice)}})
		if r := a.audit(t, got); got.status != http.StatusForbidden || len(r.Shadow) != 1 || r.Shadow[0].Decision != "allow" || len(r.Shadow[0].Generation) != 64 || !strings.HasSuffix(r.Shadow[0].Rule, "next/app.yaml:6:5") {
			t.Errorf("%s, a folder in the shadow: %v %+v", p.name, got, r)
		}
		got = p.send(s, t, request{host: appHost, target: "/public/x"})
		if r := a.audit(t, got); got.status != http.StatusOK || len(r.Shadow) != 0 {
			t.Errorf("%s, where they agree: %v %+v", p.name, got, r)
		}
	}
	metrics := s.admin(t, "/metrics").body
	for _, line := range []string{
		`vilogate_shadow_differences_total{decision="allow",host="app.viloforge.test",route="/*rest",shadow="routes",shadow_decision="deny"} 2`,
		`vilogate_shadow_differences_total{decision="deny",host="app.viloforge.test",route="/admin",shadow="folder",shadow_decision="allow"} 2`,
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("missing: %s", line)
		}
	}
	// A reload reads both; one that is broken changes neither.
	writeFiles(t, s.dir, map[string]string{"next/app.yaml": "hosts: x\n"})
	if _, said, err := s.command("", "reload", "--state", s.state); err == nil || !strings.Contains(said, "next/app.yaml:1:1") {
		t.Errorf("a broken folder in the shadow: %v %s", err, said)
	}
	writeFiles(t, s.dir, map[string]string{"next/app.yaml": publicOnly})
	if said := s.must("", "reload", "--state", s.state); !strings.Contains(said, "next/app.yaml: changed") {
		t.Errorf("the reload says %q", said)
	}
	got := s.http1(t, request{host: appHost, target: "/y"})
	if r := a.audit(t, got); got.status != http.StatusUnauthorized || len(r.Shadow) != 1 || r.Shadow[0].Decision != "allow" {
		t.Errorf("after a reload: %v %+v", got, r)
	}
}

// TestFactsThatTheRuleReads are in the record, so that the decision can be made again; secrets and values of the query are
// named and left out.
func TestFactsThatTheRuleReads(t *testing.T) {
	t.Parallel()
	partner, backend := newSigner(t), record(t)
	keys := publishKeys(t, partner)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
tokens: { issuers: [ { name: partner, issuer: "https://id.partner.test", audience: [for-us], jwks: "%s/.well-known/jwks.json" } ] }
upstreams: { app: { url: %q } }
audit: { file: audit.log, fsync: always }
`, keys.URL, backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - path: "/*rest"
    bearer: only
    allow:
      when: >-
        token.claims["department"] == "finance" && user.email.endsWith("@partner.test") && request.headers["x-tenant"] == "acme"
        && "x-api-key" in request.headers && request.query["page"] == "secret-in-query"
`,
	})
	a := attackSite{site: s, backend: backend}
	raw := partner.sign(partner.header(nil), good("pat", claims{
		"iss": "https://id.partner.test", "aud": "for-us", "department": "finance", "salary": 7, "email": "pat@partner.test", "email_verified": true,
	}).json())
	eventually(t, "the partner's keys", func() bool {
		return s.http1(t, request{host: appHost, target: "/", header: []string{bearer(raw)}}).status != http.StatusServiceUnavailable
	})
	for _, p := range protocols() {
		got := p.send(s, t, request{host: appHost, target: "/a/b?page=secret-in-query&x=secret-in-query", header: []string{
			bearer(raw), "X-Tenant: acme", "X-Api-Key: hunter2-hunter2", "X-Other: other-header",
		}})
		if got.status != http.StatusOK {
			t.Errorf("%s: %v", p.name, got)
		}
		r := a.audit(t, got)
		if r.Facts == nil || fmt.Sprint(r.Facts.Headers) != "map[x-tenant:[acme]]" || fmt.Sprint(r.Facts.Withheld) != "[headers.x-api-key query.page]" ||
			len(r.Facts.Claims) != 1 || string(r.Facts.Claims["department"]) != `"finance"` {
			t.Errorf("%s: %+v", p.name, r.Facts)
		}
		if r.Who == nil || r.Who.Subject != "partner:id-of-pat" || r.Who.Email != "pat@partner.test" || !r.Who.EmailVerified || r.Who.Credential != audit.ByBearer {
			t.Errorf("%s: %+v", p.name, r.Who)
		}
	}
	data, err := os.ReadFile(a.auditLog())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", "secret-in-query", "other-header", "salary"} {
		if strings.Contains(string(data), secret) {
			t.Errorf("the log tells %s", secret)
		}
	}
}
