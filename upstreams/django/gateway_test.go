package django_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

const (
	secret = "the JWT_SECRET of the guide's services"
	policy = `
host: billing-api.viloforge.com
upstream: billing
routes:
  - { path: /healthz, allow: public }
  - { path: /cached-public, allow: public }
  - { path: "/*rest", allow: authenticated }
`
)

// noRevocations is the list of a gateway at which nobody signs out.
type noRevocations struct{}

func (noRevocations) AwaitSync(time.Time) {}

func (noRevocations) Stale(time.Time) bool { return false }

func (noRevocations) HandleRevoked(string, string, string, time.Time) bool { return false }

func (noRevocations) SessionRevoked(string, string) bool          { return false }
func (noRevocations) Revoked(_, _, _, _ string, _ time.Time) bool { return false }

func (noRevocations) Publish(context.Context, ...revocation.Entry) error { return nil }

// behindGateway puts a real gateway before the service, which takes the guide's
// tokens, and returns the service as it is reached through it.
func behindGateway(t *testing.T, g signer, s *service) *service {
	t.Helper()
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := token.NewVerifier(token.VerifierConfig{
		Issuers: []token.IssuerConfig{{Name: "legacy-django", Secret: []byte(secret), Algorithm: "HS256", Cookie: "jwt", ClaimUser: "username", ClaimEmail: "email"}},
		Refuse:  []string{issuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile([]policies.File{{Name: "billing-api.yaml", Data: []byte(policy)}}, policies.Options{
		Domain: "viloforge.com", PublicPort: 443, Upstreams: []string{"billing"}, Issuers: []string{"legacy-django"},
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := gateway.NewGeneration(gateway.Settings{
		Domain: "viloforge.com", PublicPort: 443, Policies: set, Verifier: verifier,
		Upstreams: []gateway.Upstream{{Name: audience, URLs: []*url.URL{address}}},
		Cookies:   []gateway.Cookie{{Name: "jwt", Issuer: "legacy-django"}},
		Login:     gateway.Login{URL: "https://login.viloforge.com/"},
	})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := gateway.New(gateway.Options{
		AssertionKey: g.key, AssertionKeys: func() []byte { return token.MarshalSet([]token.PublicKey{g.key.Public()}) },
		Revocations: noRevocations{}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	edge.Swap(generation)
	t.Cleanup(edge.Close)
	server := httptest.NewServer(edge)
	t.Cleanup(server.Close)
	return &service{t: t, url: server.URL, client: s.client}
}

// guideTokenOf is what the guide's login page puts into the cookie of somebody.
func guideTokenOf(t *testing.T, user string) string {
	t.Helper()
	return signGuideToken(t, secret, user)
}

// guideToken is such a token of dora's, signed with a key.
func guideToken(t *testing.T, key string) string {
	t.Helper()
	return signGuideToken(t, key, "dora")
}

func signGuideToken(t *testing.T, key, user string) string {
	t.Helper()
	now := time.Now()
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"username": user, "email": user + "@viloforge.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}).SignedString([]byte(key))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestHeaderFolding is the header spoofing that logged a stranger in as admin
// under gunicorn: WSGI reads X_User as X-User.
func TestHeaderFolding(t *testing.T) {
	t.Parallel()
	g := newSigner(t)
	s := behindGateway(t, g, g.start(t))
	dora := "jwt=" + guideToken(t, secret)
	forged := newSigner(t).assert(func(a *token.Assertion) { a.User = "admin" })
	for name, lines := range map[string]http.Header{
		"nothing":          {},
		"X_User":           {"X_User": {"admin"}},
		"x_uSER":           {"x_uSER": {"admin"}},
		"X.User":           {"X.User": {"admin"}},
		"plain":            {"X-User": {"admin"}, "X-User-Roles": {"billing-admin"}},
		"Remote-User":      {"Remote-User": {"admin"}, "Remote_User": {"admin"}},
		"assertion":        {"X-User-Assertion": {forged}},
		"X_User_Assertion": {"X_User_Assertion": {forged}, "X-User_Roles": {"billing-admin"}},
		"scheme":           {"X_Forwarded_Proto": {"http"}, "X-Forwarded-Proto": {"http"}, "X_Forwarded_Host": {"evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{t: t, url: s.url, client: s.client}
			s.send(http.MethodGet, "/whoami", lines, "").want(t, http.StatusUnauthorized, "login_url")
			s.send(http.MethodGet, "/healthz", lines, "").want(t, http.StatusOK, `"authenticated": false`)
			lines["Cookie"] = []string{dora}
			s.send(http.MethodGet, "/healthz", lines, "").want(t, http.StatusOK, `"authenticated": true`)
			s.send(http.MethodGet, "/whoami", lines, "").want(t, http.StatusOK, `"user": "dora", "id": "legacy-django:dora"`, `"roles": []`,
				`"secure": true, "uri": "https://billing-api.viloforge.com/whoami"`)
		})
	}
	for name, cookie := range map[string]string{
		"another secret": "jwt=" + guideToken(t, "some secret that is as long as the other"),
	} {
		got := s.send(http.MethodGet, "/whoami", http.Header{"Cookie": {cookie}}, "")
		if got.status != http.StatusUnauthorized {
			t.Errorf("%s: %d: %s", name, got.status, got.body)
		}
	}
}
