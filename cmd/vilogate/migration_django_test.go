package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The services of testdata/migration: a Django login page that sets the cookie jwt on the parent domain, and three that verify it
// with a shared secret. README.md says how they move behind the gateway.
var migratingServices = map[string]string{"login": "login", "website": "website", "billing": "billing-api", "inventory": "inventory-api"}

const migratingSecret = "the JWT_SECRET that four services share"

// migration is those services under gunicorn, and the gateway that they move behind.
type migration struct {
	*site
	t       *testing.T
	code    string              // the folder with the services
	kit     string              // the folder with vilogate_identity.py
	moved   map[string]bool     // by service
	running map[string]*process // by service
	at      map[string]string   // their addresses
	legacy  bool                // the login page is Django's
	ended   bool                // its tokens count no longer
}

// configuration is what README.md has, with the services that have not moved yet told of the token.
func (m *migration) configuration() string {
	var b strings.Builder
	fmt.Fprintf(&b, `
domain: viloforge.localhost
listen: { https: %q, http: "off", admin: %q }
state: state
certificates: { source: local }
policies: policies/
`, "127.0.0.1"+m.port, m.at["admin"])
	if !m.ended {
		fmt.Fprintf(&b, `
tokens:
  issuers:
    - name: legacy-django
      secret: %q
      algorithm: HS256
      cookie: jwt
      claims: { user: username, email: email }
`, migratingSecret)
	}
	if m.legacy {
		fmt.Fprintf(&b, "login: { url: %q }\n", m.url("login", "/"))
	} else {
		b.WriteString("login: { host: login.viloforge.localhost }\nidp: {}\n")
	}
	b.WriteString("upstreams:\n")
	if m.legacy {
		fmt.Fprintf(&b, "  login: { url: \"http://%s\" }\n", m.at["login"])
	}
	for _, service := range []string{"website", "billing", "inventory"} {
		token := ", forward_token: legacy-django"
		if m.moved[service] {
			token = ""
		}
		fmt.Fprintf(&b, "  %s: { url: \"http://%s\"%s }\n", service, m.at[service], token)
	}
	return b.String()
}

// policies are those of the first move, which stay.
func (m *migration) policies() map[string]string {
	api := func(host, upstream string) string {
		return fmt.Sprintf(`
host: %s.viloforge.localhost
upstream: %s
cors: { origins: ["https://website.viloforge.localhost%s"], credentials: true, headers: [Content-Type, X-CSRFToken] }
routes:
  - { path: "/*rest", allow: authenticated }
`, host, upstream, m.port)
	}
	return map[string]string{
		"policies/login.yaml": "host: login.viloforge.localhost\nupstream: login\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
		"policies/website.yaml": `
host: website.viloforge.localhost
upstream: website
routes:
  - { path: /about, allow: public }
  - { path: "/*rest", allow: authenticated }
`,
		"policies/billing.yaml":   api("billing-api", "billing"),
		"policies/inventory.yaml": api("inventory-api", "inventory"),
	}
}

// environment is what a service runs with.
func (m *migration) environment(service string) []string {
	environment := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + m.dir, "PYTHONDONTWRITEBYTECODE=1", "PYTHONUNBUFFERED=1", "PYTHONPATH=" + m.code + ":" + m.kit,
		"DJANGO_SETTINGS_MODULE=settings", "SERVICE=" + service, "DOMAIN=viloforge.localhost", "PORT=" + strings.TrimPrefix(m.port, ":"),
		"DATABASE=" + filepath.Join(m.dir, service+".sqlite3"),
	}
	if !m.moved[service] {
		return append(environment, "JWT_SECRET="+migratingSecret)
	}
	jwks := "http://" + m.at["admin"] + "/.well-known/vilogate/jwks.json" // on the gateway's own host
	if service == "inventory" {                                           // on another, which reaches what everybody does
		jwks = m.url("inventory-api", "/.well-known/vilogate/jwks.json")
		environment = append(environment, "SSL_CERT_FILE="+m.site.at.CA)
	}
	return append(environment, "MOVED=1", "JWKS="+jwks)
}

// manage runs a command of Django's with a service's settings.
func (m *migration) manage(service, stdin string, arguments ...string) {
	m.t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"-m", "django"}, arguments...)...)
	cmd.Env, cmd.Stdin = m.environment(service), strings.NewReader(stdin)
	if output, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("%s: django %v: %v\n%s", service, arguments, err, output)
	}
}

// run starts a service, in the place of the one that ran before.
func (m *migration) run(service string) {
	m.t.Helper()
	if before := m.running[service]; before != nil {
		before.kill()
	}
	m.running[service] = launch(m.t, m.code, m.environment(service), program(m.t, "gunicorn", "gunicorn"),
		"--bind", m.at[service], "--workers", "1", "--threads", "4", "--log-level", "warning", "wsgi")
	host := migratingServices[service] + ".viloforge.localhost"
	eventually(m.t, service+" answers", func() bool {
		r, err := http.NewRequest(http.MethodGet, "http://"+m.at[service]+"/", http.NoBody)
		if err != nil {
			m.t.Fatal(err)
		}
		r.Host = host
		got, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			return false
		}
		return got.Body.Close() == nil && got.StatusCode < 500
	})
}

// reconfigure writes the configuration that is right now and has the gateway take it.
func (m *migration) reconfigure() {
	m.t.Helper()
	writeFiles(m.t, m.dir, map[string]string{"vilogate.yaml": m.configuration()})
	m.must("", "reload", "--state", m.state)
}

