package token_test

import (
	"crypto"
	_ "crypto/sha512" // HS384 and HS512 for hmacSign
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

func hashOf(algorithm string) crypto.Hash {
	return map[string]crypto.Hash{"HS256": crypto.SHA256, "HS384": crypto.SHA384, "HS512": crypto.SHA512}[algorithm]
}

// refused fails the test unless the token is refused as an invalid one that claims to be of a configured issuer,
// whether or not it is seen first, and by VerifySignature too; and unless the reason keeps the token to itself.
func refused(t *testing.T, w world, raw string) {
	t.Helper()
	for range 2 {
		if c, err := w.Verify(raw, now); !errors.Is(err, token.ErrInvalid) {
			t.Fatalf("claims %+v, error %v", c, err)
		}
	}
	_, err := w.VerifySignature(raw)
	if !errors.Is(err, token.ErrInvalid) {
		t.Fatalf("by signature: %v", err)
	}
	for segment := range strings.SplitSeq(raw, ".") {
		if len(segment) > 8 && strings.Contains(err.Error(), segment) {
			t.Fatalf("the error quotes the token: %v", err)
		}
	}
}

// CVE-2015-9235.
func TestAlgorithmNoneInEverySpelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signature := w.idp.sign(t, nil, own())
	signature = signature[strings.LastIndexByte(signature, '.')+1:]
	for _, alg := range []string{"none", "None", "NONE", "nOnE", " none", "none ", "none\u0000", "", "nonе", "null"} {
		for _, payload := range []claims{own(), partner(), guide()} {
			for _, signature := range []string{"", signature, "AA"} {
				unsigned := b64([]byte(w.idp.header(claims{"alg": alg}).json(t))) + "." + b64([]byte(payload.json(t))) + "."
				refused(t, w, unsigned+signature)
			}
		}
	}
	for _, alg := range []string{`null`, `["none"]`, `{"none":1}`, `0`, `true`, `["ES256"]`} {
		header := `{"alg":` + alg + `,"typ":"at+jwt","kid":"` + w.idp.private.ID() + `"}`
		refused(t, w, w.idp.raw(t, header, own().json(t)))
	}
	refused(t, w, w.idp.raw(t, `{"typ":"at+jwt","kid":"`+w.idp.private.ID()+`"}`, own().json(t)))
}

// CVE-2016-10555: the public key, which everybody has, as a shared secret.
func TestHS256WithThePublicKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	public := w.idp.private.Public()
	point, err := w.idp.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	der := marshalPKIX(t, &w.idp.key.PublicKey)
	for _, key := range [][]byte{public.JSON(), token.MarshalSet([]token.PublicKey{public}), point, point[1:], der, pemOf(der), []byte(public.ID()), {}} {
		for _, alg := range []string{"HS256", "HS384", "HS512"} {
			header := w.idp.header(claims{"alg": alg}).json(t)
			refused(t, w, hmacSign(hashOf(alg), key, header, own().json(t)))
			refused(t, w, hmacSign(hashOf(alg), key, w.other.header(claims{"alg": alg}).json(t), partner().json(t)))
			// and labelled as what the key is for
			refused(t, w, hmacSign(hashOf(alg), key, w.idp.header(nil).json(t), own().json(t)))
		}
	}
	// The other way about: an ES256 signature where a shared secret is expected.
	refused(t, w, w.idp.sign(t, claims{"typ": "JWT"}, guide()))
	refused(t, w, w.idp.sign(t, claims{"typ": "JWT", "alg": "HS256"}, guide()))
}

