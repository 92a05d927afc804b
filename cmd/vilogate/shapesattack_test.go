package main_test

import (
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestShapes: tokens as the identity providers of this world form them, with the configuration that idp/token/README.md has
// for each: accepted in HTTP/1.1 and HTTP/2, with the name and the roles that a person expects. What is not quite such a
// token is nobody's.
func TestShapes(t *testing.T) {
	t.Parallel()
	x := newShapeSite(t)
	documented := map[string]bool{}
	for name := range x.configs {
		documented[name] = false
	}
	for name, s := range shapes {
		if _, ok := documented[s.issuer]; !ok {
			t.Fatalf("%s: idp/token/README.md has nothing for %s", name, s.issuer)
		}
		documented[s.issuer] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x.accepts(t, s)
			t.Run("forged", func(t *testing.T) { x.refusesForged(t, s) })
		})
	}
	for issuer, tried := range documented {
		if !tried {
			t.Errorf("idp/token/README.md has %s, and no shape tries it", issuer)
		}
	}
}

// accepts sends a good token of the shape.
func (x shapeSite) accepts(t *testing.T, s shape) {
	t.Helper()
	raw := x.token(t, s, nil, nil)
	eventually(t, "the keys of "+s.issuer+" are loaded", func() bool {
		return x.http1(t, request{host: appHost, target: "/x", header: []string{bearer(raw)}}).status != http.StatusServiceUnavailable
	})
	want := map[string]string{
		"X-User-Id": s.issuer + ":" + s.id, "X-User": s.issuer + ":" + s.user, "X-User-Email": s.email, "X-User-Name": s.name, "X-User-Roles": s.roles, "Authorization": "",
	}
	if s.ours {
		want["X-User"] = s.user
	}
	lines := map[string]string{"bearer": bearer(raw)}
	if cookie, ok := x.configs[s.issuer]["cookie"].(string); ok {
		lines["cookie"] = "Cookie: " + cookie + "=" + raw
	}
	if header, ok := x.configs[s.issuer]["header"].(string); ok {
		lines["header"] = header + ": " + raw
	}
	for _, p := range protocols() {
		for by, line := range lines {
			t.Run(p.name+", by "+by, func(t *testing.T) {
				probe := x.backend.probe(t)
				if got := p.send(x.site, t, request{host: appHost, target: "/x", header: []string{probe.header(), line}}); got.status != http.StatusOK {
					t.Fatal(got)
				}
				seen := probe.one()
				for header, value := range want {
					if got := seen.value(header); got != value {
						t.Errorf("%s: %q, want %q", header, got, value)
					}
				}
			})
		}
	}
}

// refusesForged sends what is not quite a token of the shape.
func (x shapeSite) refusesForged(t *testing.T, s shape) {
	t.Helper()
	forged := x.forgedHeaders(t, s)
	for name, raw := range x.forgedClaims(t, s) {
		forged[name] = raw
	}
	good := x.token(t, s, nil, nil)
	parts := strings.Split(good, ".")
	for name, raw := range map[string]string{
		"no signature": parts[0] + "." + parts[1] + ".", "two parts": parts[0] + "." + parts[1], "padded": good + "==", "cut": good[:len(good)-4], "zero signature": parts[0] + "." + parts[1] + "." + encode(make([]byte, 256)),
		"another's claims": parts[0] + "." + encode([]byte(x.claims(s).with(claims{"sub": "root", "username": "root"}).json())) + "." + parts[2],
		"another's key":    x.sign(t, s, x.header(s).json(), x.claims(s).json(), true),
		"a line break":     parts[0] + "." + parts[1] + ".\t" + parts[2],
	} {
		forged[name] = raw
	}
	probe := x.backend.probe(t)
	for name, raw := range forged {
		got := x.http2(t, request{host: appHost, target: "/x", header: []string{probe.header(), bearer(raw)}})
		pending := strings.HasPrefix(name, "header: kid, ") && got.status == http.StatusServiceUnavailable // until its issuer was asked
		if got.status != http.StatusUnauthorized && got.status != http.StatusBadRequest && !pending {
			t.Errorf("%s: %v, want 401", name, got)
		}
	}
	probe.none()
}

