package idp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/viloforge/vilogate/idp/attempts"
	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/password"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

const (
	domain    = "viloforge.test"
	loginHost = "login." + domain
	loginAt   = "https://" + loginHost
	ssoCookie = "__Secure-sso"
	secret    = "correct horse" // everybody's password
)

// cheap is a cost at which tests stay quick.
var cheap = password.Cost{Memory: 64, Time: 1, Threads: 1}

// list is a revocation list in memory that can be made to fail.
type list struct {
	mu       sync.Mutex
	broken   bool
	stale    bool
	sessions map[string]bool
	moments  map[string]time.Time
	entries  []revocation.Entry
	// publishing, where it is set, is called within Publish.
	publishing func()
}

func (l *list) Publish(_ context.Context, entries ...revocation.Entry) error {
	if l.publishing != nil {
		l.publishing()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return errors.New("the log is away")
	}
	for _, e := range entries {
		switch e.Kind {
		case revocation.Session:
			l.sessions[e.ID] = true
		case revocation.Subject:
			if e.Moment.After(l.moments[e.ID]) {
				l.moments[e.ID] = e.Moment
			}
		}
	}
	l.entries = append(l.entries, entries...)
	return nil
}

func (l *list) SessionRevoked(issuer, sid string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return issuer == token.OwnIssuer && l.sessions[sid]
}

func (l *list) SubjectMoment(issuer, sub string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moment, ok := l.moments[sub]
	return moment, ok && issuer == token.OwnIssuer
}

func (l *list) Stale(time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale
}

// revoked reports whether a gateway with this list refuses the token.
func (l *list) revoked(c *token.Claims) bool {
	moment, ok := l.SubjectMoment(c.IssuerName(), c.Subject())
	return l.SessionRevoked(c.IssuerName(), c.Session()) || ok && !c.IssuedAt().After(moment)
}

func (l *list) set(f func(*list)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// clock is moved by tests. It runs besides, as a clock does.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// world is an identity provider behind TLS, with a real database and alice in it.
type world struct {
	tb     testing.TB
	clock  *clock
	list   *list
	db     *database.DB
	idp    *IDP
	admin  *Admin
	server *httptest.Server
	alice  User
	log    *lines
}

// lines is a log that can be read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func options(db *database.DB, list *list, clock *clock, log io.Writer) Options {
	return Options{
		DB: db, Revocations: list, Domain: domain, LoginHost: loginHost, PublicPort: 443, CookieName: ssoCookie,
		Audience: "viloforge", AccessTTL: 15 * time.Minute, SessionIdle: 8 * time.Hour, SessionMax: 30 * 24 * time.Hour,
		ReturnHosts: []string{"*." + domain},
		LoginLimits: LoginLimits{PerAccount: attempts.Rate{Events: 10, Per: time.Minute}, PerAddress: attempts.Rate{Events: 60, Per: time.Minute}},
		SealKey:     [32]byte{1}, PasswordCost: cheap, Now: clock.now, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

func newWorld(tb testing.TB, changes ...func(*Options)) *world {
	tb.Helper()
	w := &world{tb: tb, clock: &clock{}, list: &list{sessions: map[string]bool{}, moments: map[string]time.Time{}}, log: &lines{}}
	var err error
	w.db, err = database.Open(tb.Context(), filepath.Join(tb.TempDir(), "vilogate.db"), database.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	o := options(w.db, w.list, w.clock, w.log)
	for _, change := range changes {
		change(&o)
	}
	if w.idp, err = New(tb.Context(), o); err != nil {
		tb.Fatal(err)
	}
	w.admin = w.idp.Admin()
	w.alice = w.add("alice", "member")
	w.serve()
	tb.Cleanup(func() {
		w.server.Close()
		if err := w.db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return w
}

func (w *world) serve() {
	w.server = httptest.NewUnstartedServer(w.idp)
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.server.StartTLS()
}

func (w *world) add(name string, roles ...string) User {
	w.tb.Helper()
	u, err := w.admin.AddUser(w.tb.Context(), NewUser{
		Name: name, Email: name + "@viloforge.test", FullName: strings.ToUpper(name[:1]) + name[1:], Roles: roles, Password: secret,
	})
	if err != nil {
		w.tb.Fatal(err)
	}
	return u
}

// claims are what a gateway reads in a token, which it has to believe, revoked or not.
func (w *world) claims(raw string) *token.Claims {
	w.tb.Helper()
	v, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{
		Name: token.OwnIssuer, ISS: w.idp.Issuer(), Audiences: []string{"viloforge"}, Keys: w.idp.Keys(), Own: true,
	}}})
	if err != nil {
		w.tb.Fatal(err)
	}
	c, err := v.Verify(raw, w.clock.now())
	if err != nil {
		w.tb.Fatalf("a token of ours is refused: %v", err)
	}
	return c
}

// client is a person's browser.
type client struct {
	tb   testing.TB
	http *http.Client
	jar  *cookiejar.Jar
	// header is sent with every request.
	header http.Header
}

func (w *world) client() *client {
	w.tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(w.server.Certificate())
	address := w.server.Listener.Addr().String()
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "example.com"}, // the test server's name
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		},
	}
	w.tb.Cleanup(transport.CloseIdleConnections)
	return &client{tb: w.tb, jar: jar, header: http.Header{"Accept": {"text/html"}}, http: &http.Client{
		Transport: transport, Jar: jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is a response read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	at     string
}

func (a answer) location() string { return a.header.Get("Location") }

// do sends a request; header lines come as "Name: value".
func (c *client) do(method, path, body string, header ...string) answer {
	c.tb.Helper()
	at := path
	if strings.HasPrefix(path, "/") {
		at = loginAt + path
	}
	r, err := http.NewRequestWithContext(c.tb.Context(), method, at, strings.NewReader(body))
	if err != nil {
		c.tb.Fatal(err)
	}
	r.Header = c.header.Clone()
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
		} else if name == "Cookie" {
			r.Header.Add(name, value)
		} else {
			r.Header.Set(name, value)
		}
	}
	response, err := c.http.Do(r)
	if err != nil {
		c.tb.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		c.tb.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text), at}
}

