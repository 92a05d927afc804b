package main_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// spoofedForwardedHeaders: headers that tell some gateway which request was meant change no decision, and
// none of them reaches the backend as it came.
func spoofedForwardedHeaders(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		for number, line := range []string{
			"X-Forwarded-Uri: /public/forged", "X-Forwarded-Path: /public/forged", "X-Forwarded-Prefix: /forged", "X-Forwarded-Method: FORGED",
			"X-Forwarded-For: 203.0.113.99, forged", "X-Forwarded-Host: forged.viloforge.test", "X-Forwarded-Proto: forged",
			"X-Forwarded-Port: 1forged", "X-Forwarded-Server: forged", "X-Forwarded-Scheme: forged", "X-Forwarded-Ssl: forged",
			"X-Original-URL: /public/forged", "X-Original-URI: /public/forged", "X-Original-Method: FORGED", "X-Original-Host: forged",
			"X_Original_URL: /public/forged", "X-Rewrite-URL: /public/forged", "X_Rewrite_Url: /public/forged",
			"X-HTTP-Method: FORGED", "X-HTTP-Method-Override: FORGED", "X-Method-Override: FORGED", "X_HTTP_Method_Override: FORGED",
			"Forwarded: for=203.0.113.99;host=forged;proto=http", "X-Real-IP: forged", "X-Request-Id: forged", "X-Request-Id: forged\x09more",
		} {
			for _, c := range []struct {
				name, target, cookie string
				status               int
			}{
				{"admin", "/admin", a.alice, http.StatusForbidden},
				{"stranger", "/x", "", http.StatusUnauthorized},
				{"public", "/public/x", "", http.StatusOK},
				{"alice", "/x", a.alice, http.StatusOK},
			} {
				t.Run(fmt.Sprintf("%s/%d/%s", p.name, number, c.name), func(t *testing.T) {
					t.Parallel()
					probe := a.backend.probe(t)
					header := []string{probe.header(), line, "Accept: application/json"}
					if c.cookie != "" {
						header = append(header, cookieLine(c.cookie))
					}
					got := p.send(a.site, t, request{host: appHost, target: c.target, header: header})
					if got.status != c.status {
						t.Fatalf("%q: got %v, want %d", line, got, c.status)
					}
					if c.status != http.StatusOK {
						probe.none()
						return
					}
					if seen := probe.one(); strings.Contains(strings.ToLower(strings.ReplaceAll(seen.head, probe.mark, "")), "forged") {
						t.Errorf("%q reached the backend:\n%s", line, seen.head)
					}
				})
			}
		}
	}
}

// forwardedHeaders: the headers about the request itself are the gateway's, and true.
func forwardedHeaders(t *testing.T, a attackSite) {
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			got := p.send(a.site, t, request{host: appHost, target: "/public/x?q=1", header: []string{probe.header()}})
			seen := probe.one()
			for name, want := range map[string]string{
				"Host": appHost, "X-Forwarded-Host": appHost, "X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1",
				"X-Real-IP": "127.0.0.1", "X-Request-Id": got.header.Get("X-Request-Id"),
			} {
				if values := seen.values(name); len(values) != 1 || values[0] != want {
					t.Errorf("%s: %q, want %q", name, values, want)
				}
			}
			if forwarded := seen.value("Forwarded"); !strings.Contains(forwarded, "proto=https") || !strings.Contains(forwarded, "127.0.0.1") {
				t.Errorf("Forwarded: %q", forwarded)
			}
			if len(got.header.Values("X-Request-Id")) != 1 || got.header.Get("X-Request-Id") == "" {
				t.Errorf("X-Request-Id of the response: %q", got.header.Values("X-Request-Id"))
			}
		})
	}
}

// healthProbesAreAnonymous: some gateways let health probes in by their User-Agent.
func healthProbesAreAnonymous(t *testing.T, a attackSite) {
	for _, agent := range []string{"kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0", "Prometheus/2.0", ""} {
		t.Run(agent, func(t *testing.T) {
			t.Parallel()
			probe := a.backend.probe(t)
			if got := a.http1(t, request{host: appHost, target: "/x", header: []string{probe.header(), "User-Agent: " + agent}}); got.status != http.StatusUnauthorized {
				t.Errorf("got %v, want 401", got)
			}
			probe.none()
		})
	}
}

