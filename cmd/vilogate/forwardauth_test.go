package main_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// forwardAuth is what a site has where proxies ask.
const forwardAuth = `
trusted_proxies: [127.0.0.1]
forward_auth: { listen: "127.0.0.1:0", trusted_proxies: [127.0.0.1] }
`

// front is a proxy of another make, which holds the requests for app.viloforge.test and asks the site about them.
type front struct {
	address string
	tls     *tls.Config // nil where it speaks plain HTTP
}

// send sends a request as it is written.
func (f front) send(tb testing.TB, r request) answer {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", f.address, waitTimeout)
	if err != nil {
		tb.Fatal(err)
	}
	if f.tls != nil {
		conn = tls.Client(conn, f.tls)
	}
	defer closeQuietly(tb, conn)
	if err := conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		tb.Fatal(err)
	}
	if r.host == "" {
		r.host = appHost
	}
	r.header = append(slices.Clone(r.header), "Connection: close")
	if _, err := io.WriteString(conn, r.text()); err != nil {
		tb.Logf("writing: %v", err)
	}
	return readAnswer(tb, bufio.NewReader(conn), r.filled().method)
}

// recipe is a file of deploy/forward-auth with the addresses and paths of a test in place of its own.
func recipe(tb testing.TB, name string, replace ...string) string {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "forward-auth", name))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			tb.Fatalf("%s does not hold %q", name, replace[i])
		}
	}
	return strings.NewReplacer(replace...).Replace(string(text))
}

// frontNginx is nginx by the recipe.
func frontNginx(t *testing.T, s attackSite) front {
	t.Helper()
	dir, listen, a := t.TempDir(), freeAddress(t), newAuthority(t)
	certificate, key := a.certify(appHost, time.Now().Add(time.Hour))
	files := map[string]string{
		"tls.crt": certificate, "tls.key": key,
		"website.conf": recipe(t, "nginx.conf",
			"listen 443 ssl", "listen "+listen+" ssl", "website.viloforge.com;", appHost+";", "/etc/nginx/gateway-ca.pem", s.at.CA,
			"/etc/nginx/", dir+"/", "127.0.0.1:4181", s.at.ForwardAuth, "127.0.0.1:8443", s.at.HTTPS, "http://127.0.0.1:8001", s.backend.url()),
		"nginx.conf": `
daemon off; master_process off; pid DIR/pid; error_log stderr;
events {}
http {
  access_log off; client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  include DIR/website.conf;
}
`,
	}
	files["nginx.conf"] = strings.ReplaceAll(files["nginx.conf"], "DIR", dir)
	writeFiles(t, dir, files)
	p := launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "nginx", "nginx-light"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	return ready(t, p, front{listen, trust(a)})
}

// frontHAProxy is HAProxy by the recipe.
func frontHAProxy(t *testing.T, s attackSite) front {
	t.Helper()
	dir, listen, a := t.TempDir(), freeAddress(t), newAuthority(t)
	certificate, key := a.certify(appHost, time.Now().Add(time.Hour))
	writeFiles(t, dir, map[string]string{
		"website.pem":  certificate + key,
		"vilogate.lua": recipe(t, "vilogate.lua", "127.0.0.1:4181", s.at.ForwardAuth),
		"haproxy.cfg": recipe(t, "haproxy.cfg", "bind :443", "bind "+listen, "str website.viloforge.com", "str "+appHost, "/etc/haproxy/gateway-ca.pem", s.at.CA, "/etc/haproxy/", dir+"/",
			"127.0.0.1:8443", s.at.HTTPS, "127.0.0.1:8001", strings.TrimPrefix(s.backend.url(), "http://")),
	})
	p := launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "haproxy", "haproxy"), "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
	return ready(t, p, front{listen, trust(a)})
}

// trust is what a client knows a front by.
func trust(a *authority) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.pem))
	return &tls.Config{ServerName: appHost, RootCAs: roots}
}

// ready waits until a front takes connections.
func ready(t *testing.T, p *process, f front) front {
	t.Helper()
	eventually(t, "the proxy listens", func() bool {
		if !p.running() {
			t.Fatal("the proxy has ended")
		}
		conn, err := net.Dial("tcp", f.address)
		if err != nil {
			return false
		}
		closeQuietly(t, conn)
		return true
	})
	return f
}

// fronts are the proxies that are tried by their recipes.
var fronts = map[string]func(*testing.T, attackSite) front{"nginx": frontNginx, "haproxy": frontHAProxy}

