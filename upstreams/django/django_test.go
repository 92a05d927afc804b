package django_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/idp/token"
)

func TestKeySetOfThePythonKit(t *testing.T) {
	t.Parallel()
	requirePackages(t)
	cmd := exec.CommandContext(t.Context(), python, "-m", "unittest")
	cmd.Env = environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestDjangoBehindTheGateway(t *testing.T) {
	t.Parallel()
	g := newSigner(t)
	s := g.start(t)

	t.Run("request.user is who the gateway says", func(t *testing.T) {
		got := s.get("/whoami", g.assert(nil))
		got.want(t, http.StatusOK)
		want := `{"user": "alice", "id": "id-of-alice", "email": "alice@viloforge.com", "name": "Alice \u00dcnal", "roles": ["member"], ` +
			`"session": "session-1", "active": true, "staff": false, "groups": [], "permissions": [], "secure": true, ` +
			`"uri": "https://billing-api.viloforge.com/whoami"}`
		if got.body != want {
			t.Errorf("got  %s\nwant %s", got.body, want)
		}
	})
	t.Run("user of another issuer", func(t *testing.T) {
		assertion := g.assert(func(a *token.Assertion) {
			a.User, a.Subject, a.Name, a.Email, a.Session, a.Roles, a.AMR = "partner:Bob", "partner:17", "", "", "", nil, nil
			a.AuthTime = time.Time{}
		})
		s.get("/whoami", assertion).want(t, http.StatusOK, `"user": "partner:Bob"`, `"id": "partner:17"`, `"roles": []`)
	})
	t.Run("the guide's views", func(t *testing.T) {
		s.get("/invoices", g.assert(nil)).want(t, http.StatusOK, `{"invoice_id": 1, "amount": 100, "user": "alice"}`)
		s.get("/dashboard", g.assert(nil)).want(t, http.StatusOK, "Hello alice, alice@viloforge.com")
	})
	t.Run("a role is the group of that name", func(t *testing.T) {
		admin := g.assert(func(a *token.Assertion) { a.Roles = []string{"billing-admin", "member"} })
		s.get("/whoami", admin).want(t, http.StatusOK, `"groups": ["billing-admin"]`, `"permissions": ["auth.change_group"]`)
		s.get("/groups", admin).want(t, http.StatusOK, "the groups")
		s.get("/groups", g.assert(nil)).want(t, http.StatusForbidden)
	})
	t.Run("a public view", func(t *testing.T) {
		s.get("/healthz", "").want(t, http.StatusOK, `"authenticated": false`)
		s.get("/healthz", g.assert(nil)).want(t, http.StatusOK, `"authenticated": true`)
		s.get("/healthz", "forged").want(t, http.StatusOK, `"authenticated": false`)
	})
	t.Run("refusal", func(t *testing.T) {
		got := s.get("/whoami", "")
		got.want(t, http.StatusUnauthorized, `"status": 401`, `"request_id": "request-7"`)
		if kind := got.header.Get("Content-Type"); kind != "application/problem+json" {
			t.Errorf("Content-Type %q", kind)
		}
	})
	t.Run("CSRF", func(t *testing.T) { testForms(t, s, g.assert(nil)) })
	t.Run("attacks", func(t *testing.T) { testAttacks(t, s, g) })
}

// testForms shows that Django's own CSRF protection works behind the gateway
// with the settings that the README names.
func testForms(t *testing.T, s *service, assertion string) {
	form := s.get("/form", assertion)
	cookie, _, _ := strings.Cut(form.header.Get("Set-Cookie"), ";")
	if !strings.Contains(form.header.Get("Set-Cookie"), "Secure") {
		t.Errorf("Set-Cookie: %s", form.header.Get("Set-Cookie"))
	}
	for referer, want := range map[string]int{
		"https://" + host + "/form":      http.StatusOK,
		"https://website.viloforge.com/": http.StatusOK,
		"https://evil.example/":          http.StatusForbidden,
		"":                               http.StatusForbidden,
	} {
		header := http.Header{"X-User-Assertion": {assertion}, "Cookie": {cookie}, "X-Csrftoken": {form.body}}
		if referer != "" {
			header["Referer"] = []string{referer}
		}
		if got := s.send(http.MethodPost, "/note", header, ""); got.status != want {
			t.Errorf("from %q: status %d, want %d: %s", referer, got.status, want, got.body)
		}
	}
}

// testAttacks sends what reaches the service without the gateway, or past it.
func testAttacks(t *testing.T, s *service, g signer) {
	stranger := newSigner(t)
	admin := func(a *token.Assertion) {
		a.User, a.Subject, a.Roles = "admin", "id-of-admin", []string{"billing-admin"}
	}
	forge := forger(t, g.key)
	for name, lines := range map[string]http.Header{
		"nothing":                   {},
		"plain header":              {"X-User": {"admin"}},
		"folded header":             {"X_User": {"admin"}},
		"folded header, odd case":   {"x_uSER": {"admin"}, "X-User_Roles": {"billing-admin"}},
		"header with a dot":         {"X.User": {"admin"}},
		"REMOTE_USER":               {"Remote-User": {"admin"}, "Remote_User": {"admin"}},
		"a key of its own":          {"X-User-Assertion": {stranger.assert(admin)}},
		"folded, a key of its own":  {"X_User_Assertion": {stranger.assert(admin)}},
		"folded beside a good one":  {"X-User-Assertion": {g.assert(nil)}, "X_User_Assertion": {stranger.assert(admin)}},
		"two good ones":             {"X-User-Assertion": {g.assert(nil), g.assert(admin)}},
		"another backend's":         {"X-User-Assertion": {g.assert(func(a *token.Assertion) { a.Audience = "inventory" })}},
		"another domain's":          {"X-User-Assertion": {g.assert(func(a *token.Assertion) { a.Issuer = "https://evil.example" })}},
		"expired":                   {"X-User-Assertion": {g.assert(expired)}},
		"of the future":             {"X-User-Assertion": {forge(nil, jwt.MapClaims{"iat": time.Now().Add(time.Hour).Unix()})}},
		"an access token":           {"X-User-Assertion": {forge(map[string]any{"typ": "at+jwt"}, nil)}},
		"no typ":                    {"X-User-Assertion": {forge(map[string]any{"typ": nil}, nil)}},
		"unknown crit":              {"X-User-Assertion": {forge(map[string]any{"crit": []string{"x"}, "x": 1}, nil)}},
		"a key in its header":       {"X-User-Assertion": {forge(map[string]any{"jwk": map[string]string{"kty": "EC"}}, nil)}},
		"no kid":                    {"X-User-Assertion": {forge(map[string]any{"kid": nil}, nil)}},
		"no sub":                    {"X-User-Assertion": {forge(nil, jwt.MapClaims{"sub": nil})}},
		"no exp":                    {"X-User-Assertion": {forge(nil, jwt.MapClaims{"exp": nil})}},
		"no roles":                  {"X-User-Assertion": {forge(nil, jwt.MapClaims{"roles": nil})}},
		"roles that are one text":   {"X-User-Assertion": {forge(nil, jwt.MapClaims{"roles": "billing-admin"})}},
		"user name that is a list":  {"X-User-Assertion": {forge(nil, jwt.MapClaims{"preferred_username": []string{"admin"}})}},
		"alg none":                  {"X-User-Assertion": {algNone(g.key.ID(), "none")}},
		"alg None":                  {"X-User-Assertion": {algNone(g.key.ID(), "None")}},
		"HS256 with the public key": {"X-User-Assertion": {algorithmConfusion(t, g.key)}},
		"a claim changed":           {"X-User-Assertion": {tamperedClaim(g.assert(nil))}},
		"deep nesting":              {"X-User-Assertion": {encode(strings.Repeat("[", 5000)) + ".e30.AA"}},
		"dots":                      {"X-User-Assertion": {strings.Repeat(".", 7000)}},
		"too long":                  {"X-User-Assertion": {g.assert(nil) + strings.Repeat("A", 7500)}},
		"no token":                  {"X-User-Assertion": {"admin"}},
		"empty":                     {"X-User-Assertion": {""}},
		"bytes that are no ASCII":   {"X-User-Assertion": {"\xff\xfe.\x80.\x81"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.send(http.MethodGet, "/whoami", lines, "").want(t, http.StatusUnauthorized, "A good assertion of the gateway is needed")
		})
	}
	t.Run("plain headers beside a good assertion", func(t *testing.T) {
		lines := http.Header{"X-User-Assertion": {g.assert(nil)}, "X_User": {"admin"}, "X-User-Roles": {"billing-admin"}, "Remote-User": {"admin"}}
		got := s.send(http.MethodGet, "/whoami", lines, "")
		got.want(t, http.StatusOK, `"user": "alice"`, `"roles": ["member"]`, `"groups": []`)
	})
	t.Run("a session of Django's own", func(t *testing.T) {
		s.send(http.MethodGet, "/whoami", http.Header{"Cookie": {"sessionid=abc"}}, "").want(t, http.StatusUnauthorized)
	})
	t.Run("forwarded headers that are not the gateway's scheme", func(t *testing.T) {
		lines := http.Header{"X-User-Assertion": {g.assert(nil)}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Port": {"8080"}}
		s.send(http.MethodGet, "/whoami", lines, "").want(t, http.StatusOK, `"uri": "https://billing-api.viloforge.com/whoami"`)
	})
}

func TestDjangoSays503WhileThereAreNoKeys(t *testing.T) {
	t.Parallel()
	g := newSigner(t)
	path := filepath.Join(t.TempDir(), "jwks.json")
	s := start(t, path)
	got := s.get("/whoami", g.assert(nil))
	got.want(t, http.StatusServiceUnavailable, `"status": 503`)
	if retry := got.header.Get("Retry-After"); retry == "" {
		t.Error("no Retry-After")
	}
	s.get("/whoami", "").want(t, http.StatusUnauthorized)
	s.get("/healthz", "").want(t, http.StatusOK)

	if err := os.WriteFile(path, token.MarshalSet([]token.PublicKey{g.key.Public()}), 0o600); err != nil {
		t.Fatal(err)
	}
	s.awaitKeys(g)
	s.get("/whoami", g.assert(nil)).want(t, http.StatusOK)
}

func expired(a *token.Assertion) {
	a.IssuedAt = a.IssuedAt.Add(-2 * time.Minute)
	a.AuthTime, a.Expires = a.IssuedAt, a.IssuedAt.Add(time.Minute)
}

// forger signs with a gateway's key what a gateway never would. A nil value
// leaves a member out.
func forger(t *testing.T, key *token.PrivateKey) func(header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	der, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return func(header map[string]any, claims jwt.MapClaims) string {
		forged := jwt.NewWithClaims(jwt.SigningMethodES256, adminClaims())
		forged.Header["typ"], forged.Header["kid"] = "vilogate-assertion+jwt", key.ID()
		change(forged.Header, header)
		if all, ok := forged.Claims.(jwt.MapClaims); ok {
			change(all, claims)
		}
		signed, err := forged.SignedString(parsed.(*ecdsa.PrivateKey))
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
}

func change(in, by map[string]any) {
	maps.Copy(in, by)
	maps.DeleteFunc(in, func(_ string, v any) bool { return v == nil })
}

func adminClaims() jwt.MapClaims {
	now := time.Now()
	return jwt.MapClaims{
		"iss": issuer, "aud": audience, "sub": "id-of-admin", "preferred_username": "admin", "roles": []string{"billing-admin"},
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func algNone(kid, algorithm string) string {
	claims, err := json.Marshal(adminClaims())
	if err != nil {
		return err.Error()
	}
	return encode(`{"alg":"`+algorithm+`","typ":"vilogate-assertion+jwt","kid":"`+kid+`"}`) + "." + encode(string(claims)) + "."
}

func algorithmConfusion(t *testing.T, key *token.PrivateKey) string {
	t.Helper()
	forged := jwt.NewWithClaims(jwt.SigningMethodHS256, adminClaims())
	forged.Header["typ"], forged.Header["kid"] = "vilogate-assertion+jwt", key.ID()
	signed, err := forged.SignedString(key.Public().JSON())
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// tamperedClaim makes alice an admin and keeps the signature.
func tamperedClaim(raw string) string {
	parts := strings.Split(raw, ".")
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err.Error()
	}
	return parts[0] + "." + encode(strings.ReplaceAll(string(claims), `"alice"`, `"admin"`)) + "." + parts[2]
}