// malformedCookies: an SSO cookie that is no token is nobody's, on every route, and never passed on.
func malformedCookies(t *testing.T, a attackSite) {
	name := ssoCookie + "="
	for label, cookie := range map[string]string{
		"empty": name, "quoted-empty": name + `""`, "word": name + "broken-cookie", "quoted": name + `"broken-cookie"`,
		"dots": name + "..", "many-dots": name + strings.Repeat(".", 9000), "huge": name + strings.Repeat("broken-cookie", 2000),
		"half": name + a.alice[:len(a.alice)/2], "longer": name + a.alice + "x", "cut": name + a.alice[:len(a.alice)-1],
		"control": name + "broken-cookie\x01", "not-ASCII": name + "broken-cookie\xff\xfe", "percent": name + "%62roken-cookie",
		"no-value": ssoCookie, "name-in-lower-case": "__secure-sso=" + a.alice, "spaces": name + " broken-cookie ",
		"padded": name + a.alice + "=", "after-junk": "=;;; ,,,; " + name + "broken-cookie;=",
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+label, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				got := p.send(a.site, t, request{host: appHost, target: "/x", header: []string{probe.header(), "Cookie: " + cookie}})
				if got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest && got.status != 0 {
					t.Errorf("got %v, want 401", got)
				}
				probe.none()
				got = p.send(a.site, t, request{host: appHost, target: "/public/x", header: []string{probe.header(), "Cookie: " + cookie}})
				if got.status != http.StatusOK {
					return
				}
				seen := probe.one()
				assertAnonymous(t, seen)
				if strings.Contains(seen.head, ssoCookie) || strings.Contains(seen.head, "broken-cookie") {
					t.Errorf("the cookie was passed on:\n%.500s", seen.head)
				}
			})
		}
	}
}

// credentialsAreStripped: whatever the gateway has verified is not shown to backends; the rest is, untouched.
func credentialsAreStripped(t *testing.T, a attackSite) {
	sso := ssoCookie + "=" + a.alice
	for name, c := range map[string]struct {
		target, authorization, cookie string
		wantCookie, wantAuthorization string
		status                        int
	}{
		"cookie-first":    {target: "/x", cookie: sso + "; a=1; b=2", wantCookie: "a=1; b=2"},
		"cookie-middle":   {target: "/x", cookie: "a=1; " + sso + "; b=2", wantCookie: "a=1; b=2"},
		"cookie-last":     {target: "/x", cookie: "z=1; a=2; " + sso, wantCookie: "z=1; a=2"},
		"cookie-alone":    {target: "/x", cookie: sso},
		"cookie-tight":    {target: "/x", cookie: "a=1;" + sso + ";b=2", wantCookie: "a=1; b=2"},
		"same-twice":      {target: "/x", cookie: sso + "; a=1; " + sso, wantCookie: "a=1"},
		"others-repeated": {target: "/x", cookie: "a=1; " + sso + "; a=2; a=1", wantCookie: "a=1; a=2; a=1"},
		"public":          {target: "/public/x", cookie: "a=1; " + sso, wantCookie: "a=1"},
		"bearer":          {target: "/x", authorization: "Bearer " + a.alice, cookie: "a=1", wantCookie: "a=1"},
		"bearer-lower":    {target: "/x", authorization: "bearer " + a.alice},
		"bearer-spaces":   {target: "/x", authorization: "Bearer   " + a.alice},
		"bearer-public":   {target: "/public/x", authorization: "Bearer " + a.alice},
		"bearer-and-sso":  {target: "/x", authorization: "Bearer " + a.alice, cookie: sso + "; c=3", wantCookie: "c=3"},
		"basic":           {target: "/x", authorization: "Basic YTpi", cookie: sso, wantAuthorization: "Basic YTpi"},
		"digest":          {target: "/public/x", authorization: `Digest username="a"`, wantAuthorization: `Digest username="a"`},
		"opaque-public":   {target: "/public/x", authorization: "Bearer opaque-token", wantAuthorization: "Bearer opaque-token"},
		"bad-bearer":      {target: "/x", authorization: "Bearer " + a.alice + "x", cookie: sso, status: http.StatusUnauthorized},
		"bad-on-public":   {target: "/public/x", authorization: "Bearer " + a.alice + "x", status: http.StatusUnauthorized},
		"opaque":          {target: "/x", authorization: "Bearer opaque-token", cookie: sso, status: http.StatusUnauthorized},
		"empty-bearer":    {target: "/x", authorization: "Bearer ", cookie: sso, status: http.StatusUnauthorized},
	} {
		for _, p := range protocols() {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				probe := a.backend.probe(t)
				header := []string{probe.header()}
				if c.cookie != "" {
					header = append(header, "Cookie: "+c.cookie)
				}
				if c.authorization != "" {
					header = append(header, "Authorization: "+c.authorization)
				}
				got := p.send(a.site, t, request{host: appHost, target: c.target, header: header})
				if c.status != 0 {
					if got.status != c.status {
						t.Errorf("got %v, want %d", got, c.status)
					}
					probe.none()
					return
				}
				seen := probe.one()
				if got := seen.value("Cookie"); got != c.wantCookie {
					t.Errorf("Cookie %q, want %q", got, c.wantCookie)
				}
				if got := seen.value("Authorization"); got != c.wantAuthorization {
					t.Errorf("Authorization %q, want %q", got, c.wantAuthorization)
				}
				if strings.Contains(seen.head, a.alice[len(a.alice)-40:]) {
					t.Errorf("the token reached the backend:\n%s", seen.head)
				}
			})
		}
	}
}

