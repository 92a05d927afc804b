package main_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// fleet is an IdP and gateways of one domain, each a process with a state of its own, and one Redis between them.
type fleet struct {
	t       *testing.T
	redis   *redistest.Server
	idp     *site // nil where the test is the IdP
	login   string
	backend *recorder
	more    string // added to each gateway's configuration
}

// renewedSoon has tokens expire while a test waits.
const renewedSoon = "access_token_ttl: 2s, renewal_grace: 1s"

const fleetSecret = "secret: \"a secret of the whole fleet, 32 bytes or more\"\n"

// newFleet starts Redis. login is the address of the IdP; empty means a real one, as a process of its own, with more keys of
// `idp:`.
func newFleet(t *testing.T, login, more string, idp ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, redis: redistest.New(t), login: login, backend: record(t), more: more}
	if login != "" {
		confirmed(f.redis)
		return f
	}
	listen := freeAddress(t)
	f.login = "http://" + listen
	f.idp = serve(t, map[string]string{"vilogate.yaml": fmt.Sprintf(`
domain: viloforge.test
public_port: 443
listen: { https: "off", http: "off", admin: "127.0.0.1:0" }
state: state
drain: { delay: 0s, timeout: 10s }
redis: %q
%s
trusted_proxies: [ "127.0.0.0/8" ]
login: { host: login.viloforge.test }
idp: { listen: %q, database: sqlite, return_hosts: ["*.viloforge.test"], login_limits: { per_account: 1000/m, per_address: 1000/m, successes: 1000/m }%s }
`, f.redis.URL(), fleetSecret, listen, strings.Join(append([]string{""}, idp...), ", "))})
	f.idp.addUser("alice", "member")
	return f
}

// gateway starts one more gateway of the fleet.
func (f *fleet) gateway() *site {
	f.t.Helper()
	return serve(f.t, f.files())
}

// files are the configuration and the policies of each gateway.
func (f *fleet) files() map[string]string {
	return map[string]string{
		"vilogate.yaml": serveConfig + fleetSecret + fmt.Sprintf(`
redis: %q
login: { host: login.viloforge.test, upstream: %q }
upstreams: { app: { url: %q } }
%s`, f.redis.URL(), f.login, f.backend.url(), f.more),
		"policies/app.yaml":   attackedPolicy,
		"policies/other.yaml": "host: other.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
	}
}

// TestFleetSignsInAndOut: one login, any gateway; one logout, every gateway and the IdP.
func TestFleetSignsInAndOut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	one, two := f.gateway(), f.gateway()
	address := one.url("app", "/deep?a=1")
	c := one.client()
	if got := c.loginAt(address, "alice", passwordOf("alice")); got.status != http.StatusSeeOther || got.header.Get("Location") != address {
		t.Fatalf("login through the first gateway: %v", got)
	}
	sso, session := c.sso(), c.cookie("login", sessionCookie)
	for _, s := range []*site{one, two} {
		if got := s.ask(t, "app", sso); got != http.StatusOK {
			t.Errorf("before: %d", got)
		}
	}
	got := two.http2(t, request{method: http.MethodPost, host: "other.viloforge.test", target: "/.vilogate/logout", header: []string{cookieLine(sso), "Origin: https://other.viloforge.test"}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout at the second gateway: %v", got)
	}
	if got := two.ask(t, "app", sso); got != http.StatusUnauthorized {
		t.Errorf("at the gateway that was told: %d", got)
	}
	within(t, unhelped, "the first gateway refuses the token", func() bool { return one.ask(t, "app", sso) == http.StatusUnauthorized })
	within(t, unhelped, "the IdP has ended the session", func() bool {
		return one.client().open(one.url("login", "/account"), "Cookie: "+sessionCookie+"="+session).status != http.StatusOK
	})
	// Every gateway serves the union of the assertion keys, so that a backend may ask any.
	for _, s := range []*site{one, two} {
		eventually(t, "the union of the gateways' keys", func() bool {
			set := object[struct{ Keys []struct{ Kid string } }](t, s.client().get(s.url("app", "/.well-known/vilogate/jwks.json")))
			return len(set.Keys) == 2
		})
	}
	other := one.client().login("alice")
	probe := f.backend.probe(t)
	two.http1(t, request{host: appHost, target: "/x", header: []string{probe.header(), cookieLine(other.sso())}})
	verifyES256(t, one, probe.one().value("X-User-Assertion"))
}

