package token_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

func grantForAlice() token.Grant {
	return token.Grant{
		Issuer: ownISS, Audience: audience, Subject: "01J-alice", User: "alice", Email: "alice@example.test", Name: "Alice A.",
		Session: "session-1", ID: "token-1", Roles: []string{"member", "billing-admin", "member"}, AMR: []string{"pwd"},
		AuthTime: now.Add(-time.Minute), IssuedAt: now.Add(300 * time.Millisecond), Expires: now.Add(15 * time.Minute),
	}
}

func assertionForAlice() token.Assertion {
	return token.Assertion{
		Issuer: gatewayISS, Audience: "billing", Subject: "01J-alice", User: "alice", Email: "alice@example.test", Name: "Alice A.",
		Session: "session-1", Roles: []string{"member"}, AMR: []string{"pwd"}, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Minute),
	}
}

func TestWhatIsSignedVerifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw, err := w.idp.private.SignAccess(grantForAlice())
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.Verify(raw, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.User() != "alice" || c.Subject() != "01J-alice" || c.Session() != "session-1" || c.ID() != "token-1" ||
		!slices.Equal(c.Roles(), []string{"billing-admin", "member"}) || !c.IssuedAt().Equal(now) || !c.AuthTime().Equal(now.Add(-time.Minute)) {
		t.Errorf("%+v", c)
	}
	bare := grantForAlice()
	bare.Name, bare.Email, bare.Roles, bare.AMR = "", "", nil, nil
	raw, err = w.idp.private.SignAccess(bare)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := w.Verify(raw, now); err != nil || len(c.Roles()) != 0 {
		t.Errorf("without what may be empty: %+v, %v", c, err)
	}
}

