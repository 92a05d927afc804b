package main_test

import (
	"crypto"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// streamsPolicy is a host of requests that take long.
const streamsPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public, websocket: true }
  - { path: "/keep/*rest", allow: authenticated, websocket: true, streams: keep }
  - { path: "/member/*rest", allow: { roles: [member] }, websocket: true }
  - { path: "/*rest", allow: authenticated, websocket: true }
`

// TestWhatIsUnderWayEndsWithTheSignIn: a sign-out at one gateway ends at another what was admitted by that session, token
// or subject; what is public or kept goes on.
func TestWhatIsUnderWayEndsWithTheSignIn(t *testing.T) {
	t.Parallel()
	const secret = "a secret of another issuer, of 32 bytes"
	f := newFleet(t, "", fmt.Sprintf("tokens: { issuers: [ { name: legacy, secret: %q, algorithm: HS256, cookie: jwt, claims: { user: username } } ] }\n", secret))
	backend := newLongBackend(t)
	files := f.files()
	files["vilogate.yaml"] = strings.ReplaceAll(files["vilogate.yaml"], f.backend.url(), backend.URL)
	files["policies/app.yaml"] = streamsPolicy
	one, two := serve(t, files), serve(t, files)
	f.idp.addUser("bob", "member")
	legacy := func(c claims) string {
		c = claims{"username": "carol", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}.with(c)
		return "Cookie: jwt=" + hs(crypto.SHA256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, c.json())
	}
	signOut := func(t *testing.T, credential string) {
		t.Helper()
		got := one.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{credential, "Origin: https://" + appHost}})
		if got.status != http.StatusNoContent {
			t.Fatalf("logout: %v", got)
		}
	}
	alice, other := cookieLine(one.client().login("alice").sso()), cookieLine(one.client().login("alice").sso())
	bob := cookieLine(one.client().login("bob").sso())
	untouched := []*under{
		backend.openSocket(two, "/public/socket", "public-socket", alice), backend.openRequest(two, "h2", "/public/events", "public-events", alice),
		backend.openSocket(two, "/keep/socket", "keep-socket", alice), backend.openRequest(two, "http/1.1", "/keep/events", "keep-events", alice),
		backend.openSocket(two, "/socket", "other-session", other), backend.openTunnel(two, "/socket", "other-session-tunnel", other), backend.openRequest(two, "h2", "/events", "other-session-events", other),
	}
	ended := 0
	for name, c := range map[string]struct {
		credential string
		revoke     func(*testing.T)
	}{
		"session":                   {alice, func(t *testing.T) { signOut(t, alice) }},
		"token":                     {legacy(claims{"jti": "token-of-carol"}), func(t *testing.T) { signOut(t, legacy(claims{"jti": "token-of-carol"})) }},
		"subject":                   {bob, func(*testing.T) { f.idp.must("", "user", "disable", "bob", "--state", f.idp.state) }},
		"subject-of-another-issuer": {legacy(claims{"username": "dave"}), func(t *testing.T) { signOut(t, legacy(claims{"username": "dave"})) }},
	} {
		open := backend.openAll(two, "", name, c.credential)
		began := time.Now()
		c.revoke(t)
		revoked := time.Now()
		backend.allEnd(open, "close 4401 signed out")
		t.Logf("%s: %d requests had ended %v after they were revoked, which took %v", name, len(open), time.Since(revoked), revoked.Sub(began))
		ended += len(open)
	}
	for _, u := range untouched {
		backend.goesOn(u)
	}
	eventually(t, "the access records say why", func() bool {
		return strings.Count(two.output.String(), `"stream_end":"revoked"`) == ended
	})
	metric := fmt.Sprintf("vilogate_stream_ends_total{cause=\"revoked\"} %d\n", ended)
	if got := two.admin(t, "/metrics"); !strings.Contains(got.body, metric) || !strings.Contains(got.body, fmt.Sprintf("vilogate_open_streams %d\n", len(untouched))) {
		t.Errorf("the metrics lack %s", metric)
	}
	if got := strings.Count(two.output.String(), `"stream_end"`); got != ended {
		t.Errorf("%d records of requests that were ended, want %d", got, ended)
	}
}

// TestAClientThatDoesNotReadHoldsNothing: a download that waits for its client ends with the sign-in, too, for the backend at once.
func TestAClientThatDoesNotReadHoldsNothing(t *testing.T) {
	t.Parallel()
	writing, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	s := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		writing <- struct{}{}
		var err error
		for megabyte := make([]byte, 1<<20); err == nil; _, err = w.Write(megabyte) {
		}
		ended <- struct{}{}
	})
	sso := sessionOf(t, s)
	var answers []*http.Response
	for _, protocol := range []string{"http/1.1", "h2"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("app", "/endless"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", ssoCookie+"="+sso)
		response, err := newClient(t, s, s.tls("", protocol)).http.Do(r)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", protocol, response, err)
		}
		defer closeQuietly(t, response.Body)
		answers = append(answers, response)
		wait(t, writing, protocol+": the backend writes")
	}
	got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(sso), "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	began := time.Now()
	for _, response := range answers {
		wait(t, ended, "the backend sees an end")
		if took := time.Since(began); took > unhelped {
			t.Errorf("%s: the backend saw the end after %v", response.Proto, took)
		}
	}
	t.Logf("both had ended %v after the sign-out", time.Since(began))
	for _, response := range answers {
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("%s: the answer looks whole", response.Proto)
		}
	}
}

// TestAReloadEndsWhatItWouldNotAdmit, and nothing else.
func TestAReloadEndsWhatItWouldNotAdmit(t *testing.T) {
	t.Parallel()
	backend := newLongBackend(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\naudit: { file: audit.log }\n", backend.URL), "policies/app.yaml": streamsPolicy,
	})
	cookie := cookieLine(sessionOf(t, s))
	ends := backend.openAll(s, "/member", "member", cookie)
	public := backend.openRequest(s, "h2", "/public/events", "public", "X-Nobody: 1")
	goOn := []*under{
		backend.openSocket(s, "/socket", "socket", cookie), backend.openRequest(s, "h2", "/events", "events", cookie),
		backend.openSocket(s, "/keep/socket", "keep", cookie), backend.openTunnel(s, "/socket", "tunnel", cookie),
	}
	policy := strings.NewReplacer("roles: [member]", "roles: [admin]", `"/keep/*rest", allow: authenticated`, `"/keep/*rest", allow: deny`, `"/public/*rest", allow: public`, `"/public/*rest", allow: authenticated`).Replace(streamsPolicy)
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": policy})
	s.must("", "reload", "--state", s.state)
	backend.allEnd(ends, "close 4401 not allowed any more")
	backend.ends(public, "cut off", "canceled")
	for _, u := range goOn {
		backend.goesOn(u)
	}
	eventually(t, "the access records say why", func() bool {
		return strings.Count(s.output.String(), `"stream_end":"policy"`) == len(ends)+1
	})
	// A host that is gone admits nobody.
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": strings.ReplaceAll(policy, "host: app.", "host: moved.")})
	s.must("", "reload", "--state", s.state)
	backend.ends(goOn[0].watch(), "close 4401 not allowed any more", "close 4401 not allowed any more")
	backend.ends(goOn[1], "cut off", "canceled")
	backend.ends(goOn[3].watch(), "close 4401 not allowed any more", "close 4401 not allowed any more")
	backend.goesOn(goOn[2])
}

// TestDrainClosesWebSockets: they have drain.timeout to end by themselves, and are told then that the gateway goes away.
func TestDrainClosesWebSockets(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"by-itself", "by-the-gateway"} {
		t.Run(ends, func(t *testing.T) {
			t.Parallel()
			backend := newLongBackend(t)
			timeout := map[string]string{"by-itself": "60s", "by-the-gateway": "2s"}[ends]
			s := serve(t, map[string]string{
				"vilogate.yaml":     strings.ReplaceAll(serveConfig, "timeout: 20s", "timeout: "+timeout) + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.URL),
				"policies/app.yaml": streamsPolicy,
			})
			cookie := cookieLine(sessionOf(t, s))
			open := []*under{backend.openSocket(s, "/socket", "socket", cookie), backend.openSocket(s, "/public/socket", "public", cookie), backend.openSocket(s, "/keep/socket", "keep", cookie), backend.openTunnel(s, "/socket", "tunnel", cookie)}
			s.signal(syscall.SIGTERM)
			eventually(t, "it drains", func() bool { return strings.Contains(s.output.String(), `"draining"`) })
			began := time.Now()
			for _, u := range open {
				if ends == "by-itself" {
					u.echo(t)
					closeQuietly(t, u.conn)
					if told := backend.next(u.query); told != "cut off" {
						t.Errorf("%s: %s", u.name, told)
					}
					continue
				}
				backend.ends(u.watch(), "close 1001 shutting down", "close 1001 shutting down")
			}
			if err := s.wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			t.Logf("ended %v after it began to drain", time.Since(began))
			if took := time.Since(began); ends == "by-itself" && took > 50*time.Second {
				t.Errorf("it waited for %v although nothing was open", took)
			}
			if got := strings.Count(s.output.String(), `"stream_end":"drain"`); got != map[string]int{"by-itself": 0, "by-the-gateway": len(open)}[ends] {
				t.Errorf("%d records say that a drain ended them", got)
			}
		})
	}
}