// TestForwardAuthRecipes: behind a proxy of another make, by its recipe, everybody is served and refused as by the gateway itself, and
// the backend is told by the gateway alone who asks.
func TestForwardAuthRecipes(t *testing.T) {
	t.Parallel()
	for name, start := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newAttackSite(t, forwardAuth)
			f := start(t, s)
			t.Run("who asks", func(t *testing.T) { frontServes(t, s, f) })
			t.Run("forged", func(t *testing.T) { frontForged(t, s, f) })
			t.Run("paths", func(t *testing.T) { frontPaths(t, s, f) })
			t.Run("hosts", func(t *testing.T) { frontHosts(t, s, f) })
			t.Run("away", func(t *testing.T) { frontAway(t, s, f) })
		})
	}
}

// frontServes tries what honest clients send.
func frontServes(t *testing.T, s attackSite, f front) {
	page := f.send(t, request{target: "/x?a=b", header: navigation})
	if want := "https://login.viloforge.test/login?redirect_uri=https%3A%2F%2Fapp.viloforge.test%2Fx%3Fa%3Db"; page.status != http.StatusFound || page.header.Get("Location") != want {
		t.Errorf("a person: %v", page)
	}
	program := f.send(t, request{target: "/x"})
	if program.status != http.StatusUnauthorized || program.header.Get("WWW-Authenticate") != `Bearer realm="https://app.viloforge.test"` || program.problem(t).LoginURL == "" {
		t.Errorf("a program: %v", program)
	}
	if a := f.send(t, request{target: "/admin", header: []string{cookieLine(s.alice)}}); a.status != http.StatusForbidden || a.header.Get("X-Vilogate-Status") != "" {
		t.Errorf("who may not: %v", a)
	}
	for _, r := range []request{
		{target: "/x"},
		{target: "/x/y%20z?q=%2F&r=1,2"},
		{method: http.MethodPut, target: "/x", body: "a body"},
		{method: http.MethodDelete, target: "/x"},
		{method: http.MethodPost, target: "/x", body: strings.Repeat("long ", 20000)},
	} {
		p := s.backend.probe(t)
		r.header = []string{cookieLine(s.alice) + "; theirs=1; " + ssoCookie + "x=2", p.header(), "Origin: https://" + appHost}
		a := f.send(t, r)
		got := p.one()
		p.backend.forget(p)
		r = r.filled()
		if a.status != http.StatusOK || !strings.HasPrefix(got.head, r.method+" "+r.target+" HTTP/1.1\r\n") || got.body != r.body {
			t.Errorf("%s %s: %v; the backend received %q and %d bytes", r.method, r.target, a, got.head, len(got.body))
		}
		for name, want := range map[string]string{
			"X-User": "alice", "X-User-Email": "alice@viloforge.test", "X-User-Roles": "member", "Host": appHost, "X-Forwarded-Proto": "https",
			"Cookie": "theirs=1; " + ssoCookie + "x=2", "X-Forwarded-For": "127.0.0.1",
		} {
			if got.value(name) != want {
				t.Errorf("%s %s: %s is %q", r.method, r.target, name, got.value(name))
			}
		}
		if len(got.values("X-User-Assertion")) != 1 || len(got.values("X-Request-Id")) != 1 {
			t.Errorf("no assertion, or no request id: %q", got.head)
		}
	}
	if a := f.send(t, request{method: http.MethodPost, target: "/x", body: "a=b", header: []string{
		cookieLine(s.alice), "Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Content-Type: application/x-www-form-urlencoded",
	}}); a.status != http.StatusForbidden || len(s.backend.with("evil.example")) > 0 {
		t.Errorf("from another site: %v", a)
	}
	if a := f.send(t, request{target: "/.vilogate/me", header: []string{cookieLine(s.alice)}}); a.status != http.StatusOK || !strings.Contains(a.body, `"user":"alice"`) {
		t.Errorf("/.vilogate/me: %v", a)
	}
	if a := f.send(t, request{target: "/public/x"}); a.status != http.StatusOK {
		t.Errorf("a public page: %v", a)
	}
}

