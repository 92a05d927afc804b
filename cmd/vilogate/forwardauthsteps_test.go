package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// askTraefik asks as Traefik does.
func askTraefik(tb testing.TB, s *site, method, host, target string, header ...string) answer {
	tb.Helper()
	return asking(tb, s, request{header: append([]string{
		"X-Forwarded-For: 192.0.2.9", "X-Forwarded-Host: " + host, "X-Forwarded-Method: " + method, "X-Forwarded-Proto: https", "X-Forwarded-Uri: " + target,
	}, header...)})
}

// TestForwardAuthTakesEveryStep: rates, preflights, client certificates, final dots, forms, audit, metrics and the fields of a route
// are those of any request; what cannot be done by way of another proxy is refused.
func TestForwardAuthTakesEveryStep(t *testing.T) {
	t.Parallel()
	ca, _ := clientAuthority(t, "partners")
	backend := record(t)
	policy := func(host, more, routes string) string {
		return fmt.Sprintf("host: %s.viloforge.test\nupstream: app\n%sroutes:\n%s", host, more, routes)
	}
	s := serve(t, map[string]string{
		"vilogate.yaml":      serveConfig + ownIdP + forwardAuth + fmt.Sprintf("audit: { file: audit.log, fsync: always }\nupstreams: { app: { url: %q }, nginx: { url: %q, identity_headers: x-forwarded-user } }\n", backend.url(), backend.url()),
		"policies/ca/ca.pem": ca,
		"policies/app.yaml": policy("app", "cors: { origins: [\"https://web.viloforge.test\"], credentials: true }\n", `
  - { path: /rated, allow: public, rate: 2/h per ip }
  - { path: /set, allow: public, headers: { request: { set: { X-Tier: gold }, remove: [X-Debug] } } }
  - { path: /ws, allow: public, websocket: true }
  - { path: /small, methods: [GET, PUT], allow: authenticated, max_body: 10 }
  - { path: "/*rest", allow: authenticated }
`),
		"policies/mtls.yaml":  policy("mtls", "tls: { client_ca: ca/ca.pem }\n", "  - { path: \"/*rest\", allow: public }\n"),
		"policies/other.yaml": strings.Replace(policy("other", "", "  - { path: \"/*rest\", allow: authenticated }\n"), "upstream: app", "upstream: nginx", 1),
	})
	s.addUser("alice", "member")
	alice := s.client().login("alice").sso()
	ask := func(method, target string, header ...string) answer {
		t.Helper()
		return askTraefik(t, s, method, appHost, target, header...)
	}
	for i, want := range []int{200, 200, 429} {
		if a := ask("GET", "/rated"); a.status != want || a.header.Get("RateLimit") == "" || want == 429 && a.header.Get("Retry-After") == "" {
			t.Errorf("request %d of a rate: %v", i, a)
		}
	}
	if a := s.http1(t, request{host: appHost, target: "/rated"}); a.status != http.StatusOK { // of another address
		t.Errorf("of another address: %v", a)
	}
	// A token as a subprotocol would arrive at the backend, for this proxy forwards what it is not told of.
	offers := func(name string) []string {
		return []string{"Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: chat, bearer." + name}
	}
	if a := ask("GET", "/ws", offers(alice)...); a.status != http.StatusBadRequest {
		t.Errorf("a token as a subprotocol: %v", a)
	}
	if a := ask("GET", "/ws", offers("opaque")...); a.status != http.StatusOK {
		t.Errorf("a subprotocol of the backend's own: %v", a)
	}
	preflight := []string{"Origin: https://web.viloforge.test", "Access-Control-Request-Method: PUT"}
	if a := ask("OPTIONS", "/x", preflight...); a.status != http.StatusForbidden || a.header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("a preflight, of which a success would be leave: %v", a)
	}
	if a := asking(t, s, request{method: "OPTIONS", host: appHost, target: "/.vilogate/auth/x", header: append([]string{
		"X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.9",
	}, preflight...)}); a.status != http.StatusNoContent || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PUT") {
		t.Errorf("a preflight by way of Envoy, which passes it on: %v", a)
	}
	if a := askTraefik(t, s, "GET", "mtls.viloforge.test", "/x"); a.status != http.StatusForbidden {
		t.Errorf("a host that asks for client certificates: %v", a)
	}
	eventually(t, "the log says why", func() bool {
		return strings.Contains(s.output.String(), "forward auth: the host asks for a client certificate")
	})
	if a := askTraefik(t, s, "GET", appHost+".", "/x?y", navigation...); a.status != http.StatusPermanentRedirect || a.header.Get("Location") != "https://"+appHost+"/x?y" {
		t.Errorf("a final dot: %v", a)
	}
	if a := askTraefik(t, s, "GET", "nobody.viloforge.test", "/x"); a.status != http.StatusNotFound {
		t.Errorf("a host without policies: %v", a)
	}
	a := ask("POST", "/x", append([]string{"Content-Type: application/x-www-form-urlencoded", "Origin: https://" + appHost, cookieLine(alice + "x")}, navigation...)...)
	if a.status != http.StatusUnauthorized || !strings.Contains(a.body, "was not passed on") || strings.Contains(a.body, "is kept") {
		t.Errorf("a form of somebody who is signed out: %v", a)
	}
	if a := ask("GET", "/set", "X-Debug: 1"); a.status != http.StatusOK || a.header.Get("X-Tier") != "gold" {
		t.Errorf("the fields of a route: %v", a)
	}
	for target, want := range map[string]int{"/ws": 200, "/set": 403} {
		if a := ask("GET", target, "Upgrade: websocket"); a.status != want {
			t.Errorf("a WebSocket for %s: %v", target, a)
		}
	}
	a = askTraefik(t, s, "GET", "other.viloforge.test", "/x", cookieLine(alice))
	if a.status != http.StatusOK || a.header.Get("X-Forwarded-User") != "alice" || a.header.Get("X-User") != "" {
		t.Errorf("other names of headers: %v", a)
	}
	if a := askTraefik(t, s, "GET", "other.viloforge.test", "/x", cookieLine(alice), "X-User: admin"); a.status != http.StatusBadRequest {
		t.Errorf("a header that is not overwritten: %v", a)
	}
	if all := backend.all(); len(all) != 1 {
		t.Errorf("the backend received %q", all)
	}
	recorded := func(parts ...string) bool {
		log, err := os.ReadFile(filepath.Join(s.dir, "audit.log"))
		for line := range strings.SplitSeq(string(log), "\n") {
			if err == nil && !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return true
			}
		}
		return false
	}
	if !recorded(`"path":"/set"`, `"decision":"allow"`, `"forward_auth":"x-forwarded"`) {
		t.Error("the record of /set is missing")
	}
	eventually(t, "the limit is recorded", func() bool {
		return recorded(`"path":"/rated"`, `"decision":"limit"`, `"forward_auth":"x-forwarded"`)
	})
	// What is refused for the proxy's sake is no decision of the policies, which would have been another.
	replayed := s.must("", "policy", "replay", "-c", filepath.Join(s.dir, "vilogate.yaml"), "--log", filepath.Join(s.dir, "audit.log"), "--json", filepath.Join(s.dir, "policies"))
	if !strings.Contains(replayed, `"different": 0`) {
		t.Errorf("replayed: %s", replayed)
	}
	if a := ask("GET", "/x", "Authorization: Negotiate YII=", cookieLine(alice)); a.status != http.StatusForbidden {
		t.Errorf("what signs a connection in: %v", a)
	}
	metrics := s.client().get("http://" + s.at.Admin + "/metrics").body
	for _, want := range []string{
		`vilogate_forward_auth_requests_total{decision="limit",dialect="x-forwarded"} 1`, `vilogate_forward_auth_requests_total{decision="preflight",dialect="envoy-http"} 1`,
		`vilogate_http_requests_total{decision="limit",host="app.viloforge.test",route="/rated",status="4xx"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// TestForwardAuthRenews: who has an expired token goes on, and the answer has the successor for the proxy to pass on. Where it does not,
// the session goes on by the old token, and nobody takes it for a stolen one: a cookie counts as delivered when it comes back.
func TestForwardAuthRenews(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + forwardAuth + strings.Replace(ownIdP, "ttl: 1h", "ttl: 3s, renewal_grace: 1s", 1) +
			"audit: { file: audit.log, fsync: always }\nupstreams: { app: { url: \"http://127.0.0.1:1\" } }\n",
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	client := s.client().login("alice")
	old := client.sso()
	expire(t, old)
	ask := func(sso string) answer {
		return again(t, func() answer { return askTraefik(t, s, "GET", appHost, "/x", cookieLine(sso)) })
	}
	successor := func() (next string) {
		eventually(t, "a successor is given", func() bool {
			a := ask(old)
			if a.status != http.StatusOK || a.header.Get("X-User") != "alice" || a.header.Get("Cookie") != "" {
				t.Fatalf("with an expired token: %v", a)
			}
			next = setSSO(a)
			return next != ""
		})
		return next
	}
	successor()
	given := time.Now()
	eventually(t, "the old token is good long after its successor was given", func() bool {
		a := ask(old)
		if a.status != http.StatusOK || a.header.Get("X-User") != "alice" {
			t.Fatalf("%s after its successor was given: %v", time.Since(given), a)
		}
		return time.Since(given) > 8*time.Second // of a life of 3 s, a grace of 1 s, and 5 s for which an answer is shared
	})
	if a := ask(successor()); a.status != http.StatusOK {
		t.Errorf("with the successor: %v", a)
	}
	log, err := os.ReadFile(filepath.Join(s.dir, "audit.log"))
	if err != nil || strings.Contains(string(log), "session_replay") {
		t.Errorf("the session is taken for a stolen one: %v\n%s", err, log)
	}
	if a := client.logout("app"); a.status != http.StatusNoContent && a.status != http.StatusUnauthorized {
		t.Errorf("signing out: %v", a)
	}
}

// TestForwardAuthKeepsConnections: a connection serves many requests, one after another or at once, and ends with the process.
func TestForwardAuthKeepsConnections(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, forwardAuth)
	asked := func(i int) string {
		return "GET /.vilogate/auth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Host: " + appHost + "\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /public/" +
			strconv.Itoa(i) + "\r\n\r\n"
	}
	a := front{address: s.at.ForwardAuth}.send(t, request{target: "/.vilogate/auth HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.9\r\nX-Forwarded-Host: " + appHost +
		"\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Uri: /public/0\r\n\r\n" + asked(1) + "GET /.vilogate/auth"})
	if a.status != http.StatusOK {
		t.Errorf("the first of several: %v", a)
	}
	long := "X-Long: " + strings.Repeat("x", 80<<10)
	if a := askTraefik(t, s.site, "GET", appHost, "/public/x", long); a.status != http.StatusRequestHeaderFieldsTooLarge && a.status != 0 {
		t.Errorf("a header beyond limits.header_bytes: %v", a)
	}
	if err := s.terminate(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
}

// TestForwardAuthHasTheLimitsOfConnections: limits.tcp_keepalive is of connections of proxies that ask, too.
func TestForwardAuthHasTheLimitsOfConnections(t *testing.T) {
	t.Parallel()
	s := newAttackSite(t, forwardAuth, "limits: { tcp_keepalive: 40s }\n")
	conn, err := net.DialTimeout("tcp", s.at.ForwardAuth, waitTimeout)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(t, conn)
	ends := func(a net.Addr) string { return fmt.Sprintf("0100007F:%04X", a.(*net.TCPAddr).Port) }
	eventually(t, "probes begin after 40 s", func() bool {
		for line := range strings.Lines(string(readFile(t, "/proc/net/tcp"))) {
			if f := strings.Fields(line); f[1] == ends(conn.RemoteAddr()) && f[2] == ends(conn.LocalAddr()) {
				centiseconds, err := strconv.ParseInt(strings.TrimPrefix(f[5], "02:"), 16, 64) // 02 is the timer of probes
				return err == nil && centiseconds > 2000
			}
		}
		return false
	})
}