// forgedHeaders are tokens whose header is not what the issuer would write.
func (x shapeSite) forgedHeaders(t *testing.T, s shape) map[string]string {
	forged := map[string]string{}
	plain := x.claims(s).json()
	add := func(name, header string) { forged["header: "+name] = x.sign(t, s, header, plain, false) }
	for _, alg := range []any{"none", "None", "nOnE", "", nil, "HS512", "RS1", []string{"RS256"}} {
		header := x.header(s).with(claims{"alg": alg})
		forged[fmt.Sprint("alg unsigned ", alg)] = encode([]byte(header.json())) + "." + encode([]byte(plain)) + "."
		add(fmt.Sprint("alg ", alg), header.json())
	}
	for name, key := range x.publicKeys(t, s) {
		for alg, hash := range map[string]crypto.Hash{"HS256": crypto.SHA256, "HS512": crypto.SHA512} {
			forged["the public key as a secret, "+name+" "+alg] = hs(hash, key, x.header(s).with(claims{"alg": alg}).json(), plain)
		}
	}
	for _, typ := range []any{"vilogate-assertion+jwt", "rt+jwt", "logout+jwt", "dpop+jwt", "JWE", 7} {
		add(fmt.Sprint("typ ", typ), x.header(s).with(claims{"typ": typ}).json())
	}
	add("crit", x.header(s).with(claims{"crit": []string{"urn:unknown"}, "urn:unknown": true}).json())
	add("crit, empty", x.header(s).with(claims{"crit": []string{}}).json())
	add("b64", x.header(s).with(claims{"b64": false, "crit": []string{"b64"}}).json())
	add("zip", x.header(s).with(claims{"zip": "DEF"}).json())
	add("alg twice", prefixed(x.header(s), `"alg":"none"`))
	add("kid twice", prefixed(x.header(s), `"kid":"x","kid":"y"`))
	add("Alg beside alg", prefixed(x.header(s), `"Alg":"none"`))
	add("not UTF-8", prefixed(x.header(s), "\"x\":\"\xff\""))
	if s.alg != "HS256" {
		for name, kid := range map[string]any{"unknown": "unknown", "a path": "../../../../dev/null", "SQL": "' OR '1'='1", "a number": 7, "long": strings.Repeat("k", 300)} {
			add("kid, "+name, x.header(s).with(claims{"kid": kid}).json())
		}
	}
	embedded := x.header(s).with(claims{"jwk": json.RawMessage(x.ec.jwk()), "jku": x.keys.URL, "x5u": x.keys.URL, "x5c": []string{"MIIB"}})
	forged["a key of its own"] = x.sign(t, s, embedded.json(), plain, true)
	return forged
}

// publicKeys are the keys that everybody may have, in the forms that a careless verifier might take for a secret.
func (x shapeSite) publicKeys(t *testing.T, s shape) map[string][]byte {
	var public any = &x.rsa.PublicKey
	if s.alg == "ES256" {
		public = &x.elliptic.key.PublicKey
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), "DER": der, "JWK": []byte(x.keySet(s)), "empty": {},
	}
}

