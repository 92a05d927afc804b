package token_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

func TestOurOwnTokenSaysWhoItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.Verify(w.idp.sign(t, nil, own()), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][2]string{
		"issuer": {c.IssuerName(), token.OwnIssuer}, "iss": {c.ISS(), ownISS}, "sub": {c.Subject(), "01J-alice"},
		"user": {c.User(), "alice"}, "email": {c.Email(), "alice@example.test"}, "name": {c.Name(), "Alice A."},
		"sid": {c.Session(), "session-1"}, "jti": {c.ID(), "token-1"}, "kid": {c.KeyID(), w.idp.private.ID()},
		"roles": {strings.Join(c.Roles(), ","), "member"}, "amr": {strings.Join(c.AMR(), ","), "pwd"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, want %q", name, got[0], got[1])
		}
	}
	if !c.AuthTime().Equal(now) || !c.IssuedAt().Equal(now) || !c.Expires().Equal(now.Add(time.Hour)) {
		t.Errorf("times %v %v %v", c.AuthTime(), c.IssuedAt(), c.Expires())
	}
}

func TestAnotherIssuersNamesStandAfterItsName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, test := range []struct {
		name          string
		payload       claims
		subject, user string
	}{
		{"a user name, not folded", partner(), "partner:77", "partner:Carol"},
		{"the subject, where there is no user name", partner().but(claims{"preferred_username": nil}), "partner:77", "partner:77"},
		{"one audience of several", partner().but(claims{"aud": []string{"elsewhere", audience}}), "partner:77", "partner:Carol"},
		{"empty mail", partner().but(claims{"email": ""}), "partner:77", "partner:Carol"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, typ := range []any{"JWT", "jwt", "at+jwt", "application/at+JWT", nil} {
				c, err := w.Verify(w.other.sign(t, claims{"typ": typ}, test.payload), now)
				if err != nil {
					t.Fatalf("typ %v: %v", typ, err)
				}
				if c.Subject() != test.subject || c.User() != test.user || c.IssuerName() != "partner" {
					t.Errorf("%s %s of %s", c.Subject(), c.User(), c.IssuerName())
				}
				if !slices.Equal(c.Roles(), []string{"Not A Role", "admins", "billing"}) {
					t.Errorf("roles %q", c.Roles())
				}
				if c.Session() != "" || c.ID() != "" || !c.AuthTime().IsZero() || c.AMR() != nil {
					t.Errorf("made something up: %+v", c)
				}
			}
		})
	}
}

func TestRolesOfAnotherIssuerOnlyWhereMapped(t *testing.T) {
	t.Parallel()
	for claim, want := range map[string]string{"": "", "groups": "Not A Role,admins,billing", "scope": "read,write,Écrire", "absent": "", "sub": "UPPER"} {
		w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].ClaimRoles = claim })
		payload := partner().but(claims{"roles": []string{"root"}, "scope": "write read Écrire read", "sub": "UPPER"})
		c, err := w.Verify(w.other.sign(t, nil, payload), now)
		if err != nil {
			t.Fatalf("%s: %v", claim, err)
		}
		if got := strings.Join(c.Roles(), ","); got != want {
			t.Errorf("%q gives %q, want %q", claim, got, want)
		}
	}
}

// The guide's own tokens, as its Django IdP made them with PyJWT 2.6.
const (
	guideAlice = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6ImFsaWNlIiwiZW1haWwiOiJhbGljZUBleGFtcGxlLnRlc3QiLCJpYXQiOjE3OTU0ODU2MDAsImV4cCI6MTc5NTQ4OTIwMH0.bQXTVbLze1WBSX5i4pKToN6H8sCOzS5cmPIEmQkaI9U"
	guideZoe   = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1c2VybmFtZSI6IlpvXHUwMGViIiwiZW1haWwiOiIiLCJpYXQiOjE3OTU0ODU2MDAsImV4cCI6MTc5NTQ4OTIwMH0.NSQsYpvzFUwfO7e2FHvBYXhTTLGjuwzeBjyPn-A6ru8"
)

func TestTheGuidesTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, err := w.Verify(guideAlice, now)
	if err != nil {
		t.Fatal(err)
	}
	if c.User() != "alice" || c.Subject() != "legacy-django:alice" || c.Email() != "alice@example.test" ||
		c.IssuerName() != "legacy-django" || c.ISS() != "" || c.Roles() != nil || c.KeyID() != "" {
		t.Errorf("%+v", c)
	}
	if _, err := w.Verify(guideAlice, now.Add(50*time.Minute)); !errors.Is(err, token.ErrExpired) {
		t.Errorf("at its very end: %v", err)
	}
	if c, err := w.Verify(guideZoe, now); err != nil || c.User() != "Zoë" {
		t.Errorf("a user name as Django's may be: %+v, %v", c, err)
	}
	if _, err := w.Verify(w.legacy(t, guide().but(claims{"email": ""})), now); err != nil {
		t.Errorf("a user without an address: %v", err)
	}
	// SimpleJWT before 5.5 writes the id of a user, which is a number.
	if c, err := w.Verify(w.legacy(t, guide().but(claims{"username": 7})), now); err != nil || c.User() != "7" || c.Subject() != "legacy-django:7" {
		t.Errorf("a user by number: %+v, %v", c, err)
	}
	for name, raw := range map[string]string{
		"another secret":       hmacSign(hashOf("HS256"), []byte(secret+"!"), `{"alg":"HS256","typ":"JWT"}`, guide().json(t)),
		"no secret":            hmacSign(hashOf("HS256"), nil, `{"alg":"HS256","typ":"JWT"}`, guide().json(t)),
		"another algorithm":    hmacSign(hashOf("HS512"), []byte(secret), `{"alg":"HS512","typ":"JWT"}`, guide().json(t)),
		"no exp":               w.legacy(t, guide().but(claims{"exp": nil})),
		"no iat":               w.legacy(t, guide().but(claims{"iat": nil})),
		"no username":          w.legacy(t, guide().but(claims{"username": nil})),
		"no string":            w.legacy(t, guide().but(claims{"username": true})),
		"a fraction":           w.legacy(t, guide().but(claims{"username": 7.5})),
		"empty username":       w.legacy(t, guide().but(claims{"username": ""})),
		"somebody's audience":  w.legacy(t, guide().but(claims{"aud": "elsewhere"})),
		"an issuer's prefix":   w.legacy(t, guide().but(claims{"username": "partner:Carol"})),
		"of no issuer at all":  w.legacy(t, guide().but(claims{"iss": ""})),
		"as if of our own IdP": w.legacy(t, own()),
		"as if of the partner": w.legacy(t, partner()),
		"a refresh token":      w.legacy(t, guide().but(claims{"token_type": "refresh"})),
	} {
		if c, err := w.Verify(raw, now); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

func TestNamelessIssuerWithoutClaimUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[2].ClaimUser = "" })
	c, err := w.Verify(w.legacy(t, guide().but(claims{"sub": "9", "preferred_username": "alice"})), now)
	if err != nil || c.User() != "legacy-django:alice" || c.Subject() != "legacy-django:9" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := w.Verify(w.legacy(t, guide()), now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("without a subject: %v", err)
	}
}

