package token_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

func TestSetsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	a, b := newSigner(t).private.Public(), newSigner(t).private.Public()
	keys, err := token.ParseSet(token.MarshalSet([]token.PublicKey{a, b}))
	if err != nil || len(keys) != 2 || !keys[0].Equal(a) || !keys[1].Equal(b) || keys[0].ID() != a.ID() || keys[0].Equal(b) {
		t.Errorf("%v, %v", keys, err)
	}
	if keys, err := token.ParseSet(token.MarshalSet(nil)); err != nil || len(keys) != 0 {
		t.Errorf("an empty set: %v, %v", keys, err)
	}
	if !json.Valid(a.JSON()) || !strings.Contains(string(a.JSON()), `"use":"sig","alg":"ES256"`) || strings.Contains(string(a.JSON()), `"d"`) {
		t.Errorf("%s", a.JSON())
	}
}

func TestKeySets(t *testing.T) {
	t.Parallel()
	good := ecJWK(t, &newSigner(t).key.PublicKey)
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Log("the library makes no such key any more")
		short = &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}}
	}
	rsaKey := jwkJSON{}
	if err := json.Unmarshal([]byte(rfc7638Key), &rsaKey); err != nil {
		t.Fatal(err)
	}
	list := func(keys ...jwkJSON) string { return `{"keys":[` + joinKeys(t, keys) + `]}` }
	hundred := make([]jwkJSON, 101)
	for i := range hundred {
		hundred[i] = good.but("kid", fmt.Sprint(i))
	}
	const broken = -1
	null := json.RawMessage("null")
	for name, test := range map[string]struct {
		set  string
		want int
	}{
		"one":                           {list(good), 1},
		"with its own algorithm":        {list(good.but("alg", "ES256")), 1},
		"with other members":            {list(good.but("x5t", "AA").but("nbf", 7)), 1},
		"beside other members":          {`{"a":[1,{"b":null}],"keys":[` + good.text(t) + `]}`, 1},
		"none":                          {`{"keys":[]}`, 0},
		"for encryption":                {list(good.but("use", "enc")), 0},
		"operations without verify":     {list(good.but("key_ops", []string{"sign"})), 0},
		"operations with verify":        {list(good.but("key_ops", []string{"verify"})), 1},
		"RSA, for any algorithm":        {list(rsaKey.but("alg", nil)), 6},
		"unused members that are null":  {list(good.but("kid", null).but("use", null).but("key_ops", null).but("x5c", null).but("alg", null)), 1},
		"unknown type":                  {list(jwkJSON{"kty": "XYZ"}, good), 1},
		"a shared secret":               {list(jwkJSON{"kty": "oct", "k": b64([]byte(secret)), "alg": "HS256"}), 0},
		"algorithm none":                {list(good.but("alg", "none")), 0},
		"another type's algorithm":      {list(good.but("alg", "RS256")), 0},
		"another curve's algorithm":     {list(good.but("alg", "ES384")), 0},
		"a shared secret's algorithm":   {list(good.but("alg", "HS256")), 0},
		"its private half beside it":    {list(good.but("d", b64(make([]byte, 32)))), 0},
		"unknown curve":                 {list(good.but("crv", "secp256k1")), 0},
		"X25519":                        {list(jwkJSON{"kty": "OKP", "crv": "X25519", "x": b64(make([]byte, 32))}), 0},
		"RSA":                           {list(rsaKey), 1},
		"RSA, PS256":                    {list(rsaKey.but("alg", "PS256")), 1},
		"RSA, encryption":               {list(rsaKey.but("alg", "RSA-OAEP")), 0},
		"RSA, 1024 bits":                {list(rsaJWK(&short.PublicKey)), 0},
		"RSA, 16,384 bits":              {list(rsaKey.but("n", b64(bytes.Repeat([]byte{0xff}, 2048)))), 0},
		"RSA, even modulus":             {list(rsaKey.but("n", b64(append(bytes.Repeat([]byte{0xff}, 255), 0xfe)))), 0},
		"RSA, exponent 1":               {list(rsaKey.but("e", "AQ")), 0},
		"RSA, even exponent":            {list(rsaKey.but("e", "AQAA")), 0},
		"RSA, huge exponent":            {list(rsaKey.but("e", b64(bytes.Repeat([]byte{0xff}, 100)))), 0},
		"RSA, no exponent":              {list(rsaKey.but("e", nil)), 0},
		"not on the curve":              {list(good.but("x", b64(bytes.Repeat([]byte{1}, 32)))), 0},
		"at infinity":                   {list(good.but("x", b64(make([]byte, 32))).but("y", b64(make([]byte, 32)))), 0},
		"a short coordinate":            {list(good.but("x", b64(make([]byte, 31)))), 0},
		"no coordinate":                 {list(good.but("y", nil)), 0},
		"padded":                        {list(good.but("x", good["x"].(string)+"=")), 0},
		"stray bits":                    {list(good.but("x", good["x"].(string)[:42]+"B")), 0},
		"a coordinate that is a number": {list(good.but("x", 7)), 0},
		"Ed25519, short":                {list(jwkJSON{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), 0},
		"no type":                       {list(good.but("kty", nil)), 0},
		"a hostile id":                  {list(good.but("kid", "a\nb")), 0},
		"an id that is a number":        {list(good.but("kid", 7)), 0},
		"no object":                     {`{"keys":["x"]}`, 0},
		"no list":                       {`{"keys":{}}`, broken},
		"no keys":                       {`{}`, broken},
		"two lists":                     {`{"keys":[],"keys":[` + good.text(t) + `]}`, broken},
		"a list alone":                  {`[` + good.text(t) + `]`, broken},
		"empty":                         {``, broken},
		"HTML":                          {`<html></html>`, broken},
		"a hundred":                     {list(hundred[:100]...), 100},
		"more than a hundred":           {list(hundred...), broken},
		"too long":                      {list(good) + strings.Repeat(" ", 256<<10), broken},
		"too deep":                      {`{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `,"keys":[]}`, broken},
		"too many values":               {`{"x":[` + strings.Repeat("1,", 10_000) + `1],"keys":[]}`, broken},
	} {
		keys, err := token.ParseSet([]byte(test.set))
		switch {
		case test.want == broken && err == nil:
			t.Errorf("%s: taken", name)
		case test.want != broken && (err != nil || len(keys) != test.want):
			t.Errorf("%s: %d keys, %v, want %d", name, len(keys), err, test.want)
		}
	}
}

// RFC 7517, section 5: what cannot be read among the keys does not take the others with it.
func TestOneOddKeyRefusesNoOther(t *testing.T) {
	t.Parallel()
	good := ecJWK(t, &newSigner(t).key.PublicKey).but("kid", "good")
	rsaKey := jwkJSON{}
	if err := json.Unmarshal([]byte(rfc7638Key), &rsaKey); err != nil {
		t.Fatal(err)
	}
	for name, odd := range map[string]string{
		"padded base64url": rsaKey.but("n", rsaKey["n"].(string)+"==").text(t),
		"a null":           "null",
		"a text":           `"x"`,
		"a kid of two":     good.but("kid", "key 2").text(t),
		"a kid that is 7":  good.but("kid", 7).text(t),
		"x5c alone":        `{"kty":"RSA","kid":"c","x5c":["MIIC"]}`,
		"EC without y":     good.but("y", nil).text(t),
		"no kty":           `{"kid":"x"}`,
		"off the curve":    good.but("x", b64(bytes.Repeat([]byte{1}, 32))).text(t),
	} {
		for _, set := range []string{odd + "," + good.text(t), good.text(t) + "," + odd} {
			keys, malformed, err := token.ParsePublished([]byte(`{"keys":[` + set + `]}`))
			if err != nil || len(keys) != 1 || keys[0].ID() != "good" || malformed != 1 {
				t.Errorf("%s: %d keys, %d malformed, %v", name, len(keys), malformed, err)
			}
		}
	}
}

// Which key of a set: RFC 7517 leaves kid and alg out at will, and issuers do.
func TestWhichKeyOfASet(t *testing.T) {
	t.Parallel()
	private, old := newRSA(t), newRSA(t)
	bare := rsaJWK(&private.PublicKey)
	named := bare.but("kid", "r1")
	ec := ecJWK(t, &newSigner(t).key.PublicKey).but("kid", "e")
	for name, test := range map[string]struct {
		set    []jwkJSON
		method jwt.SigningMethod
		kid    string
	}{
		"one kid, PS256 before RS256":              {[]jwkJSON{named.but("alg", "PS256"), named.but("alg", "RS256")}, jwt.SigningMethodRS256, "r1"},
		"one kid, PS256 behind RS256":              {[]jwkJSON{named.but("alg", "RS256"), named.but("alg", "PS256")}, jwt.SigningMethodPS256, "r1"},
		"no kid in the token, a key of another":    {[]jwkJSON{named.but("alg", "RS256"), ec}, jwt.SigningMethodRS256, ""},
		"no kid in the token, an older key":        {[]jwkJSON{rsaJWK(&old.PublicKey).but("kid", "old"), named}, jwt.SigningMethodRS256, ""},
		"no kid in the token, a fourth key":        {[]jwkJSON{stranger(t), stranger(t), stranger(t), named}, jwt.SigningMethodRS256, ""},
		"no kid in the only key, one in the token": {[]jwkJSON{bare}, jwt.SigningMethodRS256, "r1"},
		"no kid anywhere":                          {[]jwkJSON{bare}, jwt.SigningMethodRS256, ""},
		"no alg in the key, RS512":                 {[]jwkJSON{named}, jwt.SigningMethodRS512, "r1"},
		"no alg in the key, PS256":                 {[]jwkJSON{named}, jwt.SigningMethodPS256, "r1"},
	} {
		w := trusting(t, test.set...)
		raw := signedRSA(t, private, test.method, test.kid)
		for range 2 { // the second from memory
			if _, err := w.Verify(raw, now); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, test := range map[string]struct {
		set    []jwkJSON
		method jwt.SigningMethod
		kid    string
	}{
		"a kid that no key has":               {[]jwkJSON{named}, jwt.SigningMethodRS256, "r2"},
		"an algorithm that the key is not of": {[]jwkJSON{named.but("alg", "RS256")}, jwt.SigningMethodPS256, "r1"},
		"another key of that kid":             {[]jwkJSON{rsaJWK(&old.PublicKey).but("kid", "r1")}, jwt.SigningMethodRS256, "r1"},
		"no kid, none of the keys":            {[]jwkJSON{rsaJWK(&old.PublicKey), ec}, jwt.SigningMethodRS256, ""},
		"no kid, a fifth key":                 {[]jwkJSON{stranger(t), stranger(t), stranger(t), stranger(t), named}, jwt.SigningMethodRS256, ""},
	} {
		t.Run(name, func(t *testing.T) { refused(t, trusting(t, test.set...), signedRSA(t, private, test.method, test.kid)) })
	}
}

// trusting is a world whose partner publishes these keys.
func trusting(t *testing.T, keys ...jwkJSON) world {
	t.Helper()
	set, err := token.ParseSet([]byte(`{"keys":[` + joinKeys(t, keys) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].Keys = jwks.Static(set) })
}

func newRSA(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stranger is an RSA key that has signed nothing.
func stranger(t *testing.T) jwkJSON {
	t.Helper()
	modulus := make([]byte, 256)
	if _, err := rand.Read(modulus); err != nil {
		t.Fatal(err)
	}
	modulus[0], modulus[255] = modulus[0]|0x80, modulus[255]|1
	return jwkJSON{"kty": "RSA", "n": b64(modulus), "e": "AQAB", "kid": b64(modulus[:8]), "alg": "RS256"}
}

func signedRSA(t *testing.T, key *rsa.PrivateKey, method jwt.SigningMethod, kid string) string {
	t.Helper()
	signed := jwt.NewWithClaims(method, jwt.MapClaims(partner()))
	if kid != "" {
		signed.Header["kid"] = kid
	}
	raw, err := signed.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func joinKeys(t testing.TB, keys []jwkJSON) string {
	t.Helper()
	texts := make([]string, len(keys))
	for i, k := range keys {
		texts[i] = k.text(t)
	}
	return strings.Join(texts, ",")
}
