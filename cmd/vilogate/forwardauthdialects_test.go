package main_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// asking is a request as a proxy asks, by HTTP/1.1.
func asking(tb testing.TB, s *site, r request) answer {
	tb.Helper()
	if r.target == "" {
		r.target = "/.vilogate/auth"
	}
	if r.host == "" {
		r.host = s.at.ForwardAuth
	}
	return front{address: s.at.ForwardAuth}.send(tb, r)
}

// dialect is how a proxy asks about a request of a method for a target.
type dialect struct {
	name string
	ask  func(method, target string) request
	// narrow: only 2xx, 401 and 403 are understood.
	narrow bool
}

// dialects are the requests of proxies as they send them.
var dialects = []dialect{
	{"traefik", func(method, target string) request {
		return request{header: []string{
			"User-Agent: curl/8", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Host: " + appHost, "X-Forwarded-Method: " + method, "X-Forwarded-Port: 443",
			"X-Forwarded-Proto: https", "X-Forwarded-Server: traefik-1", "X-Forwarded-Uri: " + target, "X-Real-Ip: 192.0.2.9",
		}}
	}, false},
	{"caddy", func(method, target string) request {
		// The query stays, where uri has none.
		asked := "/.vilogate/auth"
		if _, query, ok := strings.Cut(target, "?"); ok {
			asked += "?" + query
		}
		return request{host: appHost, target: asked, header: []string{
			"User-Agent: curl/8", "X-Forwarded-For: 192.0.2.9", "X-Forwarded-Host: " + appHost, "X-Forwarded-Method: " + method,
			"X-Forwarded-Proto: https", "X-Forwarded-Uri: " + target, "Via: 2.0 Caddy",
		}}
	}, false},
	{"haproxy-auth-request", func(method, target string) request {
		return request{method: http.MethodHead, host: appHost, header: []string{
			"X-Forwarded-Method: " + method, "X-Forwarded-Uri: " + target, "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9",
		}}
	}, false},
	{"nginx", func(method, target string) request {
		return request{host: appHost, header: []string{
			"X-Original-Method: " + method, "X-Original-URI: " + target, "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9",
		}}
	}, true},
	{"ingress-nginx", func(method, target string) request {
		return request{host: "vilogate.auth.svc.cluster.local:4181", header: []string{
			"X-Original-URL: https://" + appHost + target, "X-Original-Method: " + method, "X-Sent-From: nginx-ingress-controller", "X-Real-IP: 192.0.2.9",
			"X-Auth-Request-Redirect: " + target, "X-Request-ID: 0123456789abcdef0123456789abcdef",
		}}
	}, true},
	{"envoy", func(method, target string) request {
		return request{method: method, host: appHost, target: "/.vilogate/auth" + target, header: []string{
			"X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9, 127.0.0.1", "Content-Length: 0",
		}}
	}, false},
}

