package main_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// signer is an ES256 key pair with which a test is an issuer, so that it can sign what no honest one would.
type signer struct {
	tb  testing.TB
	key *ecdsa.PrivateKey
	kid string
}

func newSigner(tb testing.TB) signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s := signer{tb: tb, key: key}
	x, y := s.coordinates()
	thumbprint := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	s.kid = encode(thumbprint[:])
	return s
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (s signer) coordinates() (x, y string) {
	s.tb.Helper()
	point, err := s.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		s.tb.Fatal(err)
	}
	return encode(point[1:33]), encode(point[33:])
}

func (s signer) jwk() string {
	x, y := s.coordinates()
	return `{"kty":"EC","crv":"P-256","use":"sig","alg":"ES256","kid":"` + s.kid + `","x":"` + x + `","y":"` + y + `"}`
}

// sign signs any header and any claims, valid JSON or not.
func (s signer) sign(header, claims string) string {
	s.tb.Helper()
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	return input + "." + encode(s.signature(input))
}

func (s signer) signature(input string) []byte {
	s.tb.Helper()
	digest := sha256.Sum256([]byte(input))
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		s.tb.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	v.FillBytes(signature[32:])
	return signature
}

// malleated is the same token with the other valid form of its ES256 signature (malleability): (r, n-s) instead of (r, s).
func malleated(tb testing.TB, raw string) string {
	tb.Helper()
	cut := strings.LastIndexByte(raw, '.')
	signature, err := base64.RawURLEncoding.DecodeString(raw[cut+1:])
	if err != nil || len(signature) != 64 {
		tb.Fatalf("a signature of %d bytes: %v", len(signature), err)
	}
	v := new(big.Int).SetBytes(signature[32:])
	v.Sub(elliptic.P256().Params().N, v).FillBytes(signature[32:])
	return raw[:cut+1] + encode(signature)
}

// hs signs with a shared secret.
func hs(hash crypto.Hash, secret []byte, header, claims string) string {
	input := encode([]byte(header)) + "." + encode([]byte(claims))
	mac := hmac.New(hash.New, secret)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// claims are a token's claims as a test changes them.
type claims map[string]any

// with returns the claims with some changed; a nil value leaves the claim out.
func (c claims) with(changes claims) claims {
	changed := claims{}
	for _, from := range []claims{c, changes} {
		for name, value := range from {
			if value == nil {
				delete(changed, name)
				continue
			}
			changed[name] = value
		}
	}
	return changed
}

func (c claims) json() string {
	data, err := json.Marshal(c)
	if err != nil {
		panic(err) // a test wrote something that is not JSON
	}
	return string(data)
}

// header is a JOSE header of a token signed by s.
func (s signer) header(changes claims) string {
	return claims{"alg": "ES256", "typ": "at+jwt", "kid": s.kid}.with(changes).json()
}

// good are the claims of an access token of our own IdP, for the domain viloforge.test.
func good(user string, changes claims) claims {
	now := time.Now()
	return claims{
		"iss": "https://login.viloforge.test", "aud": "viloforge", "sub": "id-of-" + user, "jti": rand.Text(), "sid": rand.Text(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(), "amr": []string{"pwd"},
		"preferred_username": user, "name": user, "email": user + "@viloforge.test", "roles": []string{"member"},
	}.with(changes)
}

// verifyES256 verifies a token with the keys that the site's gateway publishes, and returns its header and claims.
func verifyES256(tb testing.TB, s *site, raw string) (header, payload map[string]any) {
	tb.Helper()
	published := s.client().get(s.url("app", "/.well-known/vilogate/jwks.json"))
	set := object[struct {
		Keys []struct{ Kid, Kty, Crv, X, Y string }
	}](tb, published)
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		tb.Fatalf("an assertion of %d parts", len(parts))
	}
	var decoded [3][]byte
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(json.Unmarshal(decoded[0], &header), json.Unmarshal(decoded[1], &payload)); err != nil {
		tb.Fatal(err)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, k := range set.Keys {
		if k.Kid != header["kid"] || k.Kty != "EC" || k.Crv != "P-256" {
			continue
		}
		x, errX := base64.RawURLEncoding.DecodeString(k.X)
		y, errY := base64.RawURLEncoding.DecodeString(k.Y)
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
		if err := errors.Join(errX, errY, err); err != nil {
			tb.Fatal(err)
		}
		r, v := new(big.Int).SetBytes(decoded[2][:32]), new(big.Int).SetBytes(decoded[2][32:])
		if !ecdsa.Verify(key, digest[:], r, v) {
			tb.Fatal("the assertion's signature does not verify")
		}
		return header, payload
	}
	tb.Fatalf("no published key has the kid %v: %v", header["kid"], published)
	return nil, nil
}

// keyServer publishes a key set, counts who asks for it, and can be told to misbehave.
type keyServer struct {
	*httptest.Server
	fetches atomic.Int32
	broken  atomic.Pointer[http.HandlerFunc] // answers instead, when set
}

// publishKeys serves the keys at /.well-known/jwks.json; everything else says which page it would have been.
func publishKeys(tb testing.TB, keys ...signer) *keyServer {
	tb.Helper()
	var list []string
	for _, k := range keys {
		list = append(list, k.jwk())
	}
	set := `{"keys":[` + strings.Join(list, ",") + `]}`
	s := &keyServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/jwks.json" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<!doctype html><title>page</title><p>%s", r.URL.Path)
			return
		}
		s.fetches.Add(1)
		if broken := s.broken.Load(); broken != nil {
			(*broken)(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json")
		fmt.Fprint(w, set)
	}))
	tb.Cleanup(s.Close)
	return s
}
