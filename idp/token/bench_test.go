package token_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// known makes a verifier that remembers n tokens, every sixteenth of them signed with ES256.
func known(t testing.TB, n int) (world, []string) {
	t.Helper()
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.CacheBytes = 256 << 20
		c.Revoked = func(c *token.Claims) bool { return c.IssuedAt().IsZero() }
	})
	tokens := make([]string, n)
	for i := range tokens {
		user := fmt.Sprintf("user-%d", i)
		if i%16 == 0 {
			g := grantForAlice()
			g.Subject, g.ID, g.User = user, user, user
			raw, err := w.idp.private.SignAccess(g)
			if err != nil {
				t.Fatal(err)
			}
			tokens[i] = raw
		} else {
			tokens[i] = w.legacy(t, guide().but(claims{"username": user}))
		}
		if _, err := w.Verify(tokens[i], now); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.Stats(); s.Entries != n {
		t.Fatalf("%d of %d tokens are remembered", s.Entries, n)
	}
	return w, tokens
}

func TestARememberedTokenCostsNoAllocation(t *testing.T) {
	w, tokens := known(t, 100_000) // not parallel: it counts allocations
	i := 0
	if n := testing.AllocsPerRun(50_000, func() {
		if _, err := w.Verify(tokens[i%len(tokens)], now); err != nil {
			t.Fatal(err)
		}
		i += 7
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkVerifyKnown(b *testing.B) {
	w, tokens := known(b, 100_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i += 7 {
		if _, err := w.Verify(tokens[i%len(tokens)], now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyKnownParallel(b *testing.B) {
	w, tokens := known(b, 100_000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i += 7 {
			if _, err := w.Verify(tokens[i%len(tokens)], now); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkVerifyNew(b *testing.B) {
	w := newWorld(b)
	for name, raw := range map[string]string{"ES256": w.idp.sign(b, nil, own()), "HS256": w.legacy(b, guide())} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.VerifySignature(raw); err != nil { // never remembered
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSignAssertion(b *testing.B) {
	key := newSigner(b).private
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.SignAssertion(assertionForAlice()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyAssertion(b *testing.B) {
	s := newSigner(b)
	raw, err := s.private.SignAssertion(assertionForAlice())
	if err != nil {
		b.Fatal(err)
	}
	keys := token.KeySourceFunc(func(string, time.Time) (token.PublicKey, error) { return s.private.Public(), nil })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := token.VerifyAssertion(raw, keys, gatewayISS, "billing", now); err != nil {
			b.Fatal(err)
		}
	}
}
