package token_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

const (
	ownISS     = "https://login.example.test"
	partnerISS = "https://id.partner.test"
	gatewayISS = "https://example.test"
	audience   = "example"
	secret     = "a secret of the guide, 32 bytes or more"
)

var now = time.Date(2026, 11, 24, 2, 10, 0, 0, time.UTC)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// claims are a token's claims as a test changes them.
type claims map[string]any

// but returns the claims with some changed; nil leaves a claim out.
func (c claims) but(changes claims) claims {
	changed := maps.Clone(c)
	for name, v := range changes {
		if v == nil {
			delete(changed, name)
		} else {
			changed[name] = v
		}
	}
	return changed
}

func (c claims) json(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// own are the claims of an access token of our own IdP.
func own() claims {
	return claims{
		"iss": ownISS, "aud": audience, "sub": "01J-alice", "jti": "token-1", "sid": "session-1",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(),
		"amr": []string{"pwd"}, "preferred_username": "alice", "name": "Alice A.", "email": "alice@example.test",
		"roles": []string{"member"},
	}
}

// partner are the claims of a token of an issuer with a key set.
func partner() claims {
	return claims{
		"iss": partnerISS, "aud": audience, "sub": "77", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"preferred_username": "Carol", "groups": []any{"admins", "Not A Role", 7, "billing"},
	}
}

// guide are the claims of the guide's tokens.
func guide() claims {
	return claims{
		"username": "alice", "email": "alice@example.test",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// signer is a P-256 key with which a test signs what no honest issuer would.
type signer struct {
	key     *ecdsa.PrivateKey
	private *token.PrivateKey // the same key
}

func newSigner(t testing.TB) signer {
	t.Helper()
	private, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	der, err := private.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return signer{parseEC(t, der), private}
}

// raw signs any two texts.
func (s signer) raw(t testing.TB, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := sha256.Sum256([]byte(input))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return input + "." + b64(signature)
}

func (s signer) header(changes claims) claims {
	return claims{"alg": "ES256", "typ": "at+jwt", "kid": s.private.ID()}.but(changes)
}

func (s signer) sign(t testing.TB, header, payload claims) string {
	t.Helper()
	return s.raw(t, s.header(header).json(t), payload.json(t))
}

func hmacSign(hash crypto.Hash, key []byte, header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	mac := hmac.New(hash.New, key)
	mac.Write([]byte(input))
	return input + "." + b64(mac.Sum(nil))
}

// world is a verifier with all three kinds of issuer.
type world struct {
	idp, other signer
	config     token.VerifierConfig
	*token.Verifier
}

func newWorld(t testing.TB, change ...func(*token.VerifierConfig)) world {
	t.Helper()
	w := world{idp: newSigner(t), other: newSigner(t)}
	w.config = token.VerifierConfig{
		Issuers: []token.IssuerConfig{
			{
				Name: token.OwnIssuer, ISS: ownISS, Audiences: []string{audience}, Own: true, Cookie: "__Secure-sso",
				Keys: jwks.Static([]token.PublicKey{w.idp.private.Public()}),
			},
			{
				Name: "partner", ISS: partnerISS, Audiences: []string{"other", audience}, ClaimRoles: "groups",
				Keys: jwks.Static([]token.PublicKey{w.other.private.Public()}),
			},
			{
				Name: "legacy-django", Secret: []byte(secret), Algorithm: "HS256", Cookie: "jwt",
				ClaimUser: "username", ClaimEmail: "email",
			},
		},
		Refuse: []string{gatewayISS},
	}
	for _, c := range change {
		c(&w.config)
	}
	v, err := token.NewVerifier(w.config)
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = v
	return w
}

func (w world) legacy(t testing.TB, payload claims) string {
	t.Helper()
	return hmacSign(crypto.SHA256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, payload.json(t))
}

// otherSpelling gives the token with the second valid spelling of its signature: (r, n-s).
func otherSpelling(t testing.TB, raw string) string {
	t.Helper()
	cut := strings.LastIndexByte(raw, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(raw[cut:])
	if err != nil {
		t.Fatal(err)
	}
	mirror(signature[32:], elliptic.P256().Params().N)
	return raw[:cut] + b64(signature)
}

func mirror(s []byte, n *big.Int) {
	v := new(big.Int).SetBytes(s)
	v.Sub(n, v).FillBytes(s)
}

func parseEC(t testing.TB, der []byte) *ecdsa.PrivateKey {
	t.Helper()
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PrivateKey)
}
