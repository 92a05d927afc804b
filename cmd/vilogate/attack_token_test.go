package main_test

import (
	"crypto"
	_ "crypto/sha256" // HS256
	_ "crypto/sha512" // HS384, HS512
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// issuerSite is a gateway whose issuers are all in the hands of the test: our own IdP (another process, as the gateway
// sees it), a partner with published keys, and the guide's issuer with a shared secret.
type issuerSite struct {
	*site
	backend      *recorder
	own, partner signer
	ownKeys      *keyServer
	partnerKeys  *keyServer
	secret       []byte
}

const partnerISS = "https://id.partner.example"

func newIssuerSite(t *testing.T) issuerSite {
	t.Helper()
	x := issuerSite{
		backend: record(t), own: newSigner(t), partner: newSigner(t), secret: []byte("the guide's secret, of 32 bytes or more"),
	}
	x.ownKeys, x.partnerKeys = publishKeys(t, x.own), publishKeys(t, x.partner)
	x.site = serve(t, map[string]string{
		"vilogate.yaml": serveConfig + fmt.Sprintf(`
redis: %q
secret: "a secret of the whole fleet, 32 bytes or more"
login: { host: login.viloforge.test, upstream: %q }
tokens:
  issuers:
    - { name: partner, issuer: %q, audience: [for-us], jwks: "%s/.well-known/jwks.json", cookie: partner-sso, claims: { roles: groups } }
    - { name: legacy-django, secret: %q, algorithm: HS256, cookie: jwt, claims: { user: username, email: email } }
upstreams: { app: { url: %q } }
`, confirmed(redistest.New(t)).URL(), x.ownKeys.URL, partnerISS, x.partnerKeys.URL, string(x.secret), x.backend.url()),
		"policies/app.yaml": attackedPolicy,
		"policies/ours.yaml": `
host: ours.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: "/unless-suspended", allow: { not: { claims: { suspended: true } } } }
  - { path: "/*rest", allow: { issuers: [vilogate] } }
`,
		"policies/pass.yaml": `
host: pass.viloforge.test
upstream: app
cors: { origins: ["https://website.viloforge.test"], credentials: true }
defaults: { bearer: pass }
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /optional, allow: optional }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: /strict, allow: authenticated, bearer: verify }
  - { path: /machine, allow: authenticated, bearer: only }
  - { path: "/*rest", allow: authenticated }
`,
	})
	// The partner's keys are fetched from behind; readiness does not wait for them.
	eventually(t, "the partner's keys are loaded", func() bool {
		return x.http1(t, request{host: appHost, target: "/x", header: []string{"Authorization: Bearer " + x.partnerToken(nil)}}).status == http.StatusOK
	})
	return x
}

func (x issuerSite) partnerToken(changes claims) string {
	now := time.Now()
	return x.partner.sign(x.partner.header(claims{"typ": "JWT"}), claims{
		"iss": partnerISS, "aud": "for-us", "sub": "p-1", "jti": fmt.Sprint(now.UnixNano()), "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"preferred_username": "pat", "email": "pat@partner.example", "groups": []string{"admin", "Not A Role"},
	}.with(changes).json())
}

// ownToken is an access token of our own IdP with some claims changed.
func (x issuerSite) ownToken(changes claims) string {
	return x.own.sign(x.own.header(nil), good("alice", changes).json())
}

// assertTokenRefused sends a token as Bearer and as every SSO cookie, to a route that needs somebody and to a public one.
func (x issuerSite) assertTokenRefused(t *testing.T, raw string) {
	t.Helper()
	probe := x.backend.probe(t)
	ask := func(target, line string) answer {
		return x.http2(t, request{host: appHost, target: target, header: []string{probe.header(), line}})
	}
	// 503 is for a kid of which the issuer has not been asked yet.
	refused := []int{http.StatusUnauthorized, http.StatusServiceUnavailable, http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, 0}
	if got := ask("/x", "Authorization: Bearer "+raw); !slices.Contains(refused, got.status) {
		t.Errorf("as a Bearer token: got %v, want 401", got)
	}
	for _, name := range []string{ssoCookie, "partner-sso", "jwt"} {
		if got := ask("/x", "Cookie: "+name+"="+raw); !slices.Contains(refused, got.status) {
			t.Errorf("as the cookie %s: got %v, want 401", name, got)
		}
	}
	probe.none()
	ask("/public/x", cookieLine(raw))
	for _, seen := range x.backend.with(probe.mark + ".") {
		assertAnonymous(t, seen)
	}
}

// TestForgedTokens: no token that the issuer did not sign, in exactly the way that was agreed, is anybody's.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	public, err := x509.MarshalPKIXPublicKey(&x.own.key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newSigner(t)
	plain := good("alice", nil).json()
	forged := map[string]string{
		"other-key":          stranger.sign(x.own.header(nil), plain),
		"other-key-no-kid":   stranger.sign(x.own.header(claims{"kid": nil}), plain),
		"embedded-jwk":       stranger.sign(strings.Replace(stranger.header(nil), "{", `{"jwk":`+stranger.jwk()+`,`, 1), plain),
		"partner-key-our-id": x.partner.sign(x.own.header(nil), plain),
		"partner-key":        x.partner.sign(x.partner.header(nil), plain),
		"our-key-partner":    x.own.sign(x.own.header(claims{"typ": "JWT"}), claims{"iss": partnerISS, "aud": "for-us", "sub": "p", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}.json()),
		"secret-with-our":    hs(crypto.SHA256, x.secret, `{"alg":"HS256","typ":"at+jwt"}`, plain),
		"secret-partner":     hs(crypto.SHA256, x.secret, `{"alg":"HS256","typ":"JWT"}`, strings.Replace(plain, "https://login.viloforge.test", partnerISS, 1)),
		"empty-signature":    strings.Join(append(strings.Split(x.ownToken(nil), ".")[:2], ""), "."),
		"two-parts":          strings.Join(strings.Split(x.ownToken(nil), ".")[:2], "."),
		"other-claims":       strings.Split(x.ownToken(nil), ".")[0] + "." + encode([]byte(good("carol", claims{"roles": []string{"admin"}}).json())) + "." + strings.Split(x.ownToken(nil), ".")[2],
		"DER-signature":      strings.Join(strings.Split(x.ownToken(nil), ".")[:2], ".") + "." + encode([]byte{0x30, 6, 2, 1, 1, 2, 1, 1}),
		"zero-signature":     strings.Join(strings.Split(x.ownToken(nil), ".")[:2], ".") + "." + encode(make([]byte, 64)),
		"padded":             x.ownToken(nil) + "==",
		"alg-ES384":          x.own.sign(x.own.header(claims{"alg": "ES384"}), plain),
		"alg-lower-case":     x.own.sign(x.own.header(claims{"alg": "es256"}), plain),
		"alg-missing":        x.own.sign(x.own.header(claims{"alg": nil}), plain),
		"alg-list":           x.own.sign(x.own.header(claims{"alg": []string{"ES256"}}), plain),
	}
	for number, alg := range []string{"none", "None", "NONE", "nOnE", "none ", ""} {
		header := x.own.header(claims{"alg": alg})
		forged[fmt.Sprintf("alg-none-%d", number)] = encode([]byte(header)) + "." + encode([]byte(plain)) + "."
		forged[fmt.Sprintf("alg-none-signed-%d", number)] = x.own.sign(header, plain)
	}
	x1, y1 := x.own.coordinates()
	for name, key := range map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), "DER": public, "JWK": []byte(x.own.jwk()), "XY": []byte(x1 + y1), "empty": {},
	} {
		for alg, hash := range map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512} {
			forged["public-key-as-secret-"+name+"-"+alg] = hs(hash, key, x.own.header(claims{"alg": alg}), plain)
		}
	}
	for number, kid := range []string{
		"../../../../../../dev/null", "/dev/null", "' OR '1'='1", "x\x00" + x.own.kid, strings.Repeat("k", 3000), "http://127.0.0.1/key", "", " " + x.own.kid, strings.ToUpper(x.own.kid),
	} {
		forged[fmt.Sprintf("hostile-kid-%d", number)] = stranger.sign(stranger.header(claims{"kid": kid}), plain)
		forged[fmt.Sprintf("hostile-kid-empty-secret-%d", number)] = hs(crypto.SHA256, nil, claims{"alg": "HS256", "typ": "at+jwt", "kid": kid}.json(), plain)
	}
	for name, raw := range forged {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.assertTokenRefused(t, raw)
		})
	}
	t.Run("the-honest-one", func(t *testing.T) {
		t.Parallel()
		if got := x.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(x.ownToken(nil))}}); got.status != http.StatusOK {
			t.Errorf("got %v: every refusal above would be for the wrong reason", got)
		}
	})
}