// TestPresets: other names for the same identity, and nothing under the names that they replace.
func TestPresets(t *testing.T) {
	t.Parallel()
	backend := record(t)
	policy := func(name string) string {
		return fmt.Sprintf("host: %[1]s.viloforge.test\nupstream: %[1]s\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n", name)
	}
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf(`
upstreams:
  remote: { url: %[1]q, identity_headers: remote-user }
  forwarded: { url: %[1]q, identity_headers: x-forwarded-user }
`, backend.url()),
		"policies/remote.yaml": policy("remote"), "policies/forwarded.yaml": policy("forwarded"),
	})
	s.addUser("alice", "member", "auditor")
	alice := s.client().login("alice").sso()
	for host, names := range map[string][4]string{
		"remote":    {"Remote-User", "Remote-Email", "Remote-Name", "Remote-Groups"},
		"forwarded": {"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Preferred-Username", "X-Forwarded-Groups"},
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			probe := backend.probe(t)
			s.http2(t, request{host: s.authority(host), target: "/x", header: []string{probe.header(), cookieLine(alice)}})
			seen := probe.one()
			want := map[string]string{names[0]: "alice", names[1]: "alice@viloforge.test", names[3]: "auditor,member"}
			if host == "remote" {
				want[names[2]] = "alice the user"
			} else {
				want[names[2]] = "alice"
			}
			for name, value := range want {
				if got := seen.values(name); len(got) != 1 || got[0] != value {
					t.Errorf("%s: %q, want %q", name, got, value)
				}
			}
			for _, name := range []string{"X-User", "X-User-Email", "X-User-Name", "X-User-Roles"} {
				if lines := seen.folding(name); len(lines) != 0 {
					t.Errorf("the preset replaces %s, yet %q", name, lines)
				}
			}
			for _, name := range []string{"X-User-Id", "X-User-Assertion"} {
				if len(seen.values(name)) != 1 {
					t.Errorf("%s: %q", name, seen.values(name))
				}
			}
		})
	}
}

// TestWSGIHeaderFolding: a real gunicorn, which reads X_User as X-User, sees the gateway's identity or none.
func TestWSGIHeaderFolding(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"app.py": `
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    names = sorted(n for n in environ if n.startswith("HTTP_") and ("USER" in n or "REMOTE" in n or "GROUPS" in n) and n != "HTTP_USER_AGENT")
    return ["".join("%s=%s\n" % (n, environ[n]) for n in names if n != "HTTP_X_USER_ASSERTION").encode()]
`})
	launch(t, dir, append(os.Environ(), "HOME="+dir), program(t, "gunicorn", "gunicorn"), "--bind", address, "--workers", "1", "app")
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", "http://"+address),
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	alice := s.client().login("alice").sso()
	stranger := s.client()
	eventually(t, "gunicorn answers", func() bool { return stranger.get(s.url("app", "/public/x")).status == http.StatusOK })
	forged := []string{"X_User: forged", "x_uSER: forged", "X.User: forged", "X_User_Roles: forged", "Remote_User: forged", "REMOTE-USER: forged", "X_Forwarded_User: forged"}
	got := s.http1(t, request{host: appHost, target: "/public/x", header: forged})
	if got.status != http.StatusOK || got.body != "" {
		t.Errorf("a stranger's request, as gunicorn saw it: %v", got)
	}
	got = s.http1(t, request{host: appHost, target: "/x", header: append(forged, cookieLine(alice))})
	if !strings.Contains(got.body, "HTTP_X_USER=alice\n") || strings.Contains(got.body, "forged") {
		t.Errorf("alice's request, as gunicorn saw it: %v", got)
	}
}

