package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/viloforge/vilogate/idp/token"
)

// fixedSigner has the key of RFC 7515, A.3, so that a corpus stays good from one run to the next.
func fixedSigner(t testing.TB) signer {
	t.Helper()
	d, err := base64.RawURLEncoding.DecodeString("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := token.ParsePrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, private}
}

// fixedWorld trusts the one key for both issuers that have one.
func fixedWorld(t testing.TB) (world, signer) {
	s := fixedSigner(t)
	keys := token.KeySourceFunc(func(kid string, _ time.Time) (token.PublicKey, error) {
		if kid != s.private.ID() {
			return token.PublicKey{}, token.ErrUnknownKey
		}
		return s.private.Public(), nil
	})
	return newWorld(t, func(c *token.VerifierConfig) { c.Issuers[0].Keys, c.Issuers[1].Keys = keys, keys }), s
}

// However a token is bent, what is accepted was signed: it differs from a token that its issuer made in the spelling
// of the signature at most.
func FuzzVerify(f *testing.F) {
	w, s := fixedWorld(f)
	signed := map[string]bool{}
	for _, raw := range []string{
		s.sign(f, nil, own()), s.sign(f, claims{"typ": "JWT"}, partner()), s.sign(f, claims{"crit": []string{"x"}}, own()),
		w.legacy(f, guide()), guideAlice, rfc7515Token, rfc8037Token,
		b64([]byte(`{"alg":"none"}`)) + "." + b64([]byte(own().json(f))) + ".", "a.b.c", "....", strings.Repeat("e30.", 100),
	} {
		f.Add(raw)
		signed[raw[:strings.LastIndexByte(raw, '.')]] = true
	}
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := w.Verify(raw, now)
		if (c == nil) == (err == nil) {
			t.Fatalf("claims %v, error %v", c, err)
		}
		if err == nil && !signed[raw[:strings.LastIndexByte(raw, '.')]] {
			t.Fatalf("took %q", raw)
		}
	})
}

// Whatever an issuer signs, what is accepted reads the same to a backend with encoding/json, which folds case and
// lets the last of two members win; and nothing that leaves here could break a header.
func FuzzSignedClaims(f *testing.F) {
	w, s := fixedWorld(f)
	header := s.header(nil).json(f)
	for _, payload := range []claims{own(), partner(), guide(), own().but(claims{"SUB": "x"}), own().but(claims{"exp": 1.5e9}), partner().but(claims{"groups": "a b"})} {
		f.Add(header, payload.json(f))
	}
	f.Add(header, `{"sub":"a","sub":"b"}`)
	f.Add(`{"alg":"none"}`, own().json(f))
	f.Add(`{"alg":"HS256","typ":"JWT"}`, guide().json(f))
	f.Fuzz(func(t *testing.T, header, payload string) {
		for _, raw := range []string{s.raw(t, header, payload), hmacSign(crypto.SHA256, []byte(secret), header, payload)} {
			c, err := w.Verify(raw, now)
			if err != nil {
				continue
			}
			var lenient struct {
				Iss, Username, Jti, Sid string
				Sub                     textOrDigits
				Exp                     float64
				Roles                   any
			}
			if err := json.Unmarshal([]byte(payload), &lenient); err != nil {
				t.Fatalf("encoding/json refuses %q: %v", payload, err)
			}
			subject := map[string]string{"vilogate": string(lenient.Sub), "partner": "partner:" + string(lenient.Sub), "legacy-django": "legacy-django:" + lenient.Username}[c.IssuerName()]
			if c.Subject() != subject || c.ISS() != lenient.Iss || c.ID() != lenient.Jti || c.Session() != lenient.Sid || c.Expires().Unix() != int64(lenient.Exp) {
				t.Fatalf("%q is %+v here and %+v to encoding/json", payload, c, lenient)
			}
			for _, text := range append([]string{c.Subject(), c.User(), c.Session(), c.ID(), c.Email(), c.Name()}, append(c.Roles(), c.AMR()...)...) {
				if strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }) {
					t.Fatalf("%q lets %q through", payload, text)
				}
			}
		}
	})
}

// textOrDigits is a subject: a text, or a number as it stands there.
type textOrDigits string

func (s *textOrDigits) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, (*string)(s))
	}
	*s = textOrDigits(data)
	return nil
}

// A key that is taken is one that comes back as it was, and is never a shared secret, a weak one or a half-given one.
func FuzzParseSet(f *testing.F) {
	for _, key := range []string{rfc7638Key, rfc8037Key, rfc7515Key, `{"kty":"oct","k":"AAAA"}`, `{"kty":"RSA","n":"AQAB","e":"AQAB"}`} {
		f.Add([]byte(`{"keys":[` + key + `]}`))
	}
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}],"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := token.ParseSet(data)
		if err != nil {
			return
		}
		again, err := token.ParseSet(token.MarshalSet(keys))
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%q: %d keys became %d: %v", data, len(keys), len(again), err)
		}
		for i, k := range keys {
			if !k.Equal(again[i]) || k.ID() != again[i].ID() || k.ID() == "" || strings.HasPrefix(k.Algorithm(), "HS") {
				t.Fatalf("%q: %s became %s", data, k.JSON(), again[i].JSON())
			}
			var n struct{ N string }
			if err := json.Unmarshal(k.JSON(), &n); err != nil {
				t.Fatal(err)
			}
			if modulus, err := base64.RawURLEncoding.DecodeString(n.N); err != nil || n.N != "" && new(big.Int).SetBytes(modulus).BitLen() < 2048 {
				t.Fatalf("took %s", k.JSON())
			}
		}
	})
}