// TestRevocationReachesTheFleet: from the acknowledged publication at one gateway to the refusal at another, many times:
// within a second, but for those that a busy machine delays.
func TestRevocationReachesTheFleet(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	one, two := f.gateway(), f.gateway()
	publisher, observer := one.h2(t, appHost), two.h2(t, appHost)
	see := func(raw string) int {
		return observer.exchange(request{host: appHost, target: "/.vilogate/me", header: []string{cookieLine(raw)}}.fields(), "").status
	}
	const revocations = 300
	var delays []time.Duration
	for i := range revocations {
		raw := own.sign(own.header(nil), good("alice", nil).json())
		if got := see(raw); got != http.StatusOK {
			t.Fatalf("revocation %d: the token is good, yet %d", i, got)
		}
		out := publisher.exchange(request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(raw), "Origin: https://" + appHost}}.fields(), "")
		if out.status != http.StatusNoContent {
			t.Fatalf("revocation %d: %v", i, out)
		}
		acknowledged := time.Now()
		for see(raw) != http.StatusUnauthorized {
			if time.Since(acknowledged) > unhelped {
				t.Fatalf("revocation %d never arrived", i)
			}
		}
		delays = append(delays, time.Since(acknowledged))
	}
	slices.Sort(delays)
	p50, p99, worst := delays[revocations/2], delays[revocations*99/100], delays[revocations-1]
	t.Logf("from publication to refusal at another gateway, %d revocations: p50 %v, p99 %v, worst %v", revocations, p50, p99, worst)
	if p50 > time.Second {
		t.Errorf("half of the revocations took more than %v, want less than 1 s", p50)
	}
}

// TestRedisAway: while the list cannot be followed, nobody is let in on a guess, nobody is told a lie, and nobody loses
// a cookie; public routes go on. When Redis is back, so is the service, by itself.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ leave, come func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Start},
		"paused": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := newSigner(t)
			f := newFleet(t, publishKeys(t, own).URL, "revocation: { max_staleness: 2s }")
			s := f.gateway()
			live := own.sign(own.header(nil), good("alice", nil).json())
			revoked := own.sign(own.header(nil), good("bob", nil).json())
			out := request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{"Origin: https://" + appHost}}
			signOut := func(raw string) answer {
				r := out
				r.header = append([]string{cookieLine(raw)}, out.header...)
				return s.http2(t, r)
			}
			if got := signOut(revoked); got.status != http.StatusNoContent {
				t.Fatalf("logout: %v", got)
			}
			c.leave(f.redis)
			eventually(t, "authenticated routes answer 503", func() bool { return s.ask(t, "app", live) == http.StatusServiceUnavailable })
			for what, got := range map[string]answer{
				"script":     s.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(live)}}),
				"navigation": s.http2(t, request{host: appHost, target: "/x", header: append([]string{cookieLine(live)}, navigation...)}),
				"revoked":    s.http2(t, request{host: appHost, target: "/x", header: []string{cookieLine(revoked)}}),
				"bearer":     s.http2(t, request{host: appHost, target: "/x", header: []string{bearer(live)}}),
				"logout":     signOut(live),
			} {
				if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || len(got.header.Values("Set-Cookie")) != 0 {
					t.Errorf("%s: got %v, want 503 with Retry-After and no Set-Cookie", what, got)
				}
			}
			probe := f.backend.probe(t)
			if got := s.http1(t, request{host: appHost, target: "/public/x", header: []string{probe.header(), cookieLine(live)}}); got.status != http.StatusOK {
				t.Errorf("a public route: %v", got)
			}
			assertAnonymous(t, probe.one())
			if got := s.admin(t, "/readyz"); got.status != http.StatusOK {
				t.Errorf("once ready, trouble with Redis does not take the gateway out of service: %v", got)
			}
			c.come(f.redis)
			eventually(t, "service resumes", func() bool { return s.ask(t, "app", live) == http.StatusOK })
			got := 0
			eventually(t, "what was revoked is judged", func() bool { // a busy machine may be late again
				got = s.ask(t, "app", revoked)
				return got != http.StatusServiceUnavailable
			})
			if got != http.StatusUnauthorized {
				t.Errorf("what was revoked before: %d", got)
			}
			eventually(t, "people sign out again", func() bool { return signOut(live).status == http.StatusNoContent })
		})
	}
}