// TestClientThatNobodyKnows: what a trusted proxy writes of a client is read, or is nobody's address; it never makes a
// stranger of the internal network that the proxy itself is in, and the failures of all unknown count together.
func TestClientThatNobodyKnows(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
login: { host: login.viloforge.test }
idp: { database: sqlite, login_limits: { per_account: 100/h, per_address: 4/h } }
trusted_proxies: [ "::ffff:127.0.0.1" ]
upstreams: { app: { url: %q } }
`, backend.url()),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: /internal, allow: { networks: [127.0.0.0/8], optional: true } }
  - { path: /external, allow: { not: { networks: [127.0.0.0/8] }, optional: true } }
  - { path: /outside, allow: { when: '!request.ip.startsWith("127.")', optional: true } }
  - { path: /limited, allow: public, rate: 2/h per ip }
`,
	})
	c := s.client()
	for _, test := range []struct {
		forwarded, client  string // "" for no header
		internal, external int
	}{
		{"", "127.0.0.1", 200, 401},
		{"127.0.0.1", "127.0.0.1", 200, 401},
		{"2001:db8::1", "2001:db8::1", 401, 200},
		{"[2001:db8::1]", "2001:db8::1", 401, 200},
		{"[2001:db8::1]:4711", "2001:db8::1", 401, 200},
		{"192.0.2.1:4711", "192.0.2.1", 401, 200},
		{"::ffff:192.0.2.1", "192.0.2.1", 401, 200},
		{"unknown", "", 401, 401},
		{"192.0.2.1, _hidden", "", 401, 401},
		{"192.0.2.1,", "", 401, 401},
	} {
		for path, want := range map[string]int{"/internal": test.internal, "/external": test.external, "/outside": test.external} {
			t.Run(path+"/"+test.forwarded, func(t *testing.T) {
				probe := backend.probe(t)
				header := []string{probe.header()}
				if test.forwarded != "" {
					header = append(header, "X-Forwarded-For: "+test.forwarded)
				}
				if got := s.http1(t, request{host: appHost, target: path, header: header}); got.status != want {
					t.Fatalf("%v, want %d", got, want)
				}
				if want != http.StatusOK {
					probe.none()
				} else if seen := probe.one(); seen.value("X-Forwarded-For") != test.client || seen.value("X-Real-IP") != test.client {
					t.Errorf("the backend is told %q", seen.value("X-Forwarded-For"))
				}
			})
		}
	}
	for i, forwarded := range []string{"unknown", "_a", "_b"} {
		want := http.StatusOK
		if i == 2 {
			want = http.StatusTooManyRequests
		}
		t.Run("limited/"+forwarded, func(t *testing.T) {
			probe := backend.probe(t)
			if got := c.get(s.url("app", "/limited"), "X-Forwarded-For: "+forwarded, probe.header()); got.status != want {
				t.Fatalf("%v, want %d", got, want)
			}
			if want != http.StatusOK {
				probe.none()
			} else if seen := probe.one(); seen.value("X-Forwarded-For") != "unknown" || len(seen.values("X-Real-IP")) != 0 || !strings.HasPrefix(seen.value("Forwarded"), "for=unknown;") {
				t.Errorf("the backend is told:\n%s", seen.head)
			}
		})
	}
	for i := range 5 {
		want := http.StatusUnauthorized
		if i == 4 {
			want = http.StatusTooManyRequests
		}
		at, page := c.follow(s.url("login", "/login"))
		f := formIn(t, at, page.body, "password")
		f.fields.Set("username", fmt.Sprint("somebody", i))
		f.fields.Set("password", "wrong")
		if got := c.submit(f, fmt.Sprintf("X-Forwarded-For: _hidden%d", i)); got.status != want {
			t.Errorf("failure %d of a client that nobody knows: %v, want %d", i+1, got, want)
		}
	}
}