// TestKeysAreNeverFetchedWhereATokenSays: jku, x5u and kid are addresses of an attacker's choice.
func TestKeysAreNeverFetchedWhereATokenSays(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	stranger := newSigner(t)
	bait := publishKeys(t, stranger)
	address := bait.URL + "/.well-known/jwks.json"
	for name, changes := range map[string]claims{
		"jku": {"jku": address}, "x5u": {"x5u": address}, "kid": {"kid": address}, "jku-and-kid": {"jku": address, "kid": x.own.kid},
		"x5c": {"x5c": []string{"MIIB"}}, "jwk-and-x5c": {"x5c": []string{encode([]byte("cert"))}, "jku": address},
	} {
		t.Run(name, func(t *testing.T) {
			x.assertTokenRefused(t, stranger.sign(stranger.header(changes), good("alice", nil).json()))
		})
	}
	if n := bait.fetches.Load(); n != 0 {
		t.Errorf("the attacker's key server was asked %d times", n)
	}
	t.Run("ignored-beside-a-good-signature", func(t *testing.T) {
		raw := x.own.sign(x.own.header(claims{"jku": address, "x5u": address}), good("alice", nil).json())
		x.http1(t, request{host: appHost, target: "/x", header: []string{"Authorization: Bearer " + raw}})
		if n := bait.fetches.Load(); n != 0 {
			t.Errorf("the attacker's key server was asked %d times", n)
		}
	})
}