// admin asks the site's admin listener.
func (s *site) admin(tb testing.TB, path string) answer {
	tb.Helper()
	c := s.client()
	defer c.http.CloseIdleConnections() // what waits for something asks hundreds of times
	return c.get("http://" + s.at.Admin + path)
}

// TestNotReadyWithoutTheList: a gateway that starts while Redis is away is not ready and says why, lets nobody in on a
// guess, and becomes ready by itself.
func TestNotReadyWithoutTheList(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	f.redis.Kill()
	s := prepare(t, f.files())
	s.startUnready()
	eventually(t, "the log says what is missing", func() bool { return strings.Contains(s.output.String(), "readiness check failing") })
	if got := s.admin(t, "/readyz"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "revocation") || s.saidReady() {
		t.Errorf("readyz: %v, want 503 that names the revocations; it said ready: %v", got, s.saidReady())
	}
	raw := own.sign(own.header(nil), good("alice", nil).json())
	if got, err := s.client().try(http.MethodGet, s.url("app", "/x"), "", cookieLine(raw)); err == nil && got.status != http.StatusServiceUnavailable {
		t.Errorf("somebody signed in: %v, want 503", got)
	}
	f.redis.Start()
	eventually(t, "the gateway says ready", s.saidReady)
	if got := s.admin(t, "/readyz"); got.status != http.StatusOK {
		t.Errorf("readyz, when it has said ready: %v", got)
	}
	eventually(t, "somebody signed in is served", func() bool { return s.ask(t, "app", raw) == http.StatusOK })
}

// TestFlushedRedis: everything that Redis forgets, the running gateways put back; one that starts afterwards knows it.
func TestFlushedRedis(t *testing.T) {
	t.Parallel()
	own := newSigner(t)
	f := newFleet(t, publishKeys(t, own).URL, "")
	one, two := f.gateway(), f.gateway()
	revoked, lives := own.sign(own.header(nil), good("alice", nil).json()), own.sign(own.header(nil), good("bob", nil).json())
	if got := one.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(revoked), "Origin: https://" + appHost}}); got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	eventually(t, "the second gateway refuses the token", func() bool { return two.ask(t, "app", revoked) == http.StatusUnauthorized })
	f.redis.Do("FLUSHALL")
	one.kill() // the one that wrote it cannot be the one that remembers
	eventually(t, "a running gateway puts the list back", func() bool { return f.redis.Number("DBSIZE") > 0 })
	three := f.gateway()
	within(t, unhelped, "the third gateway refuses the token", func() bool { return three.ask(t, "app", revoked) == http.StatusUnauthorized })
	for name, s := range map[string]*site{"two": two, "three": three} {
		if got := s.ask(t, "app", revoked); got != http.StatusUnauthorized {
			t.Errorf("gateway %s: %d", name, got)
		}
		if got := s.ask(t, "app", lives); got != http.StatusOK {
			t.Errorf("gateway %s, a good token: %d", name, got)
		}
	}
}

// TestFleetKilledInTheMiddle: the IdP and a gateway are killed while people sign in and out through them. What was
// acknowledged holds, at the gateway that lived and at the one that came back.
func TestFleetKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "")
	one, two := f.gateway(), f.gateway()
	c := startLoginLoad(t, one, two, 8)
	c.killAfter(5, one, f.idp)
	f.idp.start()
	one.start()
	c.assertDurable(one)
	c.assertDurable(two)
}