// forgedClaims are tokens that the issuer signed, and that are not for us, not now, or not readable in one way.
func (x shapeSite) forgedClaims(t *testing.T, s shape) map[string]string {
	forged := map[string]string{}
	now, plain := time.Now(), x.claims(s)
	raw := func(name, text string) { forged["claims: "+name] = x.sign(t, s, x.header(s).json(), text, false) }
	add := func(name string, changes claims) { raw(name, plain.with(changes).json()) }
	subject := "sub"
	if s.ours {
		subject = "username"
	}
	for name, changes := range map[string]claims{
		"expired": {"exp": now.Unix() - 1}, "no exp": {"exp": nil}, "exp a text": {"exp": "2099-01-01"}, "exp huge": {"exp": 1e300}, "exp before iat": {"exp": now.Unix() - 100, "iat": now.Unix() - 50},
		"nbf later": {"nbf": now.Add(time.Hour).Unix()}, "iat later": {"iat": now.Add(time.Hour).Unix()}, "no iat": {"iat": nil}, "nbf a text": {"nbf": "now"},
		"no subject": {subject: nil}, "an empty subject": {subject: ""}, "a line in the subject": {subject: "a\r\nX-User: root"}, "bidi in the subject": {subject: "a\u202eb"}, "a list as subject": {subject: []string{"a"}}, "a long subject": {subject: strings.Repeat("a", 256)},
		"another audience": {"aud": "https://elsewhere.example"}, "other audiences": {"aud": []string{"a", "b"}}, "audience a number": {"aud": 7},
		"a refresh token": {"token_type": "refresh"}, "Keycloak's refresh token": {"typ": "Refresh"}, "Cognito's refresh token": {"token_use": "refresh"}, "offline": {"typ": "Offline"},
		"another issuer": {"iss": "https://elsewhere.example"}, "our own IdP": {"iss": "https://login.viloforge.test"}, "the gateway": {"iss": "https://viloforge.test"}, "issuer a list": {"iss": []string{"a"}},
		"exp in another case": {"exp": nil, "EXP": now.Add(time.Hour).Unix()}, "a line in the address": {"email": "a@b\r\nX-User: root", "emails": "a\nb", "upn": "a\nb"},
	} {
		add(name, changes)
	}
	raw("the subject twice", prefixed(plain, `"`+subject+`":"root"`))
	raw("the subject twice, escaped", prefixed(plain, `"`+strings.Replace(subject, "u", `\u0075`, 1)+`":"root"`))
	raw("the subject in two cases", prefixed(plain, `"`+strings.ToUpper(subject)+`":"root"`))
	raw("exp twice", prefixed(plain, `"exp":1`))
	raw("twice, inside", prefixed(plain, `"z":{"a":1,"a":2}`))
	raw("deep", prefixed(plain, `"z":`+strings.Repeat("[", 500)+strings.Repeat("]", 500)))
	raw("a number that nobody can read", prefixed(plain, `"z":1e999`))
	raw("not UTF-8", prefixed(plain, "\"z\":\"\xff\""))
	raw("text behind", plain.json()+"{}")
	raw("no object", `"root"`)
	x.forgedFor(t, s, add)
	return forged
}

// forgedFor adds what is not for us by the issuer's own rule.
func (x shapeSite) forgedFor(t *testing.T, s shape, add func(string, claims)) {
	t.Helper()
	config := x.configs[s.issuer]
	if _, ok := config["issuer"]; ok {
		add("no issuer", claims{"iss": nil})
		add("the issuer with more", claims{"iss": config["issuer"].(string) + ".evil.example"})
		if _, listed := config["audience"].([]any); listed {
			add("no audience", claims{"aud": nil})
			add("an empty audience", claims{"aud": []string{}})
		}
	}
	ids, ok := config["client_ids"].([]any)
	if !ok {
		return
	}
	add("no client", claims{"client_id": nil, "azp": nil})
	add("another client", claims{"client_id": "evil", "azp": nil})
	add("another azp", claims{"client_id": nil, "azp": "evil"})
	add("another azp beside the client", claims{"client_id": ids[0], "azp": "evil"})
	add("another client beside azp", claims{"client_id": "evil", "azp": ids[0]})
	add("an audience too", claims{"aud": ids[0]})
	if !slices.Contains([]any{nil, "JWT"}, s.typ) {
		t.Errorf("typ %v", s.typ)
	}
}

// TestATokenOfTypeAtJWTHasAnAudience: where tokens without one are believed, one that says it has one is not.
func TestATokenOfTypeAtJWTHasAnAudience(t *testing.T) {
	t.Parallel()
	x := newShapeSite(t)
	s := shapes["Cognito, an access token"]
	x.accepts(t, s)
	for _, typ := range []string{"at+jwt", "application/at+jwt", "AT+JWT"} {
		if got := x.http1(t, request{host: appHost, target: "/x", header: []string{bearer(x.token(t, s, claims{"typ": typ}, nil))}}); got.status != http.StatusUnauthorized {
			t.Errorf("%s: %v, want 401", typ, got)
		}
	}
	old := hs(crypto.SHA256, []byte(shapeSecrets["${OLD_SIGNING_KEY}"]), x.header(shapes["SimpleJWT"]).json(), x.claims(shapes["SimpleJWT"]).json())
	if got := x.http1(t, request{host: appHost, target: "/x", header: []string{bearer(old)}}); got.status != http.StatusOK {
		t.Errorf("of the secret before: %v", got)
	}
}