// frontForged tries what strangers send: it decides nothing, and arrives nowhere.
func frontForged(t *testing.T, s attackSite, f front) {
	for name, header := range map[string][]string{
		"identity":          {"X-User: carol", "X-User-Roles: admin", "X-User-Id: 1", "X-User-Assertion: x", "x-uSER-email: a@b"},
		"odd-identity":      {"X_User: carol", "X.User_Roles: admin"},
		"original":          {"X-Original-URI: /public/x", "X-Original-Method: GET"},
		"original-url":      {"X-Original-URL: https://app.viloforge.test/public/x", "X-Rewrite-URL: /public/x"},
		"forwarded":         {"X-Forwarded-Uri: /public/x", "X-Forwarded-Method: GET"},
		"forwarded-host":    {"X-Forwarded-Host: login.viloforge.test"},
		"forwarded-proto":   {"X-Forwarded-Proto: http"},
		"odd-forwarded":     {"X_Forwarded_Uri: /public/x", "X_Original_URI: /public/x"},
		"connection":        {"Connection: X-Forwarded-Uri, X-Original-URI, X-Forwarded-Host, X-Forwarded-Method, X-Original-Method, X-User, Cookie"},
		"method":            {"X-HTTP-Method-Override: DELETE"},
		"client":            {"X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Forwarded: for=192.0.2.1"},
		"answer":            {"X-Vilogate-Status: 200", "X-Vilogate-Allowed: 1"},
		"upgrade":           {"Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"},
		"kube-probe":        {"User-Agent: kube-probe/1.30"},
		"duplicated-uri":    {"X-Original-URI: /public/x", "X-Original-URI: /public/x"},
		"duplicated-cookie": {"Cookie: a=b", "Cookie: c=d"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, c := range []struct {
				target string
				cookie string
				user   string
				may    bool
			}{{"/admin", s.alice, "alice", false}, {"/x", "", "", false}, {"/public/x", "", "", true}, {"/x", s.nora, "nora", true}} {
				p := s.backend.probe(t)
				lines := append([]string{p.header()}, header...)
				if c.cookie != "" {
					lines = append(lines, cookieLine(c.cookie))
				}
				a := f.send(t, request{target: c.target, header: lines})
				seen := s.backend.with(p.mark + ".")
				p.backend.forget(p)
				if !c.may && (len(seen) > 0 || a.status == http.StatusOK) {
					t.Errorf("%s of %q was let in: %v", c.target, c.user, a)
				}
				for _, got := range seen {
					if c.user != "" && (len(got.values("X-User")) != 1 || len(got.values("X-User-Id")) != 1 || len(got.values("X-User-Assertion")) != 1) {
						t.Errorf("%s of %q: the backend is not told who asks: %q", c.target, c.user, got.head)
					}
					if address := got.value("X-Real-IP"); address != "" && address != "127.0.0.1" {
						t.Errorf("%s of %q: X-Real-IP is %q", c.target, c.user, address)
					}
					for _, name := range []string{"X-User", "X-User-Roles", "X-User-Id", "X-User-Email", "X-User-Assertion"} {
						lines := got.folding(name)
						if len(lines) > 1 || len(lines) == 1 && (c.user == "" || strings.Contains(lines[0], "carol") || strings.Contains(lines[0], "admin")) {
							t.Errorf("%s of %q: the backend received %q", c.target, c.user, lines)
						}
					}
					for _, name := range []string{"X-HTTP-Method-Override", "X-Original-URI", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Uri", "HTTP2-Settings"} {
						if lines := got.values(name); name != "HTTP2-Settings" && len(lines) > 0 {
							t.Errorf("%s of %q: the backend received %s: %q", c.target, c.user, name, lines)
						}
					}
					if got.value("X-Forwarded-For") != "127.0.0.1" || len(got.values("Upgrade")) > 0 || strings.Contains(got.head, ssoCookie+"=") {
						t.Errorf("%s of %q: the backend received %q", c.target, c.user, got.head)
					}
				}
			}
		})
	}
}

