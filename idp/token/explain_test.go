package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// TestExplainSaysWhatVerifyDoes: it is no second judge, and each check that can fail is named.
func TestExplainSaysWhatVerifyDoes(t *testing.T) {
	t.Parallel()
	revoked := false
	w := newWorld(t, func(c *token.VerifierConfig) { c.Revoked = func(*token.Claims) bool { return revoked } })
	good := w.other.sign(t, nil, partner())
	stranger := newSigner(t)
	for name, c := range map[string]struct {
		raw, failed string
	}{
		"good":              {good, ""},
		"the guide's":       {w.legacy(t, guide()), ""},
		"opaque":            {"ghp_x", token.CheckForm},
		"nothing":           {"", token.CheckForm},
		"too long":          {strings.Repeat("a", token.MaxLength+1), token.CheckForm},
		"cut":               {good[:len(good)-1] + "!", token.CheckForm},
		"unknown issuer":    {w.other.sign(t, nil, partner().but(claims{"iss": "https://x.example"})), token.CheckIssuer},
		"the gateway's own": {w.other.sign(t, claims{"typ": "vilogate-assertion+jwt"}, partner()), token.CheckIssuer},
		"another typ":       {w.other.sign(t, claims{"typ": "logout+jwt"}, partner()), token.CheckHeader},
		"an extension":      {w.other.sign(t, claims{"crit": []string{"x"}}, partner()), token.CheckHeader},
		"a refresh token":   {w.other.sign(t, nil, partner().but(claims{"token_use": "refresh"})), token.CheckHeader},
		"without exp":       {w.other.sign(t, nil, partner().but(claims{"exp": nil})), token.CheckClaims},
		"no user":           {w.legacy(t, guide().but(claims{"username": "a b"})), token.CheckClaims},
		"unknown key":       {stranger.sign(t, claims{"kid": "x"}, partner()), token.CheckKey},
		"another signature": {stranger.sign(t, claims{"kid": w.other.private.ID()}, partner()), token.CheckSignature},
		"another audience":  {w.other.sign(t, nil, partner().but(claims{"aud": "others"})), token.CheckAudience},
		"expired":           {w.other.sign(t, nil, partner().but(claims{"exp": now.Unix()})), token.CheckTimes},
		"not yet":           {w.other.sign(t, nil, partner().but(claims{"nbf": now.Add(time.Hour).Unix(), "exp": now.Add(2 * time.Hour).Unix()})), token.CheckTimes},
	} {
		e := w.Explain(c.raw, now)
		_, err := w.Verify(c.raw, now)
		if e.Failed != c.failed || (e.Failed == "") != (err == nil) || token.Reason(e.Err) != token.Reason(err) {
			t.Errorf("%s: failed %q (%v) after %v, want %q; Verify says %v", name, e.Failed, e.Err, e.Passed, c.failed, err)
		}
	}
	if e := w.Explain(good, now); e.Issuer != "partner" || e.Key != w.other.private.ID() || e.Person == nil || e.Person.Subject != "partner:77" || len(e.Passed) != 9 {
		t.Errorf("%+v", e)
	}
	revoked = true
	if e := w.Explain(good, now); e.Failed != token.CheckRevocation || token.Reason(e.Err) != "revoked" {
		t.Errorf("%+v", e)
	}
}
