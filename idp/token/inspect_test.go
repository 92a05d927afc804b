package token_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/idp/token"
)

// Whoever puts keys into a configuration is told of each that verifies nothing.
func TestEachEntryOfASetSaysWhyItIsNotUsed(t *testing.T) {
	t.Parallel()
	good := ecJWK(t, &newSigner(t).key.PublicKey).but("kid", "k")
	rsa := rsaJWK(&newRSA(t).PublicKey)
	for entry, want := range map[string]string{
		good.text(t):                                  "",
		good.but("d", "AAAA").text(t):                 token.ErrPrivateKey.Error(),
		good.but("kty", 7).but("d", "AAAA").text(t):   token.ErrPrivateKey.Error(),
		rsa.but("p", "AAAA").text(t):                  token.ErrPrivateKey.Error(),
		`{"kty":"oct","k":"c2VjcmV0"}`:                token.ErrPrivateKey.Error(),
		good.but("use", "enc").text(t):                `its use is "enc"`,
		good.but("key_ops", []string{"sign"}).text(t): "no verify",
		good.but("alg", "RS256").text(t):              `its alg "RS256" is none of ES256`,
		good.but("crv", "secp256k1").text(t):          `its crv "secp256k1" is none of`,
		good.but("x", good["x"].(string)+"=").text(t): "x is not base64url without padding",
		good.but("y", nil).text(t):                    "y is missing",
		good.but("kid", "a b").text(t):                "its kid is",
		`{"kty":"RSA","x5c":["MIIC"]}`:                "n is missing",
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`:         "RSA with 17 bits",
		`{"kty":"XYZ"}`:                               `its kty "XYZ" is none of`,
		`{}`:                                          "kty is missing",
		`null`:                                        "not an object",
	} {
		entries, err := token.InspectSet([]byte(`{"keys":[` + entry + `]}`))
		if err != nil || len(entries) != 1 {
			t.Fatalf("%s: %v, %v", entry, entries, err)
		}
		switch got := entries[0]; {
		case want == "" && got.Err != nil, want != "" && (got.Err == nil || !strings.Contains(got.Err.Error(), want)):
			t.Errorf("%s: %v, want %q", entry, got.Err, want)
		case (want == token.ErrPrivateKey.Error()) != errors.Is(got.Err, token.ErrPrivateKey):
			t.Errorf("%s: %v", entry, got.Err)
		}
		if keys, err := token.ParseSet([]byte(`{"keys":[` + entry + `]}`)); err != nil || (len(keys) > 0) != (want == "") {
			t.Errorf("%s: %d keys, %v", entry, len(keys), err)
		}
	}
}

// allows is a sender who may have so many more keys tried.
type allows int

func (a *allows) MayTryAnother() bool { *a--; return *a >= 0 }
func (a *allows) KeysFailed(int)      {}

// A token that does not say which key signed it costs more than one that does, and its sender is asked to pay.
func TestASenderPaysForKeysThatAreTried(t *testing.T) {
	t.Parallel()
	private := newRSA(t)
	keys := []jwkJSON{stranger(t), stranger(t), rsaJWK(&private.PublicKey).but("kid", "r1").but("alg", "RS256")}
	for name, test := range map[string]struct {
		kid   string
		may   allows
		want  error
		tries uint64
	}{
		"the first costs nothing": {"r1", 0, nil, 0},
		"enough":                  {"", 2, nil, 2},
		"too few":                 {"", 1, token.ErrTooManyKeys, 1},
		"none":                    {"", 0, token.ErrTooManyKeys, 0},
	} {
		w := trusting(t, keys...)
		raw := signedRSA(t, private, jwt.SigningMethodRS256, test.kid)
		if _, err := w.VerifyFrom(&test.may, raw, now); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if tries := w.Stats().Tries; tries != test.tries {
			t.Errorf("%s: %d tries", name, tries)
		}
		if _, err := w.Verify(raw, now); err != nil {
			t.Errorf("%s: nobody's: %v", name, err)
		}
		if _, err := w.VerifyFrom(new(allows), raw, now); err != nil {
			t.Errorf("%s: from memory: %v", name, err)
		}
	}
}