// CVE-2018-0114: a token that brings its own key. Package token has no way to fetch one, as the next test says.
func TestATokenDoesNotSayWhereItsKeyIs(t *testing.T) {
	t.Parallel()
	w, mallory := newWorld(t), newSigner(t)
	jwk := json.RawMessage(mallory.private.Public().JSON())
	for name, header := range map[string]claims{
		"jwk": {"jwk": jwk}, "jku": {"jku": "https://evil.test/keys"}, "x5u": {"x5u": "https://evil.test/chain"},
		"x5c": {"x5c": []string{base64.StdEncoding.EncodeToString(marshalPKIX(t, &mallory.key.PublicKey))}},
	} {
		for _, kid := range []string{mallory.private.ID(), w.idp.private.ID(), w.other.private.ID()} {
			header := header.but(claims{"kid": kid})
			t.Run(name, func(t *testing.T) {
				refused(t, w, mallory.sign(t, header, own()))
				refused(t, w, mallory.sign(t, header, partner()))
				refused(t, w, mallory.sign(t, header.but(claims{"alg": "HS256"}), guide()))
			})
		}
		// Our own IdP writes none of them; another issuer may, and they count for nothing.
		refused(t, w, w.idp.sign(t, header, own()))
		if _, err := w.Verify(w.other.sign(t, header, partner()), now); err != nil {
			t.Errorf("%s beside a good signature: %v", name, err)
		}
	}
}

func TestNothingHereSpeaksHTTP(t *testing.T) {
	t.Parallel()
	list, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.Lines(string(list)) {
		if name = strings.TrimSpace(name); name == "net/http" || name == "database/sql" {
			t.Errorf("imports %s", name)
		}
	}
}

func TestHostileKid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, kid := range []any{
		"../../../../dev/null", "/dev/null", "' OR 1=1 --", "https://evil.test/keys", "|id", "\x00", w.idp.private.ID() + "\x00",
		w.idp.private.ID() + "\n", strings.ToLower(w.idp.private.ID()), " " + w.idp.private.ID(), strings.Repeat("k", 256), "", 7,
		[]string{w.idp.private.ID()},
		claims{"kid": 1},
		true,
	} {
		refused(t, w, w.idp.sign(t, claims{"kid": kid}, own()))
		if kid == "" { // an only key needs no name, but an empty one is none
			continue
		}
		refused(t, w, w.other.sign(t, claims{"kid": kid}, partner()))
	}
	refused(t, w, w.idp.sign(t, claims{"kid": nil}, own()))
	if _, err := w.Verify(w.other.sign(t, claims{"kid": nil}, partner()), now); err != nil {
		t.Errorf("the only key of an issuer needs no name: %v", err)
	}
}

// CVE-2025-59420 and its family: what every option of golang-jwt lets through.
func TestExtensionsOfTheHeaderAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, header := range map[string]claims{
		"crit":            {"crit": []string{"bork"}, "bork": true},
		"crit, known":     {"crit": []string{"exp"}, "exp": now.Add(time.Hour).Unix()},
		"crit, empty":     {"crit": []string{}},
		"crit, no list":   {"crit": "b64"},
		"b64":             {"b64": false},
		"b64 with crit":   {"b64": false, "crit": []string{"b64"}},
		"b64 true":        {"b64": true},
		"zip":             {"zip": "DEF"},
		"enc":             {"enc": "A256GCM"},
		"folded crit":     {"CRIT": []string{"bork"}},
		"folded alg":      {"Alg": "none"},
		"folded kid":      {"KID": "x"},
		"folded, Unicode": {"\u212aid": "x"},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, w, w.idp.sign(t, header, own()))
			refused(t, w, w.other.sign(t, header, partner()))
			refused(t, w, hmacSign(crypto.SHA256, []byte(secret), claims{"alg": "HS256", "typ": "JWT"}.but(header).json(t), guide().json(t)))
		})
	}
	// RFC 7797: the payload as it is, neither encoded nor JSON-quoted.
	refused(t, w, w.idp.raw(t, `{"alg":"ES256","b64":false,"crit":["b64"]}`, own().json(t)))
	refused(t, w, w.idp.sign(t, claims{"cty": "JWT"}, own()))
}

func TestMembersThatStandTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	kid := w.idp.private.ID()
	payload := own().json(t)
	for name, header := range map[string]string{
		"alg":            `{"alg":"none","typ":"at+jwt","kid":"` + kid + `","alg":"ES256"}`,
		"alg, the same":  `{"alg":"ES256","typ":"at+jwt","kid":"` + kid + `","alg":"ES256"}`,
		"kid":            `{"alg":"ES256","kid":"x","typ":"at+jwt","kid":"` + kid + `"}`,
		"typ, escaped":   `{"alg":"ES256","typ":"JWT","kid":"` + kid + `","\u0074yp":"at+jwt"}`,
		"something else": `{"alg":"ES256","typ":"at+jwt","kid":"` + kid + `","x":1,"x":1}`,
	} {
		t.Run("header "+name, func(t *testing.T) { refused(t, w, w.idp.raw(t, header, payload)) })
	}
	header := w.idp.header(nil).json(t)
	for name, more := range map[string]string{
		"sub": `"sub":"root"`, "exp": `"exp":9999999999`, "roles": `"roles":["admin"]`, "iss": `"iss":"` + ownISS + `"`,
		"escaped": `"\u0073ub":"root"`, "inside": `"x":{"a":1,"a":2}`, "inside a list": `"x":[{"a":1,"a":2}]`,
		"folded": `"SUB":"root"`, "folded role": `"Roles":["admin"]`, "folded, Unicode": `"ſub":"root"`, "folded preferred": `"Preferred_Username":"root"`,
	} {
		t.Run("claims "+name, func(t *testing.T) {
			refused(t, w, w.idp.raw(t, header, payload[:len(payload)-1]+","+more+"}"))
			refused(t, w, w.idp.raw(t, header, "{"+more+","+payload[1:]))
		})
	}
}

func TestWrongTypes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, typ := range []any{nil, "", "JWT", "jwt", "AT+JWT", "at+jwt ", "application/at+jwt", "rt+jwt", "logout+jwt", "vilogate-assertion+jwt", "Vilogate-Assertion+JWT", 7} {
		refused(t, w, w.idp.sign(t, claims{"typ": typ}, own()))
	}
	for _, typ := range []any{"", "rt+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "vilogate-assertion+jwt", "application/VILOGATE-assertion+jwt", 7, []string{"JWT"}} {
		refused(t, w, w.other.sign(t, claims{"typ": typ}, partner()))
	}
	for _, kind := range []claims{{"typ": "Refresh"}, {"typ": "Offline"}, {"token_type": "refresh"}, {"token_use": "refresh"}} {
		refused(t, w, w.other.sign(t, nil, partner().but(kind)))
	}
}

// Invariant 7: the gateway's own tokens come back to it as nobody.
func TestTheGatewaysOwnTokensAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	assertion, err := w.idp.private.SignAssertion(assertionForAlice())
	if err != nil {
		t.Fatal(err)
	}
	refused(t, w, assertion)
	refused(t, w, w.idp.sign(t, nil, own().but(claims{"iss": gatewayISS})))
	refused(t, w, w.idp.sign(t, claims{"typ": "vilogate-assertion+jwt"}, own()))
	refused(t, w, w.other.sign(t, claims{"typ": "vilogate-assertion+jwt"}, partner().but(claims{"iss": "https://elsewhere.test"})))
}

// Base64url has one spelling here: anything else would give a token as many texts as somebody likes.
func TestOtherSpellingsOfBase64(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.idp.sign(t, nil, own())
	parts := strings.Split(good, ".")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1]) // 64 bytes leave four stray bits
	for bits := range 15 {
		refused(t, w, good[:len(good)-1]+string(alphabet[last^(bits+1)]))
	}
	for i := range 3 {
		for _, junk := range []string{"=", "==", "\n", "\r\n", " ", "\t", "\x00", "+", "/"} {
			for _, changed := range []string{parts[i] + junk, junk + parts[i], parts[i][:4] + junk + parts[i][4:]} {
				spelled := []string{parts[0], parts[1], parts[2]}
				spelled[i] = changed
				raw := strings.Join(spelled, ".")
				if _, err := w.Verify(raw, now); !errors.Is(err, token.ErrInvalid) && !errors.Is(err, token.ErrUnknownIssuer) {
					t.Errorf("%q at segment %d: %v", junk, i+1, err)
				}
			}
		}
	}
	if _, err := w.Verify(good, now); err != nil {
		t.Error(err)
	}
}

