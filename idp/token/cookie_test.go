package token_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// forgeries are n tokens of a known key whose signatures do not match.
func forgeries(good string, n int) (values []string) {
	for i := range n {
		values = append(values, good[:len(good)-16]+fmt.Sprintf("%04dAAAAAAAAAAAA", i))
	}
	return values
}

// countKeys has w's own issuer count how often it is asked for a key: once a signature.
func countKeys(t *testing.T) (w world, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	w = newWorld(t, func(c *token.VerifierConfig) {
		keys := c.Issuers[0].Keys
		c.Issuers[0].Keys = token.KeySourceFunc(func(kid string, now time.Time) (token.PublicKey, error) {
			asked.Add(1)
			return keys.Key(kid, now)
		})
	})
	return w, asked
}

func TestSixteenValuesOfACookieAreJudged(t *testing.T) {
	t.Parallel()
	w, asked := countKeys(t)
	good := w.idp.sign(t, nil, own())
	aud := w.idp.sign(t, nil, own().but(claims{"aud": "elsewhere"}))
	for _, test := range []struct {
		name   string
		values []string
		signed int
		keys   int64
		want   error
	}{
		{"none", nil, 0, 0, nil},
		{"one", []string{good}, 1, 1, nil},
		{"copies", slices.Repeat([]string{good}, 80), 1, 1, nil},
		{"sixteen", append(forgeries(good, 15), good), 1, 16, nil},
		{"sixteen, and copies of them", append(forgeries(good, 15), append(forgeries(good, 15), good, good)...), 1, 16, nil},
		{"one more", append(forgeries(good, 16), good), 0, 17, token.ErrTooManyValues},
		{"many more", append(forgeries(good, 300), good), 0, 17, token.ErrTooManyValues},
		{"for another audience", append(slices.Repeat([]string{aud}, 40), good), 1, 1, nil},
		{"of another issuer", append(forgeries(w.other.sign(t, nil, partner()), 40), good), 1, 1, nil},
		{"of no token's shape", append([]string{"a", "", "a.b.c", strings.Repeat("a.", 9000)}, good), 1, 1, nil},
	} {
		asked.Store(0)
		signed, err := w.SignedValues(token.OwnIssuer, nil, slices.Values(test.values))
		if len(signed) != test.signed || !errors.Is(err, test.want) || asked.Load() != test.keys {
			t.Errorf("%s: %d signed, want %d; %d keys, want %d; %v", test.name, len(signed), test.signed, asked.Load(), test.keys, err)
		}
	}
	if _, err := w.SignedValues(token.OwnIssuer, nil, slices.Values([]string{good[:len(good)-4] + "AAAA", "junk"})); token.Reason(err) != token.ReasonSignature {
		t.Errorf("why the first does not count: %v", err)
	}
}

// TestEveryKeyThatIsTriedCounts: a token without a kid may have been signed with any of four keys.
func TestEveryKeyThatIsTriedCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) {
		var keys []token.PublicKey
		for range 5 {
			keys = append(keys, newSigner(t).private.Public())
		}
		c.Issuers[1].Keys = jwks.Static(keys)
	})
	raw := w.other.sign(t, claims{"kid": nil}, partner())
	for n, want := range map[int]error{4: token.ErrInvalid, 5: token.ErrTooManyValues} {
		if _, err := w.SignedValues("partner", nil, slices.Values(forgeries(raw, n))); !errors.Is(err, want) {
			t.Errorf("%d tokens without a kid: %v, want %v", n, err, want)
		}
	}
}

// TestKeysThatAreNotLoadedAreMissedByTheirIssuersTokensAlone: an issuer that is away is nobody else's trouble.
func TestKeysThatAreNotLoadedAreMissedByTheirIssuersTokensAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Issuers[1].Keys = token.KeySourceFunc(func(string, time.Time) (token.PublicKey, error) { return token.PublicKey{}, token.ErrKeysNotLoaded })
	})
	good, planted := w.idp.sign(t, nil, own()), w.other.sign(t, nil, partner())
	for _, values := range [][]string{{good, planted}, {planted, good}} {
		if signed, err := w.SignedValues(token.OwnIssuer, nil, slices.Values(values)); err != nil || len(signed) != 1 {
			t.Errorf("%d signed, %v", len(signed), err)
		}
	}
	if _, err := w.VerifyOf(token.OwnIssuer, nil, planted, now); err == nil || errors.Is(err, token.ErrKeysNotLoaded) {
		t.Errorf("a token of another issuer: %v", err)
	}
	for _, of := range []func() error{
		func() error { _, err := w.VerifyOf("partner", nil, planted, now); return err },
		func() error {
			_, err := w.SignedValues("partner", nil, slices.Values([]string{"x", planted}))
			return err
		},
	} {
		if err := of(); !errors.Is(err, token.ErrKeysNotLoaded) {
			t.Errorf("a token of the issuer that is away: %v", err)
		}
	}
	// What could not count with any key misses none.
	if _, err := w.Verify(planted, now.Add(2*time.Hour)); !errors.Is(err, token.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
	if _, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"aud": "elsewhere"})), now); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("for another audience: %v", err)
	}
}

// TestValuesThatAreNoTokensCostNothing: a header of nothing but short values is read, and no more.
func TestValuesThatAreNoTokensCostNothing(t *testing.T) {
	w := newWorld(t)
	var values []string
	for i := range 7000 {
		values = append(values, fmt.Sprint("e30.", i, ".e30"))
	}
	if n := testing.AllocsPerRun(10, func() {
		if signed, err := w.SignedValues(token.OwnIssuer, nil, slices.Values(values)); len(signed) > 0 || err == nil {
			t.Errorf("%d signed, %v", len(signed), err)
		}
	}); n > 100 {
		t.Errorf("%d values of a cookie cost %v allocations", len(values), n)
	}
}

func TestASignedValueIsJudgedOnce(t *testing.T) {
	t.Parallel()
	w, asked := countKeys(t)
	raw := w.idp.sign(t, nil, own())
	signed, err := w.SignedValues(token.OwnIssuer, nil, slices.Values([]string{raw, "x"}))
	if err != nil {
		t.Fatal(err)
	}
	first, err := w.VerifySigned(signed[0], now)
	if err != nil || asked.Load() != 2 { // the second asks whether the key is still there
		t.Errorf("%d keys, %v", asked.Load(), err)
	}
	if again, err := w.Verify(raw, now); err != nil || again != first {
		t.Errorf("it is not remembered: %v", err)
	}
	if _, err := w.VerifySigned(signed[0], now.Add(2*time.Hour)); !errors.Is(err, token.ErrExpired) {
		t.Errorf("expired: %v", err)
	}
}
