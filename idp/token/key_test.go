package token_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

func TestAPrivateKeyComesBackAsItWas(t *testing.T) {
	t.Parallel()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := key.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := token.ParsePrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != key.ID() || !again.Public().Equal(key.Public()) || key.Public().Algorithm() != "ES256" || key.Public().ID() != key.ID() {
		t.Errorf("%v became %v", key, again)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, key); text != "private key "+key.ID() {
			t.Errorf("%s shows %s", verb, text)
		}
	}
}

func TestOnlyP256SignsHere(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{p384, edwards} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := token.ParsePrivateKey(der); err == nil {
			t.Errorf("took a %T", key)
		}
	}
	for _, der := range [][]byte{nil, {}, []byte("-----BEGIN PRIVATE KEY-----"), bytes.Repeat([]byte{0x30}, 1000)} {
		if _, err := token.ParsePrivateKey(der); err == nil {
			t.Errorf("took %x", der)
		}
	}
}

// The vectors of the RFCs.
const (
	rfc7638Key = `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256"}`
	rfc7638ID  = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"

	rfc8037Key   = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfc8037ID    = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	rfc8037Token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"

	rfc7515Key   = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	rfc7515Token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)

func parseOne(t testing.TB, jwk string) token.PublicKey {
	t.Helper()
	keys, err := token.ParseSet([]byte(`{"keys":[` + jwk + `]}`))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	return keys[0]
}

func TestThumbprintsOfTheRFCs(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{rfc7638Key: rfc7638ID, rfc8037Key: rfc8037ID} {
		if got := parseOne(t, key).ID(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// RFC 7515, A.3: the signature is good, so it is the claims that are missed, not the signature.
func TestSignatureOfRFC7515(t *testing.T) {
	t.Parallel()
	v, err := token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{
		{Name: "joe", ISS: "joe", Audiences: []string{"x"}, Keys: jwks.Static([]token.PublicKey{parseOne(t, rfc7515Key)})},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(rfc7515Token, now); !errors.Is(err, token.ErrInvalid) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("%v", err)
	}
	key := jwt.SigningMethodES256
	cut := strings.LastIndexByte(rfc7515Token, '.')
	signature, err := jwt.NewParser().DecodeSegment(rfc7515Token[cut+1:])
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(rfc7515Token[:cut], signature, verifierOf(t, rfc7515Key)); err != nil {
		t.Errorf("RFC 7515, A.3: %v", err)
	}
	cut = strings.LastIndexByte(rfc8037Token, '.')
	if signature, err = jwt.NewParser().DecodeSegment(rfc8037Token[cut+1:]); err != nil {
		t.Fatal(err)
	}
	if err := jwt.SigningMethodEdDSA.Verify(rfc8037Token[:cut], signature, verifierOf(t, rfc8037Key)); err != nil {
		t.Errorf("RFC 8037, A.4: %v", err)
	}
}

func TestEveryAlgorithmVerifies(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []jwt.SigningMethod{
		jwt.SigningMethodES256, jwt.SigningMethodES384, jwt.SigningMethodES512, jwt.SigningMethodEdDSA,
		jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512,
		jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512,
	} {
		t.Run(method.Alg(), func(t *testing.T) {
			t.Parallel()
			var private any = rsaKey
			var public jwkJSON
			switch m := method.(type) {
			case *jwt.SigningMethodECDSA:
				curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[m.Alg()]
				key, err := ecdsa.GenerateKey(curve, rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				private, public = key, ecJWK(t, &key.PublicKey)
			case *jwt.SigningMethodEd25519:
				key, edwards, err := ed25519.GenerateKey(rand.Reader)
				if err != nil {
					t.Fatal(err)
				}
				private, public = edwards, jwkJSON{"kty": "OKP", "crv": "Ed25519", "x": b64(key)}
			default:
				public = rsaJWK(&rsaKey.PublicKey)
			}
			public["alg"] = method.Alg()
			key := parseOne(t, public.text(t))
			if key.Algorithm() != method.Alg() {
				t.Fatalf("bound to %s", key.Algorithm())
			}
			w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].Keys = jwks.Static([]token.PublicKey{key}) })
			sign := func(method jwt.SigningMethod, private any) string {
				raw, err := jwt.NewWithClaims(method, jwt.MapClaims(partner())).SignedString(private)
				if err != nil {
					t.Fatal(err)
				}
				return raw
			}
			if _, err := w.Verify(sign(method, private), now); err != nil {
				t.Errorf("%v", err)
			}
			// The same RSA key under any other algorithm is not what it was published for.
			if _, ok := public["n"]; ok {
				for _, other := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodPS256, jwt.SigningMethodPS512} {
					if _, err := w.Verify(sign(other, private), now); other != method && !errors.Is(err, token.ErrInvalid) {
						t.Errorf("as %s: %v", other.Alg(), err)
					}
				}
			}
		})
	}
}