// ES256 has two valid spellings of every signature. Both are the same token to whoever decides.
func TestTheOtherSpellingOfASignatureIsTheSameToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	raw := w.idp.sign(t, nil, own())
	first, err := w.Verify(raw, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := w.Verify(otherSpelling(t, raw), now)
	if err != nil {
		return // refusing it would be as good
	}
	if first.IssuerName() != second.IssuerName() || first.ID() != second.ID() || first.Session() != second.Session() || first.Subject() != second.Subject() {
		t.Errorf("%+v\n%+v", first, second)
	}
}

func TestSignaturesThatAreNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.idp.sign(t, nil, own())
	cut := strings.LastIndexByte(good, '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(good[cut:])
	if err != nil {
		t.Fatal(err)
	}
	flipped := append([]byte(nil), signature...)
	flipped[10] ^= 1
	for name, s := range map[string][]byte{
		"none": {}, "zeros (CVE-2022-21449)": make([]byte, 64), "short": signature[:63], "long": append(append([]byte(nil), signature...), 0),
		"flipped": flipped, "r alone": append(append([]byte(nil), signature[:32]...), make([]byte, 32)...), "ASN.1": asn1Signature(t, signature),
	} {
		t.Run(name, func(t *testing.T) { refused(t, w, good[:cut]+b64(s)) })
	}
	another := w.idp.sign(t, nil, own().but(claims{"sub": "root"}))
	refused(t, w, another[:strings.LastIndexByte(another, '.')+1]+good[cut:])
}

// CVE-2025-30204: 900 KB of dots, and other shapes that cost a careless parser time or memory.
func TestHugeTokensCostNothing(t *testing.T) {
	w := newWorld(t) // not parallel: it measures
	for name, raw := range map[string]string{
		"900 KB of dots":     strings.Repeat(".", 900<<10),
		"8 KiB of dots":      strings.Repeat(".", 8<<10),
		"900 KB of e30.":     strings.Repeat("e30.", 225<<10),
		"a header and dots":  b64([]byte(`{"alg":"ES256"}`)) + strings.Repeat(".", 8000),
		"a huge payload":     w.idp.sign(t, nil, own().but(claims{"x": strings.Repeat("x", 900<<10)})),
		"8 KiB of nesting":   w.idp.raw(t, w.idp.header(nil).json(t), `{"x":`+strings.Repeat(`[`, 5900)),
		"8 KiB of members":   w.idp.raw(t, w.idp.header(nil).json(t), `{"x":{`+manyMembers(700)[1:]+`}}`),
		"8 KiB of escapes":   w.idp.raw(t, w.idp.header(nil).json(t), `{"x":"`+strings.Repeat(`\u0041`, 950)+`"}`),
		"JWE, zipped":        b64([]byte(`{"alg":"dir","enc":"A256GCM","zip":"DEF"}`)) + "." + strings.Repeat("A", 7000) + ".A.A.A",
		"spaces in a header": b64([]byte(strings.Repeat(" ", 5000)+`{}`)) + ".e30.",
	} {
		var before, after runtime.MemStats
		best := time.Hour // of several, since the machine is shared
		runtime.ReadMemStats(&before)
		const runs = 20
		for range runs {
			start := time.Now()
			if c, err := w.Verify(raw, now); err == nil {
				t.Fatalf("%s: %+v", name, c)
			}
			best = min(best, time.Since(start))
		}
		runtime.ReadMemStats(&after)
		if best > 5*time.Millisecond {
			t.Errorf("%s took %v", name, best)
		}
		if perRun := (after.TotalAlloc - before.TotalAlloc) / runs; perRun > 256<<10 {
			t.Errorf("%s took %d bytes of memory", name, perRun)
		}
	}
}

func marshalPKIX(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func pemOf(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func asn1Signature(t testing.TB, fixed []byte) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(fixed[:32]), new(big.Int).SetBytes(fixed[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return der
}