// frontPaths: what the backend is asked for is what was decided on, and what the gateway itself refuses, or has another answer to,
// does not arrive there.
func frontPaths(t *testing.T, s attackSite, f front) {
	for i, target := range []string{
		"/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public/%2e%2e%2fadmin", "/public//../admin", "//admin", "/./admin",
		"/admin/.", "/admin;x=1", "/admin%3bx", "/public/..;/admin", "/public/%252e%252e/admin", "/ADMIN", "/%61dmin", "/admin%00", "/admin%0a",
		"/admin?x=/public/", "/public/x?../admin", "/public\\..\\admin", "/public/%5c..%5cadmin", "/admin#/public/x", "/public/x#/../admin",
		"/public/x%23/../../admin", "/admin%20", "/.vilogate/../admin", "/.vilogate/%2e%2e/admin", "/public/../.vilogate/me", "/vilogate-auth", "//public/x", "/public/x", "/x//y",
		"/.well-known/vilogate/../../admin", "https://app.viloforge.test/admin", "/public/..%c0%afadmin", "/public/%u002e%u002e/admin",
	} {
		p := s.backend.probe(t)
		lines := []string{p.header(), "X-Case: " + target, cookieLine(s.alice)}
		a := f.send(t, request{target: target, header: lines})
		behind := s.backend.with(p.mark + ".")
		p.backend.forget(p)
		own := s.http1(t, request{host: appHost, target: target, header: lines})
		byGateway := s.backend.with(p.mark + ".")
		p.backend.forget(p)
		switch {
		case len(behind) > 1:
			t.Fatalf("%d %s: the backend received %d", i, target, len(behind))
		case len(behind) == 1 && len(byGateway) == 0:
			t.Errorf("%s: the proxy forwarded %q, and the gateway answers %v", target, behind[0].target(), own)
		case len(behind) == 1 && behind[0].target() != byGateway[0].target():
			// The gateway writes the canonical spelling. What the proxy has forwarded has to be decided on alike.
			again := s.http1(t, request{host: appHost, target: behind[0].target(), header: lines[1:]})
			if again.status != http.StatusOK {
				t.Errorf("%s: the proxy forwarded %q, which the gateway refuses: %v", target, behind[0].target(), again)
			}
		case len(behind) == 0 && a.status == http.StatusOK && own.status != http.StatusOK:
			t.Errorf("%s: %v, and of the gateway %v", target, a, own)
		}
		if len(behind) == 1 && strings.Contains(strings.ToLower(behind[0].target()), "admin") && own.status != http.StatusOK {
			t.Errorf("%s arrived as %s", target, behind[0].target())
		}
	}
}

// frontHosts: the host that the backend is asked by is the one that was decided on.
func frontHosts(t *testing.T, s attackSite, f front) {
	for _, r := range []request{
		{host: "APP.viloforge.TEST"},
		{host: appHost + ":443"},
		{host: appHost + "."},
		{host: "evil.example"},
		{host: "login.viloforge.test"},
		{host: "app.viloforge.test@evil.example"},
		{host: "evil.example, app.viloforge.test"},
		{host: "-"},
		{host: appHost, header: []string{"Host: evil.example"}},
		{host: "evil.example", target: "https://app.viloforge.test/x"},
		{host: appHost, target: "https://evil.example/x"},
		{host: appHost, target: "http://login.viloforge.test/x"},
	} {
		p := s.backend.probe(t)
		r.header = append(r.header, p.header(), cookieLine(s.alice))
		if r.target == "" {
			r.target = "/x"
		}
		a := f.send(t, r)
		for _, got := range s.backend.with(p.mark + ".") {
			if host := strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(got.value("Host"), ":443"), ".")); host != appHost || !strings.HasPrefix(got.target(), "/") {
				t.Errorf("%q of %s: the backend received %q", r.host, r.target, got.head)
			}
		}
		p.backend.forget(p)
		if a.status == http.StatusOK && strings.HasPrefix(r.host, "login.") {
			t.Errorf("%q: %v", r.host, a)
		}
	}
}

// frontAway: where nobody answers the proxy, nothing is forwarded, of public pages neither.
func frontAway(t *testing.T, s attackSite, f front) {
	s.kill()
	for _, target := range []string{"/x", "/public/x"} {
		p := s.backend.probe(t)
		if a := f.send(t, request{target: target, header: []string{p.header(), cookieLine(s.alice)}}); a.status < 500 {
			t.Errorf("%s: %v", target, a)
		}
		p.none()
	}
}

// TestForwardAuthRecipesNameEveryHeader: each recipe overwrites or removes what backends are told by the gateway alone, and takes what
// they are not to be sent.
func TestForwardAuthRecipesNameEveryHeader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nginx.conf", "vilogate.lua", "traefik.yml", "Caddyfile", "README.md"} {
		text := strings.ToLower(recipe(t, name))
		for _, header := range []string{"X-User", "X-User-Id", "X-User-Email", "X-User-Name", "X-User-Roles", "X-User-Assertion", "Cookie", "Authorization"} {
			if header = strings.ToLower(header); strings.Count(text, header) <= strings.Count(text, header+"-") {
				t.Errorf("%s does not name %s", name, header)
			}
		}
	}
	// By Connection, Caddy has a client's choice of fields removed, behind what the gateway says.
	if text := recipe(t, "Caddyfile"); !strings.Contains(text, "request_header -Connection\n") {
		t.Error("Caddyfile leaves Connection as it came")
	}
	for _, name := range []string{"traefik.yml", "envoy.yaml"} {
		if err := yaml.Unmarshal([]byte(recipe(t, name)), new(map[string]any)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
