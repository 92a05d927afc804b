package main_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// tokenClaims are what a test reads of an access token.
type tokenClaims struct {
	JTI string `json:"jti"`
	SID string `json:"sid"`
	IAT int64  `json:"iat"`
	EXP int64  `json:"exp"`
}

func claimsIn(tb testing.TB, raw string) (c tokenClaims) {
	tb.Helper()
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		tb.Fatalf("no token: %q", raw)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(payload, &c)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// expire waits until a token has expired.
func expire(tb testing.TB, raw string) {
	tb.Helper()
	end := time.Unix(claimsIn(tb, raw).EXP, 0)
	eventually(tb, "the token expires", func() bool { return time.Now().After(end) })
}

// setSSO is the SSO cookie that an answer sets, "" for none.
func setSSO(a answer) string {
	for _, line := range a.header.Values("Set-Cookie") {
		if value, ok := strings.CutPrefix(line, ssoCookie+"="); ok {
			value, _, _ = strings.Cut(value, ";")
			return value
		}
	}
	return ""
}

// TestAnExpiredTokenIsRenewed: whatever a browser sends with an expired token goes on, with its body, and brings back the
// successor: one, however many ask.
func TestAnExpiredTokenIsRenewed(t *testing.T) {
	t.Parallel()
	s, backend := signing(t, "access_token_ttl: 2s")
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			old := s.client().login("alice").sso()
			expire(t, old)
			probe := backend.probe(t)
			got := p.send(s, t, request{
				method: http.MethodPost, host: appHost, target: "/form", body: "a=1&b=2",
				header: []string{cookieLine(old), "Origin: https://" + appHost, probe.header()},
			})
			next := setSSO(got)
			if got.status != http.StatusOK || next == "" {
				t.Fatalf("POST: %v", got)
			}
			seen := probe.one()
			if !strings.Contains(seen.body, "a=1&b=2") || len(seen.values("Cookie")) > 0 || seen.value("X-User") != "alice" {
				t.Errorf("the backend got %v", seen)
			}
			if control := got.header.Get("Cache-Control"); control != "private" {
				t.Errorf("Cache-Control: %q", control)
			}
			before, after := claimsIn(t, old), claimsIn(t, next)
			if after.SID != before.SID || after.JTI == before.JTI || after.IAT <= before.IAT || after.EXP <= before.EXP {
				t.Errorf("the successor: %+v of %+v", after, before)
			}
			// The others that were on their way with the old one.
			for _, target := range []string{"/x", "/.vilogate/me", "/public/x"} {
				got := p.send(s, t, request{host: appHost, target: target, header: []string{cookieLine(old)}})
				if got.status != http.StatusOK {
					t.Errorf("%s with the old token: %v", target, got)
				}
				copied := setSSO(got)
				if public := target == "/public/x"; public != (copied == "") {
					t.Errorf("%s sets %q", target, copied)
				} else if !public && claimsIn(t, copied) != after {
					t.Errorf("%s: another successor: %+v, want %+v", target, claimsIn(t, copied), after)
				}
			}
			prefetch := p.send(s, t, request{host: appHost, target: "/x", header: []string{cookieLine(old), "Sec-Purpose: prefetch"}})
			if prefetch.status != http.StatusOK || setSSO(prefetch) != "" {
				t.Errorf("a prefetch: %v", prefetch)
			}
			if got := p.send(s, t, request{host: appHost, target: "/x", header: []string{cookieLine(next)}}); got.status != http.StatusOK {
				t.Errorf("with the successor: %v", got)
			}
		})
	}
}

// renewing is a site whose tokens expire while a test waits.
func renewing(t *testing.T, more ...string) (*site, *recorder) {
	t.Helper()
	return signing(t, strings.ReplaceAll(strings.Join(append([]string{renewedSoon}, more...), ", "), ", ", "\n  "))
}

// withSSO is a request to the app with an SSO cookie, as a page's script sends it.
func (s *site) withSSO(tb testing.TB, target, sso string) answer {
	tb.Helper()
	return again(tb, func() answer {
		return s.http2(tb, request{host: appHost, target: target, header: []string{cookieLine(sso)}})
	})
}

// renew asks with an expired token until a successor is given, which may take more than a request waits for.
func (s *site) renew(tb testing.TB, sso string) (next string) {
	tb.Helper()
	eventually(tb, "a successor is given", func() bool {
		next = setSSO(s.withSSO(tb, "/x", sso))
		return next != ""
	})
	return next
}