// RFC 7518, section 3.5: the salt of RSASSA-PSS is as long as its hash (Wycheproof: SaltLenChanged).
func TestTheSaltOfPSSIsAsLongAsItsHash(t *testing.T) {
	t.Parallel()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, method := range []*jwt.SigningMethodRSAPSS{jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
		key := parseOne(t, rsaJWK(&private.PublicKey).but("alg", method.Alg()).text(t))
		w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].Keys = jwks.Static([]token.PublicKey{key}) })
		for _, salt := range []int{rsa.PSSSaltLengthEqualsHash, method.Hash.Size(), 0, 8, 20, method.Hash.Size() - 1, method.Hash.Size() + 1, rsa.PSSSaltLengthAuto} {
			salted := *method
			salted.Options = &rsa.PSSOptions{SaltLength: salt}
			raw, err := jwt.NewWithClaims(&salted, jwt.MapClaims(partner())).SignedString(private)
			if err != nil {
				t.Fatal(err)
			}
			if salt == rsa.PSSSaltLengthEqualsHash || salt == method.Hash.Size() {
				if _, err := w.Verify(raw, now); err != nil {
					t.Errorf("%s: %v", method.Alg(), err)
				}
				continue
			}
			refused(t, w, raw)
		}
	}
}

// Our own IdP signs with ES256, and nothing else counts as its own whatever its key set says.
func TestOurOwnIdPSignsWithES256Alone(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := parseOne(t, ecJWK(t, &private.PublicKey).text(t))
	w := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[0].Keys = jwks.Static([]token.PublicKey{key}) })
	signed := jwt.NewWithClaims(jwt.SigningMethodES384, jwt.MapClaims(own()))
	signed.Header["typ"], signed.Header["kid"] = "at+jwt", key.ID()
	raw, err := signed.SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, w, raw)
}

type jwkJSON map[string]any

func (j jwkJSON) text(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (j jwkJSON) but(name string, v any) jwkJSON { return jwkJSON(claims(j).but(claims{name: v})) }

func ecJWK(t testing.TB, key *ecdsa.PublicKey) jwkJSON {
	t.Helper()
	point, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half := (len(point) - 1) / 2
	return jwkJSON{"kty": "EC", "crv": key.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
}

func rsaJWK(key *rsa.PublicKey) jwkJSON {
	return jwkJSON{"kty": "RSA", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

// verifierOf reads a key without our own parser.
func verifierOf(t testing.TB, text string) any {
	t.Helper()
	var k struct{ Kty, X, Y string }
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		t.Fatal(err)
	}
	x, errX := jwt.NewParser().DecodeSegment(k.X)
	y, errY := jwt.NewParser().DecodeSegment(k.Y)
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	if k.Kty == "OKP" {
		return ed25519.PublicKey(x)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestZeroKey(t *testing.T) {
	t.Parallel()
	var none token.PublicKey
	if !none.IsZero() || !none.Equal(token.PublicKey{}) || none.Equal(newSigner(t).private.Public()) {
		t.Error("the zero value is a key")
	}
	if _, err := jwks.Static(nil).Key("", time.Time{}); !errors.Is(err, token.ErrUnknownKey) {
		t.Errorf("%v", err)
	}
}