// TestForwardAuthDialects: however a proxy asks, it is answered as the gateway itself would answer, in the form that it understands;
// leave has the fields of the request, and no backend hears of it.
func TestForwardAuthDialects(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, forwardAuth)
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			ask := func(method, target string, header ...string) answer {
				r := d.ask(method, target)
				r.header = append(r.header, header...)
				return asking(t, s.site, r)
			}
			status := func(a answer, want int) {
				t.Helper()
				got := a.status
				if d.narrow && got >= 400 {
					if got != 401 && got != 403 {
						t.Errorf("%d is no status that it understands", got)
					}
					if a.header.Get("Location") == "" {
						got = 0
						for n := range want + 1 {
							if a.header.Get("X-Vilogate-Status") == strconv.Itoa(n) {
								got = n
							}
						}
					} else {
						got = http.StatusFound
					}
				}
				if got != want {
					t.Errorf("want %d: %v", want, a)
				}
			}
			a := ask("GET", "/x?a=b", navigation...)
			status(a, http.StatusFound)
			if want := "https://login.viloforge.test/login?redirect_uri=https%3A%2F%2Fapp.viloforge.test%2Fx%3Fa%3Db"; a.header.Get("Location") != want {
				t.Errorf("a person: %v", a)
			}
			status(ask("GET", "/x"), http.StatusUnauthorized)
			status(ask("GET", "/admin", cookieLine(s.alice)), http.StatusForbidden)
			status(ask("POST", "/x", cookieLine(s.alice), "Origin: https://evil.example"), http.StatusForbidden)
			status(ask("GET", "/public/../admin", cookieLine(s.carol)), http.StatusBadRequest)
			status(ask("GET", "/public/%2e%2e%2fadmin", cookieLine(s.carol)), http.StatusBadRequest)
			status(ask("TRACE", "/x", cookieLine(s.carol)), http.StatusMethodNotAllowed)
			a = ask("GET", "/admin", cookieLine(s.carol)+"; theirs=1", "Authorization: Basic b3RoZXI=")
			status(a, http.StatusOK)
			for name, want := range map[string]string{
				"X-User": "carol", "X-User-Roles": "admin,member", "X-User-Email": "carol@viloforge.test", "Cookie": "theirs=1", "Authorization": "Basic b3RoZXI=",
				"Cache-Control": "no-store", "Content-Length": "0",
			} {
				if a.header.Get(name) != want {
					t.Errorf("leave with %s %q, want %q", name, a.header.Get(name), want)
				}
			}
			if len(a.header.Values("X-Request-Id")) != 1 || a.header.Get("X-User-Assertion") == "" {
				t.Errorf("leave: %v", a)
			}
			a = ask("GET", "/public/x", "Cookie: "+ssoCookie+"=nonsense")
			status(a, http.StatusOK)
			for _, name := range []string{"X-User", "X-User-Id", "X-User-Assertion"} {
				if a.header.Get(name) != "" {
					t.Errorf("anonymous leave with %s: %v", name, a)
				}
			}
			if d.name == "envoy" != (a.header["Cookie"] != nil) || a.header.Get("Cookie") != "" {
				t.Errorf("the sign-in cookie: %v", a)
			}
			status(ask("GET", "/.vilogate/me", cookieLine(s.carol)), http.StatusNotFound)
			status(ask("POST", "/.vilogate/logout", cookieLine(s.carol), "Origin: https://"+appHost), http.StatusNotFound)
			status(ask("GET", "/public/x", "X-User: admin"), http.StatusBadRequest)
			status(ask("GET", "/public/x", "x_user_id: admin"), http.StatusBadRequest)
			status(ask("GET", "/public/x", "X-HTTP-Method-Override: DELETE"), http.StatusBadRequest)
			status(ask("GET", "/public/x", "X-Rewrite-URL: /admin"), http.StatusBadRequest)
			status(ask("GET", "/public/x", "Upgrade: h2c"), http.StatusForbidden)
			if a := ask("GET", "/x", cookieLine(s.alice), "X-User: admin"); a.status != http.StatusOK || strings.Join(a.header.Values("X-User"), ",") != "alice" {
				t.Errorf("what is overwritten: %v", a)
			}
		})
	}
	if all := s.backend.all(); len(all) > 0 {
		t.Errorf("a backend was asked: %q", all)
	}
	for _, how := range []string{"x-forwarded", "x-original", "envoy-http"} {
		eventually(t, "records say who asked, and how", func() bool {
			for line := range strings.SplitSeq(s.output.String(), "\n") {
				if strings.Contains(line, `"forward_auth":"`+how+`"`) && strings.Contains(line, `"client":"192.0.2.9","protocol":"HTTP/1.1","method":"GET","host":"app.viloforge.test","path":"/admin"`) &&
					strings.Contains(line, `"decision":"allow"`) {
					return true
				}
			}
			return false
		})
	}
}