func newMigration(t *testing.T) *migration {
	t.Helper()
	code, err := filepath.Abs("testdata/migration")
	if err != nil {
		t.Fatal(err)
	}
	kit, err := filepath.Abs("../../upstreams/django")
	if err != nil {
		t.Fatal(err)
	}
	m := &migration{t: t, code: code, kit: kit, moved: map[string]bool{}, running: map[string]*process{}, at: map[string]string{}, legacy: true}
	for _, name := range []string{"admin", "login", "website", "billing", "inventory"} {
		m.at[name] = freeAddress(t)
	}
	listen := freeAddress(t)
	m.site = prepare(t, nil)
	m.domain, m.port = "viloforge.localhost", listen[strings.LastIndex(listen, ":"):]
	files := m.policies()
	files["vilogate.yaml"] = m.configuration()
	writeFiles(t, m.dir, files)
	m.start()
	for service := range migratingServices {
		m.manage(service, "", "migrate", "--verbosity", "0")
	}
	m.manage("login", `
from django.contrib.auth.models import User
User.objects.create_user("jürgen", "juergen@viloforge.example", "jürgen-password")
`, "shell")
	for service := range migratingServices {
		m.run(service)
	}
	return m
}

// works is what a person does all the time, and has to see whatever has moved.
func (m *migration) works(b *tab, user, email string) {
	m.t.Helper()
	b.open(m.url("website", "/"))
	b.at(m.url("website", "/"))
	if got := b.evaluate(`document.querySelector("#user").textContent`); got != user {
		m.t.Errorf("the website is shown to %q, want %q", got, user)
	}
	script := func(host, path, options string) string {
		return b.evaluate(fmt.Sprintf(`fetch(%q, %s).then(async r => r.status + " " + await r.text(), e => e.name)`, m.url(host, path), options))
	}
	const include = `credentials: "include"`
	want := fmt.Sprintf(`200 {"user": %s, "email": %q, "method": "GET"}`, asciiJSON(user), email)
	if got := script("billing-api", "/invoices", "{ "+include+" }"); got != want {
		m.t.Errorf("the page's script gets invoices: %s, want %s", got, want)
	}
	post := `{ ` + include + `, method: "POST", headers: { "Content-Type": "application/json", "X-CSRFToken": document.querySelector("[name=csrfmiddlewaretoken]").value }, body: '{"a":1}' }`
	if got, want := script("inventory-api", "/items", post), fmt.Sprintf(`200 {"user":%q,"method":"POST","sent":{"a":1}}`, user); got != want {
		m.t.Errorf("the page's script changes items: %s, want %s", got, want)
	}
	if got := script("billing-api", "/invoices", post); !strings.HasPrefix(got, "200 ") || !strings.Contains(got, `"method": "POST"`) {
		m.t.Errorf("the page's script posts with a CSRF token of Django's: %s", got)
	}
	b.evaluate(`document.querySelector("#save").click()`)
	b.at(m.url("website", "/profile"))
	if got := b.evaluate("document.body.innerText"); got != "saved by "+user {
		m.t.Errorf("the website's own form: %s", got)
	}
	stranger := m.client()
	if got := stranger.get(m.url("website", "/about")); got.status != http.StatusOK || got.body != "about, for everybody" {
		m.t.Errorf("a public page, for a stranger: %v", got)
	}
	if got := stranger.get(m.url("billing-api", "/invoices")); got.status != http.StatusUnauthorized {
		m.t.Errorf("a stranger's call: %v", got)
	}
}

// asciiJSON is a text as Python's json writes it.
func asciiJSON(s string) string {
	var b strings.Builder
	for _, c := range s {
		if c < 0x80 {
			b.WriteRune(c)
		} else {
			fmt.Fprintf(&b, "\\u%04x", c)
		}
	}
	return `"` + b.String() + `"`
}

// TestMigration takes the three moves of README.md, one service at a time, with a person in a browser who goes on working.
func TestMigration(t *testing.T) {
	t.Parallel()
	m := newMigration(t)
	b := browse(t, m.site).tab()

	// 1. The gateway goes in front of everything.
	b.open(m.url("website", "/profile"))
	b.signIn("jürgen", "jürgen-password")
	b.at(m.url("website", "/profile"))
	m.works(b, "jürgen", "juergen@viloforge.example")

	// 2. The services move, one at a time.
	for _, service := range []string{"website", "billing", "inventory"} {
		m.moved[service] = true
		m.run(service)
		m.reconfigure()
		m.works(b, "jürgen", "juergen@viloforge.example")
	}
	b.open(m.url("billing-api", "/admin/"))
	if got := b.evaluate("document.body.innerText"); !strings.Contains(got, "not authorized to access this page") {
		t.Errorf("the admin site, for somebody without the role: %s", got)
	}

	// 3. The IdP goes last. Whoever is signed in stays so, until the old issuer goes.
	m.must("dora-password\n", "user", "add", "dora", "--email", "dora@viloforge.example", "--roles", "admin", "--password-stdin", "--state", m.state)
	m.legacy = false
	if err := os.Remove(filepath.Join(m.dir, "policies/login.yaml")); err != nil {
		t.Fatal(err)
	}
	m.reconfigure()
	m.works(b, "jürgen", "juergen@viloforge.example")
	m.ended = true
	m.reconfigure()
	b.open(m.url("website", "/"))
	b.signIn("dora", "dora-password")
	b.at(m.url("website", "/"))
	m.works(b, "dora", "dora@viloforge.example")
	b.open(m.url("billing-api", "/admin/"))
	if got := b.evaluate("document.body.innerText"); !strings.Contains(got, "Site administration") {
		t.Errorf("the admin site, for somebody with the role: %s", got)
	}
}
