package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/viloforge/vilogate/upstreams/identity"
)

// TestNotesAreOfWhoeverTheAssertionNames signs with the standard library alone, as the gateway would.
func TestNotesAreOfWhoeverTheAssertionNames(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	set := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"k1","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
		t.Fatal(err)
	}
	kit, err := identity.New(identity.Config{JWKS: file, Issuer: "https://viloforge.com", Audience: "notes"})
	if err != nil {
		t.Fatal(err)
	}
	for audience, want := range map[string]int{"notes": http.StatusOK, "billing": http.StatusUnauthorized} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(identity.Header, assertion(t, key, audience))
		w := httptest.NewRecorder()
		notes(kit).ServeHTTP(w, r)
		if w.Code != want || want == http.StatusOK && w.Body.String() != "notes of alice (u-1)\n" {
			t.Errorf("an assertion for %s: %d %s", audience, w.Code, w.Body)
		}
	}
}

func assertion(t *testing.T, key *ecdsa.PrivateKey, audience string) string {
	t.Helper()
	now := time.Now().Unix()
	text := b64([]byte(`{"alg":"ES256","typ":"vilogate-assertion+jwt","kid":"k1"}`)) + "." +
		b64(fmt.Appendf(nil, `{"iss":"https://viloforge.com","aud":%q,"sub":"u-1","preferred_username":"alice","name":"Alice",`+
			`"email":"alice@viloforge.com","roles":[],"sid":"s-1","amr":["pwd"],"auth_time":%d,"iat":%d,"exp":%d}`, audience, now, now, now+60))
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