// TestManyRequestsOneRotation: two gateways, an IdP apart and a hundred requests at once with one expired token: all succeed,
// and all bring the same successor.
func TestManyRequestsOneRotation(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "", "access_token_ttl: 4s")
	gateways := []*site{f.gateway(), f.gateway()}
	old := gateways[0].client().login("alice").sso()
	expire(t, old)
	body := func(i int) string {
		if i == 0 || i == 51 { // one at each gateway
			return strings.Repeat(strconv.Itoa(i)+", ten megabytes\n", 10<<20/len("0, ten megabytes\n"))
		}
		return "body " + strconv.Itoa(i)
	}
	answers := make(chan answer, 100)
	var group sync.WaitGroup
	for i := range 100 {
		g := gateways[i%2]
		group.Go(func() {
			c := g.client()
			a, err := c.try(http.MethodPost, g.url("app", "/"+strconv.Itoa(i)), body(i), cookieLine(old), "Origin: "+g.url("app", ""))
			if err != nil {
				t.Error(err)
			}
			answers <- a
		})
		if i%10 == 9 {
			group.Wait() // as many side by side as a page has
		}
	}
	close(answers)
	successors := map[string]int{}
	for a := range answers {
		if next := setSSO(a); a.status != http.StatusOK || next == "" {
			t.Errorf("got %v", a)
		} else {
			successors[claimsIn(t, next).JTI]++
		}
	}
	if len(successors) != 1 {
		t.Errorf("successors: %v", successors)
	}
	arrived := f.backend.all()
	for i := range 100 {
		whole := func(r recorded) bool {
			return strings.HasPrefix(r.head, "POST /"+strconv.Itoa(i)+" ") && r.body == body(i)
		}
		if !slices.ContainsFunc(arrived, whole) {
			t.Errorf("the body of request %d did not arrive whole", i)
		}
	}
	if len(arrived) != 100 {
		t.Errorf("%d requests arrived", len(arrived))
	}
}

// TestACopiedCookie: whoever copies a cookie and renews it first is out within a second of the owner's next navigation, and the
// owner sees no login form; an old copy, presented or posted to sign out, costs the owner nothing.
func TestACopiedCookie(t *testing.T) {
	t.Parallel()
	s, _ := renewing(t)
	owner := s.client().login("alice")
	stolen := owner.sso()
	expire(t, stolen)
	thief := s.renew(t, stolen) // the first to come
	expire(t, thief)
	thief = s.renew(t, thief)                                  // two ahead of the owner
	eventually(t, "the stale cookie is refused", func() bool { // an answer about it holds for seconds
		got := s.withSSO(t, "/x", stolen)
		return got.status == http.StatusUnauthorized && setSSO(got) == ""
	})
	at, page := owner.follow(s.url("app", "/x"))
	if page.status != http.StatusOK || at != s.url("app", "/x") {
		t.Fatalf("the owner ends at %s: %v", at, page)
	}
	within(t, unhelped, "the thief is refused", func() bool { return s.withSSO(t, "/x", thief).status == http.StatusUnauthorized })
	if got := owner.get(s.url("app", "/x")); got.status != http.StatusOK {
		t.Errorf("the owner after that: %v", got)
	}
	for range 5 {
		got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(stolen), "Origin: https://" + appHost}})
		if got.status != http.StatusUnauthorized {
			t.Errorf("sign-out with a stale cookie: %v", got)
		}
		_ = s.withSSO(t, "/x", stolen)
	}
	if got := owner.get(s.url("app", "/x")); got.status != http.StatusOK {
		t.Errorf("the owner after sign-outs with an old copy: %v", got)
	}
	// The successor that was taken back, which has not expired perhaps, signs nobody out at the login host either.
	other := s.client()
	for _, sso := range []string{thief, stolen} {
		if page := other.open(s.url("login", "/logout"), cookieLine(sso)); strings.Contains(page.body, "<form") {
			t.Errorf("the login host offers to sign out: %v", page)
		}
	}
	if got := owner.get(s.url("app", "/x")); got.status != http.StatusOK {
		t.Errorf("the owner after the login host's page: %v", got)
	}
	if got := owner.logout("app"); got.status != http.StatusNoContent {
		t.Errorf("the owner signs out: %v", got)
	}
}

// TestWhatEndsIsNotRenewed: ended sessions, disabled users; and a change of roles shows in the next answer, without a login.
func TestWhatEndsIsNotRenewed(t *testing.T) {
	t.Parallel()
	s, backend := renewing(t)
	c := s.client().login("alice")
	old := c.sso()
	s.must("", "user", "roles", "alice", "member,admin", "--state", s.state)
	probe := backend.probe(t)
	got := s.http2(t, request{host: appHost, target: "/admin", header: []string{cookieLine(old), probe.header()}})
	if got.status != http.StatusOK || probe.one().value("X-User-Roles") != "admin,member" {
		t.Errorf("after the roles were changed: %v", got)
	}
	next := setSSO(got)
	if next == "" {
		t.Fatalf("no successor: %v", got)
	}
	other := s.client().login("alice").sso()
	expire(t, other)
	if got := s.client().do(http.MethodPost, s.url("app", "/.vilogate/logout"), "", cookieLine(other), "Origin: "+s.url("app", "")); got.status != http.StatusNoContent {
		t.Errorf("sign-out with an expired token: %v", got)
	}
	if got := s.withSSO(t, "/x", other); got.status != http.StatusUnauthorized || setSSO(got) != "" {
		t.Errorf("after that: %v", got)
	}
	s.must("", "user", "disable", "alice", "--state", s.state)
	eventually(t, "the disabled user is refused", func() bool { return s.withSSO(t, "/x", next).status == http.StatusUnauthorized })
	if got := s.withSSO(t, "/x", next); setSSO(got) != "" {
		t.Errorf("and is given a token: %v", got)
	}
}

