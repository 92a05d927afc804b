package idp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/internal/password"
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
	tokens   map[string]bool
	moments  map[string]time.Time // of subjects
	cutoffs  map[string]time.Time // of sessions
	entries  []revocation.Entry
	// publishing and asking, where they are set, are called within Publish and SessionRevoked.
	publishing, asking func()
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
			if e.Cutoff.After(l.moments[e.ID]) {
				l.moments[e.ID] = e.Cutoff
			}
		case revocation.Token:
			l.tokens[e.ID] = true
		case revocation.SessionTokens:
			if e.Cutoff.After(l.cutoffs[e.ID]) {
				l.cutoffs[e.ID] = e.Cutoff
			}
		}
	}
	l.entries = append(l.entries, entries...)
	return nil
}

func (l *list) HandleRevoked(issuer, jti, sid string, iat time.Time) bool {
	if l.SessionRevoked(issuer, sid) {
		return true
	}
	cutoff, ok := l.SessionCutoff(issuer, sid)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tokens[jti] || ok && !iat.After(cutoff)
}

func (l *list) SessionCutoff(issuer, sid string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cutoff, ok := l.cutoffs[sid]
	return cutoff, ok && issuer == token.OwnIssuer
}

func (l *list) SessionRevoked(issuer, sid string) bool {
	if l.asking != nil {
		l.asking()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return issuer == token.OwnIssuer && l.sessions[sid]
}

func (l *list) SubjectCutoff(issuer, sub string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	moment, ok := l.moments[sub]
	return moment, ok && issuer == token.OwnIssuer
}

func (l *list) AwaitSync(time.Time) {}

func (l *list) Stale(time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stale
}

// revoked reports whether a gateway with this list refuses the token.
func (l *list) revoked(c *token.Claims) bool {
	moment, ok := l.SubjectCutoff(c.IssuerName(), c.Subject())
	return l.SessionRevoked(c.IssuerName(), c.Session()) || ok && !c.IssuedAt().After(moment)
}

func (l *list) set(f func(*list)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f(l)
}

// clock stands until a test moves it, however long the machine takes.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
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
		RedirectPolicy: returning([]string{"*." + domain}, ""),
		LoginLimits:    LoginLimits{PerAccount: gcra.Rate{Events: 10, Per: time.Minute}, PerAddress: gcra.Rate{Events: 60, Per: time.Minute}},
		SealKey:        [32]byte{1}, PasswordCost: cheap, Now: clock.now, Log: slog.New(slog.NewTextHandler(log, nil)),
	}
}

// returning is where a login of the tests may return to.
func returning(hosts []string, home string) func() *RedirectPolicy {
	r, err := NewRedirectPolicy(hosts, home, loginHost, 443)
	if err != nil {
		panic(err) // a test's own mistake
	}
	return func() *RedirectPolicy { return r }
}

func newWorld(tb testing.TB, changes ...func(*Options)) *world {
	tb.Helper()
	w := &world{tb: tb, clock: newClock(), list: &list{
		sessions: map[string]bool{}, tokens: map[string]bool{}, moments: map[string]time.Time{}, cutoffs: map[string]time.Time{},
	}, log: &lines{}}
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
