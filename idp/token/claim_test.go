package token_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/viloforge/vilogate/idp/token"
)

func TestAnyClaimCanBeAskedForByItsName(t *testing.T) {
	w := newWorld(t)
	payload := partner().but(claims{
		"org": "acme", "level": 3, "beta": true, "teams": []any{"a", "b"}, "nested": claims{"a": []any{"b"}}, "nothing": json.RawMessage("null"),
	})
	c, err := w.Verify(w.other.sign(t, claims{}, payload), now)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"org": "acme", "level": 3.0, "beta": true, "teams": []any{"a", "b"}, "nested": map[string]any{"a": []any{"b"}},
		"nothing": nil, "sub": "77",
	} {
		if got, ok := c.Claim(name); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"Org", "none", ""} {
		if got, ok := c.Claim(name); ok {
			t.Errorf("%q is %v", name, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { c.Claim("teams") }); n != 0 {
		t.Errorf("asking again allocates %v times", n)
	}
}

// Of a number beyond a float64 no reader has the value, so a rule such as "not suspended" would have no answer: the token
// is bad, and the claims beside it are not hidden by it.
func TestAClaimThatNobodyCanReadMakesTheTokenBad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, number := range []string{"1e999", "-1e999", `[{"m":2e308}]`} {
		more := claims{"suspended": true, "n": json.RawMessage(number)}
		refused(t, w, w.idp.sign(t, nil, own().but(more)))
		refused(t, w, w.other.sign(t, nil, partner().but(more)))
		refused(t, w, w.legacy(t, guide().but(more)))
	}
	for _, number := range []string{"1e308", "-1e308", "1e-999", "0.1", "9007199254740993"} {
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"suspended": true, "n": json.RawMessage(number)})), now)
		if err != nil {
			t.Fatalf("%s: %v", number, err)
		}
		if suspended, ok := c.Claim("suspended"); !ok || suspended != true {
			t.Errorf("beside %s: %v, %v", number, suspended, ok)
		}
	}
}

// TestOnlyTheIssuersWordVerifiesAnAddress: of another issuer, true or the text "true", about the claim email and no other.
func TestOnlyTheIssuersWordVerifiesAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if c, err := w.Verify(w.idp.sign(t, claims{}, own()), now); err != nil || !c.EmailVerified() {
		t.Errorf("our own: %v", err)
	}
	for _, value := range []any{true, false, "true", "True", "false", "1", 1, nil, []any{true}} {
		c, err := w.Verify(w.other.sign(t, claims{}, partner().but(claims{"email": "carol@partner.test", "email_verified": value})), now)
		if err != nil || c.EmailVerified() != (value == true || value == "true") {
			t.Errorf("%v: %v, %v", value, c.EmailVerified(), err)
		}
	}
	mapped := newWorld(t, func(c *token.VerifierConfig) { c.Issuers[1].ClaimEmail = "upn" })
	c, err := mapped.Verify(mapped.other.sign(t, claims{}, partner().but(claims{"upn": "carol@example.test", "email": "c@partner.test", "email_verified": true})), now)
	if err != nil || c.Email() != "carol@example.test" || c.EmailVerified() {
		t.Errorf("an address that the claim does not speak of: %q, %v, %v", c.Email(), c.EmailVerified(), err)
	}
}