func TestWhatWouldNotVerifyIsNotSigned(t *testing.T) {
	t.Parallel()
	key := newSigner(t).private
	for name, change := range map[string]func(*token.Grant){
		"iss":                func(g *token.Grant) { g.Issuer = "login.example.test" },
		"aud":                func(g *token.Grant) { g.Audience = "" },
		"sub":                func(g *token.Grant) { g.Subject = "a\nb" },
		"preferred_username": func(g *token.Grant) { g.User = "Alice" },
		"email":              func(g *token.Grant) { g.Email = "a\u202e" },
		"name":               func(g *token.Grant) { g.Name = "a\nb" },
		"sid":                func(g *token.Grant) { g.Session = "" },
		"jti":                func(g *token.Grant) { g.ID = "" },
		"amr":                func(g *token.Grant) { g.AMR = []string{""} },
		"roles":              func(g *token.Grant) { g.Roles = []string{"Admin"} },
		"exp":                func(g *token.Grant) { g.Expires = g.IssuedAt },
		"auth_time":          func(g *token.Grant) { g.AuthTime = time.Time{} },
		"cookie":             func(g *token.Grant) { g.Roles = manyRoles(256) },
		"bytes":              func(g *token.Grant) { g.Roles = manyRoles(60) },
	} {
		g := grantForAlice()
		change(&g)
		if name == "cookie" {
			name = "bytes"
		}
		if raw, err := key.SignAccess(g); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
	for name, change := range map[string]func(*token.Assertion){
		"iss":                func(a *token.Assertion) { a.Issuer = "" },
		"aud":                func(a *token.Assertion) { a.Audience = "" },
		"sub":                func(a *token.Assertion) { a.Subject = "" },
		"preferred_username": func(a *token.Assertion) { a.User = "A:b:c" },
		"sid":                func(a *token.Assertion) { a.Session = "a\x00" },
		"roles":              func(a *token.Assertion) { a.Roles = []string{"a,b"} },
		"exp":                func(a *token.Assertion) { a.Expires = time.Time{} },
	} {
		a := assertionForAlice()
		change(&a)
		if raw, err := key.SignAssertion(a); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
}

func manyRoles(n int) []string {
	roles := make([]string, n)
	for i := range roles {
		roles[i] = fmt.Sprintf("a-role-with-quite-a-long-name-and-a-number-behind-it-%03d", i)
	}
	return roles
}

func TestABackendTakesAnAssertionForItself(t *testing.T) {
	t.Parallel()
	gateway := newSigner(t)
	keys := jwks.Static([]token.PublicKey{newSigner(t).private.Public(), gateway.private.Public()})
	for name, change := range map[string]func(*token.Assertion){
		"of our own IdP":    func(*token.Assertion) {},
		"of another issuer": func(a *token.Assertion) { a.Subject, a.User = "partner:77", "partner:Carol" },
		"of the guide's IdP": func(a *token.Assertion) {
			a.Subject, a.Session, a.AMR, a.Roles, a.AuthTime = "legacy-django:alice", "", nil, nil, time.Time{}
		},
	} {
		want := assertionForAlice()
		change(&want)
		raw, err := gateway.private.SignAssertion(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := token.VerifyAssertion(raw, keys, gatewayISS, "billing", now)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Subject != want.Subject || got.User != want.User || got.Session != want.Session || got.Email != want.Email ||
			!slices.Equal(got.Roles, want.Roles) || !slices.Equal(got.AMR, want.AMR) || got.AuthTime.IsZero() != want.AuthTime.IsZero() {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestABackendTakesNothingElse(t *testing.T) {
	t.Parallel()
	gateway, mallory := newSigner(t), newSigner(t)
	keys := jwks.Static([]token.PublicKey{gateway.private.Public()})
	facts := claims{
		"iss": gatewayISS, "aud": "billing", "sub": "01J-alice", "preferred_username": "alice", "roles": []string{},
		"iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
	typ := claims{"typ": "vilogate-assertion+jwt"}
	if _, err := token.VerifyAssertion(gateway.sign(t, typ, facts), keys, gatewayISS, "billing", now); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		raw  string
		want error
	}{
		"empty":                 {"", token.ErrInvalid},
		"for another upstream":  {gateway.sign(t, typ, facts.but(claims{"aud": "inventory"})), token.ErrInvalid},
		"of another domain":     {gateway.sign(t, typ, facts.but(claims{"iss": "https://evil.test"})), token.ErrInvalid},
		"without iss":           {gateway.sign(t, typ, facts.but(claims{"iss": nil})), token.ErrInvalid},
		"an access token":       {gateway.sign(t, nil, own()), token.ErrInvalid},
		"an access token's typ": {gateway.sign(t, nil, facts), token.ErrInvalid},
		"no typ":                {gateway.sign(t, claims{"typ": nil}, facts), token.ErrInvalid},
		"signed by a stranger":  {mallory.sign(t, typ.but(claims{"kid": gateway.private.ID()}), facts), token.ErrInvalid},
		"a stranger's key":      {mallory.sign(t, typ, facts), token.ErrInvalid},
		"expired":               {gateway.sign(t, typ, facts.but(claims{"iat": now.Unix() - 60, "exp": now.Unix()})), token.ErrExpired},
		"not yet":               {gateway.sign(t, typ, facts.but(claims{"iat": now.Unix() + 61, "exp": now.Unix() + 99})), token.ErrInvalid},
		"no user":               {gateway.sign(t, typ, facts.but(claims{"preferred_username": nil})), token.ErrInvalid},
		"no subject":            {gateway.sign(t, typ, facts.but(claims{"sub": nil})), token.ErrInvalid},
		"no roles":              {gateway.sign(t, typ, facts.but(claims{"roles": nil})), token.ErrInvalid},
		"a role in disguise":    {gateway.sign(t, typ, facts.but(claims{"roles": []string{"a,admin"}})), token.ErrInvalid},
		"unsigned":              {b64([]byte(`{"alg":"none","typ":"vilogate-assertion+jwt"}`)) + "." + b64([]byte(facts.json(t))) + ".", token.ErrInvalid},
		"too long":              {strings.Repeat("a", 9000), token.ErrInvalid},
	} {
		if a, err := token.VerifyAssertion(test.raw, keys, gatewayISS, "billing", now); !errors.Is(err, test.want) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	missing := token.KeySourceFunc(func(string, time.Time) (token.PublicKey, error) { return token.PublicKey{}, token.ErrKeysNotLoaded })
	if _, err := token.VerifyAssertion(gateway.sign(t, typ, facts), missing, gatewayISS, "billing", now); !errors.Is(err, token.ErrKeysNotLoaded) {
		t.Errorf("without keys: %v", err)
	}
	if _, err := token.VerifyAssertion(gateway.sign(t, typ, facts), keys, gatewayISS, "", now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("for nobody: %v", err)
	}
}
