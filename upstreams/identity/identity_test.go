package identity_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func newKey(t *testing.T) *token.PrivateKey {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// alice is an assertion about alice, good for a minute.
func alice(at time.Time) token.Assertion {
	return token.Assertion{
		Issuer: "https://viloforge.com", Audience: "billing", Subject: "id-of-alice", User: "alice", Name: "Alice", Email: "alice@viloforge.com",
		Session: "session-1", Roles: []string{"billing-admin", "member"}, AMR: []string{"pwd"},
		AuthTime: at.Add(-time.Hour), IssuedAt: at, Expires: at.Add(time.Minute),
	}
}

func sign(t *testing.T, key *token.PrivateKey, a token.Assertion) string {
	t.Helper()
	signed, err := key.SignAssertion(a)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// newKit is a kit with that one key.
func newKit(t *testing.T, key *token.PrivateKey) *identity.Kit {
	t.Helper()
	return kitWith(t, identity.Config{Keys: jwks.Static([]token.PublicKey{key.Public()}), Now: func() time.Time { return now }})
}

func kitWith(t *testing.T, c identity.Config) *identity.Kit {
	t.Helper()
	c.Issuer, c.Audience = "https://viloforge.com", "billing"
	kit, err := identity.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return kit
}

// get sends a request with these assertions to a handler.
func get(h http.Handler, assertions ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/invoices", nil)
	r.Header["X-User-Assertion"] = assertions
	if len(assertions) == 0 {
		r.Header.Del("X-User-Assertion")
	}
	r.Header.Set("X-User", "admin")
	r.Header.Set("X-User-Roles", "admin")
	r.Header.Set("X-Request-Id", "request-7")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// echoIdentity answers with the identity that the handler sees.
func echoIdentity(t *testing.T) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := "nobody"
		if who, ok := identity.From(r.Context()); ok {
			name = who.User + " " + strings.Join(who.Roles, ",")
		}
		if _, err := io.WriteString(w, name); err != nil {
			t.Error(err)
		}
	})
}

func TestHandlerLearnsWhoIsAsking(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	called := false
	h := newKit(t, key).Require(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		called = true
		who, ok := identity.From(r.Context())
		want := identity.Identity{
			User: "alice", ID: "id-of-alice", Email: "alice@viloforge.com", Name: "Alice", Roles: []string{"billing-admin", "member"},
			Session: "session-1", AMR: []string{"pwd"}, AuthTime: who.AuthTime, IssuedAt: who.IssuedAt, Expires: who.Expires,
		}
		if !ok || !reflect.DeepEqual(who, want) {
			t.Errorf("got %+v, want %+v", who, want)
		}
		if !who.AuthTime.Equal(now.Add(-time.Hour)) || !who.IssuedAt.Equal(now) || !who.Expires.Equal(now.Add(time.Minute)) {
			t.Errorf("times: %v, %v, %v", who.AuthTime, who.IssuedAt, who.Expires)
		}
		if !who.HasRole("member") || who.HasRole("admin") {
			t.Errorf("roles: %v", who.Roles)
		}
	}))
	if w := get(h, sign(t, key, alice(now))); w.Code != http.StatusOK || !called {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestOnlyTheAssertionCounts(t *testing.T) {
	t.Parallel()
	key, other := newKey(t), newKey(t)
	kit := newKit(t, key)
	good := sign(t, key, alice(now))
	with := func(change func(*token.Assertion)) string {
		a := alice(now)
		change(&a)
		return sign(t, key, a)
	}
	access, err := key.SignAccess(token.Grant{
		Issuer: "https://viloforge.com", Audience: "billing", Subject: "1", User: "alice", Email: "a@viloforge.com", Name: "Alice",
		Session: "s", ID: "j", Roles: []string{"member"}, AMR: []string{"pwd"}, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, assertions := range map[string][]string{
		"nothing but plain headers":   {},
		"empty":                       {""},
		"no token":                    {"admin"},
		"another key's":               {sign(t, other, alice(now))},
		"another backend's":           {with(func(a *token.Assertion) { a.Audience = "inventory" })},
		"another domain's":            {with(func(a *token.Assertion) { a.Issuer = "https://evil.example" })},
		"expired":                     {sign(t, key, alice(now.Add(-time.Minute)))},
		"of the future":               {sign(t, key, alice(now.Add(time.Hour)))},
		"an access token":             {access},
		"signature cut off":           {good[:strings.LastIndexByte(good, '.')+1]},
		"two lines, good and bad":     {good, "x"},
		"two lines, both of them bad": {"x", "x"},
		"two lines, both of them good": {
			good, good,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := get(kit.Require(echoIdentity(t)), assertions...)
			if w.Code != http.StatusUnauthorized || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%d %v: %s", w.Code, w.Header(), w.Body)
			}
			var p struct {
				Type, Title string
				Status      int
				RequestID   string `json:"request_id"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || p.RequestID != "request-7" || p.Type == "" || p.Title == "" {
				t.Errorf("problem %+v, %v", p, err)
			}
			if w := get(kit.Optional(echoIdentity(t)), assertions...); w.Code != http.StatusOK || w.Body.String() != "nobody" {
				t.Errorf("optional: %d: %s", w.Code, w.Body)
			}
		})
	}
}

func TestOptionalKnowsWhoIsAsking(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	w := get(newKit(t, key).Optional(echoIdentity(t)), sign(t, key, alice(now)))
	if w.Code != http.StatusOK || w.Body.String() != "alice billing-admin,member" {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

func TestConfigurationIsCompleteOrRefused(t *testing.T) {
	t.Parallel()
	keys := jwks.Static([]token.PublicKey{newKey(t).Public()})
	for name, c := range map[string]identity.Config{
		"nothing":       {},
		"no keys":       {Issuer: "https://viloforge.com", Audience: "billing"},
		"no issuer":     {Keys: keys, Audience: "billing"},
		"no audience":   {Keys: keys, Issuer: "https://viloforge.com"},
		"keys twice":    {Keys: keys, JWKS: "http://127.0.0.1/jwks", Issuer: "https://viloforge.com", Audience: "billing"},
		"no such file":  {JWKS: "testdata/nowhere.json", Issuer: "https://viloforge.com", Audience: "billing"},
		"no address":    {JWKS: "http://", Issuer: "https://viloforge.com", Audience: "billing"},
		"with password": {JWKS: "http://a:b@127.0.0.1/jwks", Issuer: "https://viloforge.com", Audience: "billing"},
	} {
		if _, err := identity.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestResponsesVaryByTheAssertion: whoever caches a response between the gateway and the service is told for whom it is, also
// where nobody was.
func TestResponsesVaryByTheAssertion(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	kit, next := newKit(t, key), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("Vary", "Accept") })
	for _, handler := range []http.Handler{kit.Require(next), kit.Optional(next)} {
		for _, assertion := range []string{sign(t, key, alice(now)), ""} {
			r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
			if assertion != "" {
				r.Header.Set(identity.Header, assertion)
			}
			handler.ServeHTTP(w, r)
			if got := w.Result().Header.Values("Vary"); len(got) == 0 || got[0] != "X-User-Assertion" {
				t.Errorf("Vary %q", got)
			}
		}
	}
}
