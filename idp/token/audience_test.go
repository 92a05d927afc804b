package token_test

import (
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/token"
)

// Where tokens have no audience, they say whose they are by client_id, azp or both.
func TestTokensWithoutAudience(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Issuers[1].Audiences, c.Issuers[1].ClientIDs = nil, []string{"client1", "https://app.example"}
	})
	for name, test := range map[string]struct {
		typ    any
		more   claims
		reason string
		said   string
	}{
		"client_id":                {"JWT", claims{"client_id": "client1"}, "", ""},
		"azp":                      {"JWT", claims{"azp": "https://app.example"}, "", ""},
		"no typ":                   {nil, claims{"azp": "client1"}, "", ""},
		"both":                     {"JWT", claims{"client_id": "client1", "azp": "https://app.example"}, "", ""},
		"an empty list":            {"JWT", claims{"client_id": "client1", "aud": []string{}}, "", ""},
		"neither":                  {"JWT", nil, "client", "neither client_id nor azp"},
		"another":                  {"JWT", claims{"client_id": "client2"}, "client", "not among the client_ids"},
		"both, one of another":     {"JWT", claims{"client_id": "client1", "azp": "client2"}, "client", "not among the client_ids"},
		"both, the other way":      {"JWT", claims{"client_id": "client2", "azp": "client1"}, "client", "not among the client_ids"},
		"of another type":          {"JWT", claims{"client_id": []string{"client1"}}, "malformed", "client_id"},
		"null":                     {"JWT", claims{"client_id": "client1", "azp": nil}, "", ""},
		"in another letter case":   {"JWT", claims{"Client_ID": "client1"}, "malformed", "letter case"},
		"an audience":              {"JWT", claims{"client_id": "client1", "aud": "client1"}, "audience", "for an audience"},
		"audiences":                {"JWT", claims{"client_id": "client1", "aud": []string{"client1"}}, "audience", "for an audience"},
		"an audience of no name":   {"JWT", claims{"client_id": "client1", "aud": ""}, "audience", "for an audience"},
		"at+jwt":                   {"at+jwt", claims{"client_id": "client1"}, "malformed", "typ"},
		"application/at+jwt":       {"application/AT+JWT", claims{"client_id": "client1"}, "malformed", "typ"},
		"another's, an ID token's": {"JWT", claims{"azp": "client1", "aud": []string{"client1", "x"}}, "audience", "for an audience"},
	} {
		_, err := w.Verify(w.other.sign(t, claims{"typ": test.typ}, partner().but(claims{"aud": nil}).but(test.more)), now)
		if token.Reason(err) != test.reason || err != nil && !strings.Contains(err.Error(), test.said) {
			t.Errorf("%s: %v (%s), want %s", name, err, token.Reason(err), test.reason)
		}
	}
}

// A refusal says what was missing.
func TestAMissingAudienceIsSaid(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, aud := range map[string]any{"none": nil, "an empty list": []string{}} {
		_, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"aud": aud})), now)
		if token.Reason(err) != "audience" || !strings.Contains(err.Error(), "aud is missing or empty") {
			t.Errorf("%s: %v (%s)", name, err, token.Reason(err))
		}
	}
	// Whoever signed it: the audience is judged before a signature is paid for.
	_, err := w.Verify(w.idp.sign(t, claims{"typ": "JWT", "kid": nil}, partner().but(claims{"aud": nil})), now)
	if token.Reason(err) != "audience" {
		t.Errorf("%v", err)
	}
}

// While one secret replaces another, tokens of both count; and no others.
func TestSeveralSecrets(t *testing.T) {
	t.Parallel()
	first, second, third := strings.Repeat("1", 32), strings.Repeat("2", 32), strings.Repeat("3", 32)
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Issuers[2].Secret, c.Issuers[2].Secrets = nil, [][]byte{[]byte(first), []byte(second)}
	})
	for secret, reason := range map[string]string{first: "", second: "", third: token.ReasonSignature, "": token.ReasonSignature, first + second: token.ReasonSignature} {
		raw := hmacSign(hashOf("HS256"), []byte(secret), `{"alg":"HS256","typ":"JWT"}`, guide().json(t))
		if _, err := w.Verify(raw, now); token.Reason(err) != reason {
			t.Errorf("%.4q: %v", secret, err)
		}
	}
	raw := hmacSign(hashOf("HS512"), []byte(first), `{"alg":"HS512","typ":"JWT"}`, guide().json(t))
	refused(t, w, raw)
	for _, wrong := range [][][]byte{{[]byte(first), []byte("short")}, {}} {
		c := w.config
		c.Issuers = append([]token.IssuerConfig(nil), c.Issuers...)
		c.Issuers[2].Secrets = wrong
		if _, err := token.NewVerifier(c); err == nil {
			t.Errorf("%q: accepted", wrong)
		}
	}
}

// A key without alg signs with what its type can, and the configuration allows.
func TestAlgorithmsThatTheConfigurationAllows(t *testing.T) {
	t.Parallel()
	for algorithm, good := range map[string]bool{"": true, "ES256": true, "RS256": false} {
		w := newWorld(t, func(c *token.VerifierConfig) {
			if algorithm != "" {
				c.Issuers[1].Algorithms = []string{algorithm, "PS512"}
			}
		})
		if _, err := w.Verify(w.other.sign(t, nil, partner()), now); (err == nil) != good {
			t.Errorf("%q: %v", algorithm, err)
		}
	}
	for _, change := range []func(*token.VerifierConfig){
		func(c *token.VerifierConfig) { c.Issuers[1].Algorithms = []string{"HS256"} },
		func(c *token.VerifierConfig) { c.Issuers[1].Algorithms = []string{"none"} },
		func(c *token.VerifierConfig) { c.Issuers[2].Algorithms = []string{"HS256"} },
	} {
		c := newWorld(t).config
		c.Issuers = append([]token.IssuerConfig(nil), c.Issuers...)
		change(&c)
		if _, err := token.NewVerifier(c); err == nil {
			t.Errorf("%+v: accepted", c.Issuers)
		}
	}
}