// TestForwardAuthSaysOneThing: what is said in two ways, or not at all, is refused, and the refusal names the headers. Nothing that a
// client adds to what its proxy says changes what is decided on.
func TestForwardAuthSaysOneThing(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, forwardAuth)
	// A client's header beside those of its proxy: /admin is asked for by alice, who may see /public/x.
	for _, added := range []string{
		"X-Forwarded-Uri: /public/x", "X-Original-URI: /public/x", "X-Original-URL: https://app.viloforge.test/public/x", "X-Original-URL: /public/x",
		"X-Forwarded-Method: HEAD", "X-Original-Method: HEAD", "X-Forwarded-Host: login.viloforge.test", "X-Original-Host: login.viloforge.test",
		"X-Forwarded-Proto: http", "X-Original-URL: http://app.viloforge.test/admin", "X-Original-URL: https://evil.example/admin",
		"X_Forwarded_Uri: /public/x", "X_Original_URI: /public/x", "X-Original-URL: https://app.viloforge.test@evil.example/admin", "X-Forwarded-Uri: //app.viloforge.test/public/x",
	} {
		for _, d := range dialects {
			r := d.ask("GET", "/admin")
			r.header = append(r.header, added, cookieLine(s.carol))
			a := asking(t, s.site, r)
			name, _, _ := strings.Cut(added, ":")
			said := strings.ToLower(a.body + a.header.Get("X-Vilogate-Problem"))
			named := strings.Contains(said, strings.ToLower(strings.ReplaceAll(name, "_", "-"))) || r.method == http.MethodHead || strings.Contains(said, "host")
			if a.status < 400 || !named && !strings.Contains(said, "https") {
				t.Errorf("%s with %q: %v", d.name, added, a)
			}
		}
	}
	good := []string{"X-Forwarded-Method: GET", "X-Forwarded-Uri: /x", "X-Forwarded-Proto: https", "X-Forwarded-Host: " + appHost, "X-Forwarded-For: 192.0.2.9"}
	for i, line := range good {
		header := append([]string{cookieLine(s.alice)}, good[:i]...)
		a := asking(t, s.site, request{header: append(header, good[i+1:]...)})
		name, _, _ := strings.Cut(line, ":")
		// Without X-Forwarded-Host the Host counts, which is none that is served.
		if name == "X-Forwarded-Host" && a.status != http.StatusNotFound && a.status != http.StatusBadRequest || name != "X-Forwarded-Host" && (a.status != http.StatusBadRequest || !strings.Contains(a.body, name)) {
			t.Errorf("without %s: %v", name, a)
		}
		twice := append(append([]string{line}, good...), cookieLine(s.alice))
		if a := asking(t, s.site, request{header: twice}); name != "X-Forwarded-For" && (a.status != http.StatusBadRequest || !strings.Contains(a.body, name)) {
			t.Errorf("%s twice: %v", name, a)
		}
		empty := append([]string{cookieLine(s.alice), name + ":"}, append(append([]string{}, good[:i]...), good[i+1:]...)...)
		if a := asking(t, s.site, request{header: empty}); a.status < 400 {
			t.Errorf("%s empty: %v", name, a)
		}
	}
	if a := asking(t, s.site, request{header: append([]string{"Connection: X-Forwarded-Uri, X-Forwarded-Host", cookieLine(s.alice)}, good...)}); a.status != http.StatusOK {
		t.Errorf("with Connection: %v", a) // what a client has in Connection is not ours to follow
	}
	for _, target := range []string{"/", "/.vilogate/authx", "/.vilogate/me", "/.vilogate", "//.vilogate/auth", "/x"} {
		if a := asking(t, s.site, request{target: target, header: append([]string{cookieLine(s.alice)}, good...)}); a.status != http.StatusBadRequest {
			t.Errorf("%s: %v", target, a)
		}
	}
}

// TestForwardAuthForNobodyElse: who asks from elsewhere is refused before anything of it is believed; that is recorded and counted.
func TestForwardAuthForNobodyElse(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, "trusted_proxies: [127.0.0.1]\nforward_auth: { listen: \"127.0.0.1:0\", trusted_proxies: [192.0.2.0/24] }\n")
	for _, d := range dialects {
		r := d.ask("GET", "/public/x")
		r.header = append(r.header, cookieLine(s.alice), "X-Forwarded-For: 192.0.2.1", "Accept: text/html")
		a := asking(t, s.site, r)
		if a.status != http.StatusForbidden || r.method != http.MethodHead && a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("X-User") != "" {
			t.Errorf("%s: %v", d.name, a)
		}
	}
	eventually(t, "it is recorded", func() bool {
		return strings.Contains(s.output.String(), `"reason":"forward auth: the address is not in forward_auth.trusted_proxies"`)
	})
	metrics := s.client().get("http://" + s.at.Admin + "/metrics").body
	if want := `vilogate_forward_auth_requests_total{decision="forward-auth",dialect="unknown"} ` + strconv.Itoa(len(dialects)); !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %s", want)
	}
}
