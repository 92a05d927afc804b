package gateway

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

const sitePolicy = `
host: app.example.test
upstream: app
cors: { origins: ["https://website.example.test"], credentials: true }
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: "/ws", allow: authenticated, websocket: true }
  - { path: "/things/:id", methods: [GET, POST], allow: authenticated }
  - { path: "/override", allow: authenticated, method_override: pass }
  - { path: "/*rest", allow: authenticated }
`

// site is a gateway in front of one recording backend, with an issuer of our
// own whose tokens it accepts. Its clock is the test's.
type site struct {
	t        *testing.T
	gateway  *Gateway
	key      *token.PrivateKey
	assert   *token.PrivateKey
	now      time.Time
	log      bytes.Buffer
	backend  *httptest.Server
	respond  http.HandlerFunc // what the backend does; nil: 200
	revoked  *revocations
	mu       sync.Mutex
	received []*http.Request
	bodies   []string
}

// revocations is a list whose trouble a test can choose.
type revocations struct {
	mu      sync.Mutex
	stale   bool
	fail    error
	entries []revocation.Entry
}

func (r *revocations) AwaitSync(time.Time) {}

func (r *revocations) Stale(time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stale
}

func (r *revocations) Revoked(_, _, sid, sub string, iat time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.Kind == revocation.Session && e.ID == sid || e.Kind == revocation.Subject && e.ID == sub && !iat.After(e.Cutoff) {
			return true
		}
	}
	return false
}

func (r *revocations) Publish(_ context.Context, entries ...revocation.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return r.fail
	}
	r.entries = append(r.entries, entries...)
	return nil
}

func (r *revocations) SessionRevoked(_, sid string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.entries, func(e revocation.Entry) bool { return e.Kind == revocation.Session && e.ID == sid })
}

func (r *revocations) HandleRevoked(issuer, _, sid string, _ time.Time) bool {
	return r.SessionRevoked(issuer, sid)
}

func (r *revocations) covers(c *token.Claims) bool {
	return r.Revoked(c.IssuerName(), c.ID(), c.Session(), c.Subject(), c.IssuedAt())
}

// sessions are the sessions that were revoked, sorted.
func (r *revocations) sessions() (ids []string) {
	for _, e := range r.entries {
		if e.Kind == revocation.Session {
			ids = append(ids, e.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

const legacySecret = "a secret of the guide, 32 bytes or more"

func newSite(t *testing.T, edit ...func(*Settings)) *site {
	t.Helper()
	s := &site{t: t, now: time.Unix(1_800_000_000, 0), revoked: &revocations{}}
	s.key, s.assert = newKey(t), newKey(t)
	s.backend = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Logf("the backend read %q and then: %v", body, err)
		}
		s.mu.Lock()
		s.received = append(s.received, r)
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		if s.respond != nil {
			s.respond(w, r)
		}
	}))
	t.Cleanup(s.backend.Close)
	verifier, err := token.NewVerifier(token.VerifierConfig{
		Issuers: []token.IssuerConfig{
			{Name: token.OwnIssuer, ISS: "https://login.example.test", Audiences: []string{"example"}, Keys: jwks.Static([]token.PublicKey{s.key.Public()}), Cookie: "__Secure-sso", Own: true},
			{Name: "legacy", Secret: []byte(legacySecret), Algorithm: "HS256", Cookie: "jwt", ClaimUser: "username", ClaimEmail: "email"},
		},
		Refuse:     []string{"https://example.test"},
		CacheBytes: 64 << 20,
		Revoked:    s.revoked.covers,
	})
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(s.backend.URL)
	if err != nil {
		t.Fatal(err)
	}
	settings := Settings{
		Domain: "example.test", PublicPort: 443, Policies: compile(t, sitePolicy), Verifier: verifier,
		Upstreams: []Upstream{{Name: "app", URLs: []*url.URL{address}}},
		Cookies:   []Cookie{{"__Secure-sso", token.OwnIssuer}, {"jwt", "legacy"}},
		Login: Login{Host: "login.example.test", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Seen", r.Host+" "+r.URL.Path+" "+r.RemoteAddr+" "+r.Header.Get("X-User"))
		})},
	}
	for _, e := range edit {
		e(&settings)
	}
	s.gateway, err = New(Options{
		AssertionKey: s.assert, AssertionKeys: func() []byte { return token.MarshalSet([]token.PublicKey{s.assert.Public()}) },
		Revocations: s.revoked, Log: slog.New(slog.NewJSONHandler(&s.log, nil)), Now: func() time.Time { return s.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := NewGeneration(settings)
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.Swap(generation)
	t.Cleanup(s.gateway.Close)
	return s
}

func compile(t testing.TB, policy string) *policies.Set {
	t.Helper()
	set, err := policies.Compile([]policies.File{{Name: "app.yaml", Data: []byte(policy)}}, policies.Options{
		Domain: "example.test", LoginHost: "login.example.test", PublicPort: 443,
		Upstreams: []string{"app"}, Issuers: []string{token.OwnIssuer, "legacy"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func newKey(t testing.TB) *token.PrivateKey {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// grant is alice's, good for an hour from now.
func (s *site) grant() token.Grant {
	return token.Grant{
		Issuer: "https://login.example.test", Audience: "example", Subject: "u-1", User: "alice", Email: "alice@example.test",
		Name: "Alice Ünlü", Session: "s-1", ID: "t-1", Roles: []string{"member"}, AMR: []string{"pwd"},
		AuthTime: s.now, IssuedAt: s.now, Expires: s.now.Add(time.Hour),
	}
}

func (s *site) sign(g token.Grant) string {
	s.t.Helper()
	raw, err := s.key.SignAccess(g)
	if err != nil {
		s.t.Fatal(err)
	}
	return raw
}

// ask sends one request through the gateway. Headers are "Name: value" lines.
func (s *site) ask(method, target string, lines ...string) *http.Response {
	s.t.Helper()
	return s.askHost("app.example.test", method, target, "", lines...)
}

func (s *site) askHost(host, method, target, body string, lines ...string) *http.Response {
	s.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "/", reader)
	r.RequestURI, r.Host = target, host
	r.RemoteAddr = "192.0.2.7:1234"
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		// As net/http does, without correcting names that it leaves alone.
		name = http.CanonicalHeaderKey(name)
		r.Header[name] = append(r.Header[name], value)
	}
	w := httptest.NewRecorder()
	s.gateway.ServeHTTP(w, r)
	return w.Result()
}

// reached returns the one request that the backend received, or nil.
func (s *site) reached() *http.Request {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.received) > 1 {
		s.t.Fatalf("the backend received %d requests", len(s.received))
	}
	if len(s.received) == 0 {
		return nil
	}
	r := s.received[0]
	s.received, s.bodies = nil, nil
	return r
}

func wantStatus(t *testing.T, resp *http.Response, want int) {
	t.Helper()
	if resp.StatusCode != want {
		body, err := io.ReadAll(resp.Body)
		t.Fatalf("status %d, want %d: %s %v", resp.StatusCode, want, body, err)
	}
}