// Whether a Bearer token may pass a public route untouched hangs on this.
func TestWhatNoConfiguredIssuerCouldHaveMadeIsNotOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noNameless := newWorld(t, func(c *token.VerifierConfig) { c.Issuers = c.Issuers[:2] })
	good := w.idp.sign(t, nil, own())
	for name, test := range map[string]struct {
		v    world
		raw  string
		want error
	}{
		"empty":                             {w, "", token.ErrUnknownIssuer},
		"opaque":                            {w, "ghp_0123456789abcdef", token.ErrUnknownIssuer},
		"opaque with dots":                  {w, "v4.public.AAAA", token.ErrUnknownIssuer},
		"of a foreign issuer":               {w, w.other.sign(t, nil, partner().but(claims{"iss": "https://elsewhere.test"})), token.ErrUnknownIssuer},
		"encrypted":                         {w, b64([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)) + "..AAAA.AAAA.AAAA", token.ErrUnknownIssuer},
		"no iss, and nobody who signs so":   {noNameless, w.legacy(t, guide()), token.ErrUnknownIssuer},
		"no iss, and somebody who does":     {w, w.other.sign(t, nil, partner().but(claims{"iss": nil})), token.ErrInvalid},
		"padded":                            {w, good + "=", token.ErrInvalid},
		"one segment short":                 {w, good[:strings.LastIndexByte(good, '.')], token.ErrInvalid},
		"one segment more":                  {w, good + ".AAAA", token.ErrInvalid},
		"two issuers":                       {w, w.idp.raw(t, w.idp.header(nil).json(t), `{"iss":"https://elsewhere.test","iss":"`+ownISS+`"}`), token.ErrInvalid},
		"iss is no string":                  {w, w.idp.sign(t, nil, own().but(claims{"iss": []string{ownISS}})), token.ErrInvalid},
		"a header that is not quite base64": {w, "=" + good, token.ErrInvalid},
		"a dot before it":                   {w, "." + good, token.ErrInvalid},
		"dots behind it":                    {w, good + "..", token.ErrInvalid},
		"dots before it":                    {w, ".." + good, token.ErrInvalid},
		"many dots around it":               {w, strings.Repeat(".", 50) + good + strings.Repeat(".", 50), token.ErrInvalid},
		"a word before it":                  {w, "jwt." + good, token.ErrInvalid},
		"claims without a header":           {w, "v2.public." + b64([]byte(`{"sub":"alice","exp":"2030-01-01T00:00:00Z"}`)), token.ErrUnknownIssuer},
	} {
		if _, err := test.v.Verify(test.raw, now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

func TestTimesAreJudgedOnEveryCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.sign(t, nil, own())
	for _, test := range []struct {
		at   time.Duration
		want error
	}{
		{0, nil},
		{time.Hour - time.Nanosecond, nil},
		{time.Hour, token.ErrExpired},
		{-time.Minute, nil},
		{-time.Minute - time.Nanosecond, token.ErrInvalid},
		{-time.Hour, token.ErrInvalid},
		{time.Minute, nil},
	} {
		for range 2 { // the second from memory
			if _, err := w.Verify(raw, now.Add(test.at)); !errors.Is(err, test.want) {
				t.Errorf("at %v: %v, want %v", test.at, err, test.want)
			}
		}
	}
	later := w.idp.sign(t, nil, own().but(claims{"nbf": now.Add(10 * time.Minute).Unix()}))
	if _, err := w.Verify(later, now.Add(8*time.Minute)); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("before nbf: %v", err)
	}
	if _, err := w.Verify(later, now.Add(9*time.Minute)); err != nil {
		t.Errorf("within the leeway of nbf: %v", err)
	}
}