func (c *client) get(path string, header ...string) answer {
	c.tb.Helper()
	return c.do(http.MethodGet, path, "", header...)
}

// form is a form as a page holds it.
type form struct {
	at     string
	fields url.Values
}

// form finds the form whose hidden and visible fields have these names.
func (a answer) form(tb testing.TB, names ...string) form {
	tb.Helper()
	root, err := html.Parse(strings.NewReader(a.body))
	if err != nil {
		tb.Fatal(err)
	}
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != "form" {
			continue
		}
		f := form{at: a.at, fields: url.Values{}}
		if action, ok := attribute(node, "action"); ok {
			f.at = action
		}
		if method, _ := attribute(node, "method"); method != "post" {
			tb.Errorf("a form of %s has the method %q", a.at, method)
		}
		for inner := range node.Descendants() {
			if name, ok := attribute(inner, "name"); ok && inner.Data == "input" {
				value, _ := attribute(inner, "value")
				f.fields.Add(name, value)
			}
		}
		found := true
		for _, name := range names {
			field, value, valued := strings.Cut(name, "=")
			found = found && f.fields.Has(field) && (!valued || f.fields.Get(field) == value)
		}
		if found {
			return f
		}
	}
	tb.Fatalf("%s has no form with %q:\n%s", a.at, names, a.body)
	return form{}
}

func attribute(node *html.Node, name string) (string, bool) {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// submit sends a form with some of its fields filled in: name, value, name, value.
func (c *client) submit(f form, filled ...string) answer {
	c.tb.Helper()
	for i := 0; i < len(filled); i += 2 {
		f.fields.Set(filled[i], filled[i+1])
	}
	return c.do(http.MethodPost, f.at, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded")
}

// try fills the login form in.
func (c *client) try(path, user, password string) answer {
	c.tb.Helper()
	return c.submit(c.get(path).form(c.tb, "username", "password"), "username", user, "password", password)
}

// login signs in, and fails the test when that does not work.
func (c *client) login(user string) *client {
	c.tb.Helper()
	got := c.try("/login", user, secret)
	if got.status != http.StatusSeeOther || c.cookie(ssoCookie) == "" || c.cookie(sessionCookie) == "" {
		c.tb.Fatalf("login of %s: %d\n%s", user, got.status, got.body)
	}
	return c
}

func (c *client) cookie(name string) string {
	for _, cookie := range c.jar.Cookies(&url.URL{Scheme: "https", Host: loginHost, Path: "/"}) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	return ""
}

// setCookies are the cookies that an answer sets, by name and domain.
func (a answer) setCookies(tb testing.TB) map[string]*http.Cookie {
	tb.Helper()
	set := map[string]*http.Cookie{}
	for _, line := range a.header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			tb.Fatal(err)
		}
		set[strings.TrimSuffix(c.Name+"@"+c.Domain, "@")] = c
	}
	return set
}