// TestMalformedTokens: signed by the issuer's own key, and still nobody's.
func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	now := time.Now()
	bad := map[string]string{}
	header := func(name, text string) { bad["header-"+name] = x.own.sign(text, good("alice", nil).json()) }
	header("crit-unknown", x.own.header(claims{"crit": []string{"urn:unknown"}, "urn:unknown": true}))
	header("crit-empty", x.own.header(claims{"crit": []string{}}))
	header("b64-false", x.own.header(claims{"b64": false, "crit": []string{"b64"}}))
	header("b64-alone", x.own.header(claims{"b64": false}))
	header("alg-twice", strings.Replace(x.own.header(nil), "{", `{"alg":"none",`, 1))
	header("kid-twice", strings.Replace(x.own.header(nil), "{", `{"kid":"x",`, 1))
	header("kid-twice-escaped", strings.Replace(x.own.header(nil), "{", `{"\u006bid":"x",`, 1))
	header("not-an-object", `["ES256"]`)
	header("text-behind", x.own.header(nil)+"{}")
	header("not-UTF8", strings.Replace(x.own.header(nil), "{", "{\"x\":\"\xff\",", 1))
	header("kid-number", strings.Replace(x.own.header(claims{"kid": nil}), "{", `{"kid":7,`, 1))
	for name, typ := range map[string]any{"JWT": "JWT", "absent": nil, "refresh": "rt+jwt", "assertion": "vilogate-assertion+jwt", "logout": "logout+jwt", "number": 1, "id-token": "id+jwt"} {
		header("typ-"+name, x.own.header(claims{"typ": typ}))
	}
	body := func(name, text string) { bad["claims-"+name] = x.own.sign(x.own.header(nil), text) }
	plain := good("alice", nil).json()
	body("sub-twice", strings.Replace(plain, "{", `{"sub":"carol",`, 1))
	body("roles-twice", strings.Replace(plain, "{", `{"roles":["admin"],`, 1))
	body("sub-twice-escaped", strings.Replace(plain, "{", `{"s\u0075b":"carol",`, 1))
	body("case-folded-twice", strings.Replace(plain, "{", `{"Sub":"carol","ROLES":["admin"],`, 1))
	body("nested-twice", strings.Replace(plain, "{", `{"x":{"a":1,"a":2},`, 1))
	body("deep", strings.Replace(plain, "{", `{"x":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)+`,`, 1))
	body("not-an-object", `"alice"`)
	body("null", `null`)
	body("text-behind", plain+"x")
	body("cut", plain[:len(plain)-1])
	body("exp-only-folded", good("alice", claims{"exp": nil, "EXP": now.Add(time.Hour).Unix()}).json())
	for _, name := range []string{"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "sid", "amr", "auth_time", "preferred_username", "name", "email", "roles"} {
		body("without-"+name, good("alice", claims{name: nil}).json())
		if name != "aud" {
			body("null-"+name, strings.Replace(good("alice", claims{name: nil}).json(), "{", `{"`+name+`":null,`, 1))
		}
	}
	for name, changes := range map[string]claims{
		"expired": {"exp": now.Unix()}, "expired-long-ago": {"exp": 1}, "exp-negative": {"exp": -1}, "exp-text": {"exp": "2099-01-01"}, "exp-huge": {"exp": 1e300},
		"exp-quoted": {"exp": fmt.Sprint(now.Add(time.Hour).Unix())}, "exp-list": {"exp": []int64{now.Add(time.Hour).Unix()}},
		"nbf-later": {"nbf": now.Add(time.Hour).Unix()}, "iat-later": {"iat": now.Add(time.Hour).Unix()}, "iat-text": {"iat": "now"},
		"other-audience": {"aud": "somebody-else"}, "audience-list-without-us": {"aud": []string{"a", "b"}}, "audience-number": {"aud": 1}, "audience-part": {"aud": "viloforge2"},
		"other-issuer": {"iss": "https://login.viloforge.test.example"}, "issuer-with-slash": {"iss": "https://login.viloforge.test/"}, "issuer-case": {"iss": "https://LOGIN.viloforge.test"},
		"gateway-as-issuer": {"iss": "https://viloforge.test"}, "issuer-number": {"iss": 1}, "issuer-list": {"iss": []string{"https://login.viloforge.test"}},
		"sub-empty": {"sub": ""}, "sub-number": {"sub": 1}, "sub-newline": {"sub": "a\nb"}, "sub-control": {"sub": "a\x01"}, "sub-NUL": {"sub": "a\x00"}, "sub-bidi": {"sub": "a\u202eb"},
		"user-empty": {"preferred_username": ""}, "user-newline": {"preferred_username": "alice\r\nX-User-Roles: admin"}, "user-comma": {"preferred_username": "alice,carol"},
		"user-upper": {"preferred_username": "Alice"}, "user-space": {"preferred_username": "al ice"}, "user-look-alike": {"preferred_username": "аlice"}, "user-bidi": {"preferred_username": "alice\u202e"},
		"role-comma": {"roles": []string{"member,admin"}}, "role-upper": {"roles": []string{"Admin"}}, "role-space": {"roles": []string{" admin"}}, "roles-text": {"roles": "admin"},
		"role-newline": {"roles": []string{"member\r\nX-User: carol"}}, "jti-number": {"jti": 1}, "sid-empty": {"sid": ""}, "email-newline": {"email": "a@b\r\nX-User: carol"},
	} {
		body(name, good("alice", changes).json())
	}
	for name, raw := range bad {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.assertTokenRefused(t, raw)
		})
	}
}

// TestOversizedTokens: what is made to cost something costs nothing, and good tokens are served all the while.
func TestOversizedTokens(t *testing.T) {
	t.Parallel()
	x := newIssuerSite(t)
	long := strings.Repeat("A", 20000)
	for name, raw := range map[string]string{
		"60000-dots": strings.Repeat(".", 60000), "letters-and-dots": strings.Repeat("a.", 25000), "900000-dots": strings.Repeat(".", 900000),
		"five-parts-JWE": encode([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)) + ".." + encode(make([]byte, 12)) + "." + long + ".AAAA",
		"long-header":    x.own.sign(strings.Replace(x.own.header(nil), "{", `{"x":"`+long+`",`, 1), good("alice", nil).json()),
		"long-claims":    x.ownToken(claims{"x": long}), "long-signature": x.ownToken(nil) + long,
		"deep-header": x.own.sign(strings.Replace(x.own.header(nil), "{", `{"x":`+strings.Repeat(`{"a":`, 5000)+"1"+strings.Repeat("}", 5000)+`,`, 1), good("alice", nil).json()),
		"many-claims": x.own.sign(x.own.header(nil), strings.Replace(good("alice", nil).json(), "{", "{"+strings.Repeat(`"x":1,`, 5000), 1)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.assertTokenRefused(t, raw)
			if got := x.http1(t, request{host: appHost, target: "/x", header: []string{cookieLine(x.ownToken(nil))}}); got.status != http.StatusOK {
				t.Errorf("a good token beside it: got %v", got)
			}
		})
	}
}