// TestARenewalHasABound: a session whose browser is not seen at the login host for renewal_max is renewed no more: a fetch is
// 401, and a navigation goes there and comes back without a word.
func TestARenewalHasABound(t *testing.T) {
	t.Parallel()
	s, _ := renewing(t, "renewal_max: 1s")
	c := s.client().login("alice")
	old := c.sso()
	expire(t, old)
	got := s.withSSO(t, "/x", old)
	if got.status != http.StatusUnauthorized || got.problem(t).LoginURL == "" || setSSO(got) != "" {
		t.Errorf("a fetch: %v", got)
	}
	if at, page := c.follow(s.url("app", "/x")); page.status != http.StatusOK || at != s.url("app", "/x") || c.sso() == old {
		t.Errorf("a navigation ends at %s: %v", at, page)
	}
}

// TestTheIdPAway: an expired token is 503 with its cookie kept, and a public page goes on; what has not expired needs nobody.
// The back channel is nobody's but the gateways'.
func TestTheIdPAway(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "", "", "access_token_ttl: 3s")
	g := f.gateway()
	mac := []string{"Vilogate-Time: " + strconv.FormatInt(time.Now().Unix(), 10), "Vilogate-MAC: x"}
	for address, want := range map[string]int{
		g.url("login", "/.vilogate/renew"): http.StatusNotFound, g.url("app", "/.vilogate/renew"): http.StatusNotFound,
		g.url("login", "/%2evilogate/renew"): http.StatusNotFound, f.login + "/.vilogate/renew": http.StatusUnauthorized,
	} {
		if got := g.client().do(http.MethodPost, address, `{"action":"check"}`, append(mac, "Origin: "+g.url("login", ""))...); got.status != want {
			t.Errorf("%s: %v, want %d", address, got, want)
		}
	}
	if got := g.client().do(http.MethodPost, f.login+"/.vilogate/renew", "{}", "Host: login.viloforge.test"); got.status != http.StatusNotFound {
		t.Errorf("by the login host's name: %v", got)
	}
	old := g.client().login("alice").sso()
	f.idp.kill()
	expire(t, old)
	got := g.http2(t, request{host: appHost, target: "/x", header: []string{cookieLine(old)}})
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || len(got.header.Values("Set-Cookie")) > 0 {
		t.Errorf("with an expired token: %v", got)
	}
	if got := g.withSSO(t, "/public/x", old); got.status != http.StatusOK || setSSO(got) != "" {
		t.Errorf("a public page: %v", got)
	}
	if got := g.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(old), "Origin: https://" + appHost}}); got.status != http.StatusServiceUnavailable {
		t.Errorf("sign-out: %v", got)
	}
	f.idp.start()
	eventually(t, "the IdP is back", func() bool { return g.withSSO(t, "/x", old).status == http.StatusOK })
	if ready := g.admin(t, "/readyz"); strings.Contains(ready.body, "session_renewal") {
		t.Errorf("readyz after that: %v", ready)
	}
}

// TestEarlySuccessor: in the last fifth of its life a token is replaced, and the request does not wait for its claims.
func TestEarlySuccessor(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 10s")
	for tries := 5; ; tries-- {
		old := s.client().login("alice").sso()
		c := claimsIn(t, old)
		end := time.Unix(c.EXP, 0)
		late := end.Add(-time.Duration(c.EXP-c.IAT) * time.Second / 5)
		if got := s.withSSO(t, "/x", old); setSSO(got) != "" && time.Now().Before(late) {
			t.Errorf("a young token is replaced: %v", got)
		}
		eventually(t, "it is nearly over", func() bool { return time.Now().After(late) })
		s.renew(t, old)
		if strings.Contains(s.output.String(), old) {
			t.Error("a token is in the log")
		}
		if time.Now().Before(end) {
			return
		}
		if tries == 0 {
			t.Fatal("no token is replaced before it has expired")
		}
		t.Log("once more: the machine was too busy for a successor within 250 ms")
	}
}

// TestAnswersAreLost: one in ten, of browsers that do several things at a time: none ever sees a login form.
func TestAnswersAreLost(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 2s")
	var group sync.WaitGroup
	for browser := range 6 {
		c := s.client().login("alice")
		group.Go(func() {
			jar := c.sso()
			for round := range 5 {
				expire(t, jar)
				for n := range 4 {
					got := s.withSSO(t, "/x", jar)
					if got.status != http.StatusOK {
						t.Errorf("browser %d, round %d: %v", browser, round, got)
						return
					}
					if next := setSSO(got); next != "" && (browser+4*round+n)%10 != 0 {
						jar = next
					}
				}
			}
		})
	}
	group.Wait()
}