func TestAHitStillAsksForRevocation(t *testing.T) {
	t.Parallel()
	revoked := map[string]bool{}
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Revoked = func(c *token.Claims) bool { return revoked[c.IssuerName()+" "+c.ID()] }
	})
	raw := w.idp.sign(t, nil, own())
	first, err := w.Verify(raw, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Verify(raw, now)
	if err != nil || first != second {
		t.Errorf("the same token gave other claims: %v", err)
	}
	revoked["vilogate token-1"] = true
	for name, spelling := range map[string]string{"as it was": raw, "with the signature's other spelling": otherSpelling(t, raw)} {
		if _, err := w.Verify(spelling, now); !errors.Is(err, token.ErrRevoked) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c, err := w.VerifySignature(raw); err != nil || c.Session() != "session-1" {
		t.Errorf("a revoked token names its session no more: %v", err)
	}
}

func TestAHitStillAsksForTheVeryKey(t *testing.T) {
	t.Parallel()
	idp, replacement := newSigner(t), newSigner(t)
	var answer token.PublicKey
	var trouble error
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Issuers[0].Keys = token.KeySourceFunc(func(string, time.Time) (token.PublicKey, error) { return answer, trouble })
	})
	raw := idp.sign(t, nil, own())
	for _, test := range []struct {
		name    string
		answer  token.PublicKey
		trouble error
		want    error
	}{
		{"not loaded yet", token.PublicKey{}, token.ErrKeysNotLoaded, token.ErrKeysNotLoaded},
		{"unknown", token.PublicKey{}, token.ErrUnknownKey, token.ErrUnknownKey},
		{"another key", replacement.private.Public(), nil, token.ErrInvalid},
		{"no key and no error", token.PublicKey{}, nil, token.ErrInvalid},
		{"good", idp.private.Public(), nil, nil},
		{"another key under the same id, once it is remembered", replacement.private.Public(), nil, token.ErrInvalid},
		{"withdrawn", token.PublicKey{}, token.ErrUnknownKey, token.ErrInvalid},
		{"lost", token.PublicKey{}, token.ErrKeysNotLoaded, token.ErrKeysNotLoaded},
		{"back again", idp.private.Public(), nil, nil},
	} {
		answer, trouble = test.answer, test.trouble
		if _, err := w.Verify(raw, now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestVerifySignatureNamesAnOldSessionAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := own().but(claims{"iat": 1000, "nbf": 1000, "auth_time": 1000, "exp": 2000})
	c, err := w.VerifySignature(w.idp.sign(t, nil, old))
	if err != nil || c.Session() != "session-1" {
		t.Errorf("%v", err)
	}
	if _, err := w.Verify(w.idp.sign(t, nil, old), now); !errors.Is(err, token.ErrExpired) {
		t.Errorf("%v", err)
	}
	for name, raw := range map[string]string{
		"signed by somebody else": w.other.sign(t, claims{"kid": w.idp.private.ID()}, old),
		"for another audience":    w.idp.sign(t, nil, old.but(claims{"aud": "elsewhere"})),
		"exp before iat":          w.idp.sign(t, nil, old.but(claims{"exp": 999})),
		"of no session":           w.idp.sign(t, nil, old.but(claims{"sid": nil})),
		"too long":                w.idp.sign(t, nil, old.but(claims{"x": strings.Repeat("x", 9000)})),
	} {
		if _, err := w.VerifySignature(raw); !errors.Is(err, token.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token good for one issuer and audience, remembered, says nothing elsewhere (Oathkeeper CVE-2026-33496).
func TestATokenRememberedForOneIsNotGoodForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.other.sign(t, nil, partner().but(claims{"aud": "other"}))
	if _, err := w.Verify(raw, now); err != nil {
		t.Fatal(err)
	}
	strict := w.config
	strict.Issuers = slices.Clone(w.config.Issuers)
	strict.Issuers[1].Audiences = []string{audience}
	v, err := token.NewVerifier(strict)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(raw, now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) { c.CacheBytes = 64 << 10 })
	for range 200 {
		if _, err := w.Verify(otherSpelling(t, w.idp.sign(t, nil, own())), now); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.Stats(); s.Entries > 40 || s.Misses != 200 || s.Hits != 0 {
		t.Errorf("%+v", s)
	}
}

func TestConfigurationIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	keys := jwks.Static(nil)
	for want, change := range map[string]func(*token.VerifierConfig){
		"the name must be":                func(c *token.VerifierConfig) { c.Issuers[1].Name = "Partner:x" },
		"our own IdP's, and only its":     func(c *token.VerifierConfig) { c.Issuers[1].Name = token.OwnIssuer },
		"our own IdP has keys":            func(c *token.VerifierConfig) { c.Issuers[0].ISS = "" },
		"our own IdP's claims are fixed":  func(c *token.VerifierConfig) { c.Issuers[0].ClaimRoles = "groups" },
		"either keys or a secret":         func(c *token.VerifierConfig) { c.Issuers[1].Keys = nil },
		"an iss is required":              func(c *token.VerifierConfig) { c.Issuers[1].ISS = "" },
		"at least one audience":           func(c *token.VerifierConfig) { c.Issuers[1].Audiences = nil },
		"an audience is empty":            func(c *token.VerifierConfig) { c.Issuers[1].Audiences = []string{""} },
		"the secret is shorter than 32":   func(c *token.VerifierConfig) { c.Issuers[2].Secret = []byte("short") },
		`"RS256" is none of HS256`:        func(c *token.VerifierConfig) { c.Issuers[2].Algorithm = "RS256" },
		"an algorithm goes with a secret": func(c *token.VerifierConfig) { c.Issuers[1].Algorithm = "ES256" },
		"two issuers of the name": func(c *token.VerifierConfig) {
			c.Issuers[2].Name, c.Issuers[2].ISS, c.Issuers[2].Audiences = "partner", "x", []string{"x"}
		},
		"have the same iss":              func(c *token.VerifierConfig) { c.Issuers[1].ISS = ownISS },
		"is the gateway's own":           func(c *token.VerifierConfig) { c.Issuers[1].ISS = gatewayISS },
		"only one may leave out its iss": func(c *token.VerifierConfig) { c.Issuers = append(c.Issuers, c.Issuers[2]); c.Issuers[3].Name = "x" },
		"a negative cache size":          func(c *token.VerifierConfig) { c.CacheBytes = -1 },
	} {
		w := newWorld(t)
		c := w.config
		c.Issuers = slices.Clone(c.Issuers)
		change(&c)
		if _, err := token.NewVerifier(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the secret stands in the error: %v", err)
		}
	}
	if w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].Cookie = "jwt"; c.Issuers[1].Keys = keys }); !slices.Equal(w.Cookies(), []string{"__Secure-sso", "jwt"}) {
		t.Errorf("cookies %q", w.Cookies())
	}
}
