package token_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/token"
)

// FuzzRoles: whatever another issuer has where its roles are, a role of ours that the map gives is given by the map alone,
// no two roles have one spelling in a header, and what backends are told fits it and is some of what policies see.
func FuzzRoles(f *testing.F) {
	for _, seed := range []string{
		`["/admins","Domain Users"]`, `"admin,ops"`, `{"admin":{"1":"acme"},"off":false}`, `["Admin","ADMIN","admin"]`, `null`, `7`, `["a,b","a%2Cb","a b"]`,
		`["\u202ea","a\nb",""]`, `[["a"],{"b":1},7]`,
	} {
		f.Add(seed, "", byte(0))
		f.Add(seed, ",", byte(2))
	}
	mapped := map[string]string{"/admins": "admin", "Domain Users": "drop"}
	f.Fuzz(func(t *testing.T, value, delimiter string, unmapped byte) {
		if !json.Valid([]byte(value)) || len(value) > 4<<10 {
			return // no value of a claim
		}
		w := newWorld(t, func(c *token.VerifierConfig) {
			c.Issuers[1].Roles = token.RolesConfig{Delimiter: delimiter, Map: mapped, Unmapped: []string{"keep", "drop", "slug"}[unmapped%3]}
		})
		c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"groups": json.RawMessage(value)})), now)
		if err != nil {
			return // such as a member that stands twice
		}
		roles, header := c.Roles(), token.EncodeRoles(c.ForwardedRoles())
		if slices.Contains(roles, "admin") && !strings.Contains(value, "admins") && !strings.Contains(value, `\`) {
			t.Errorf("%s gives admin", value)
		}
		if !slices.IsSorted(roles) || len(slices.Compact(slices.Clone(roles))) != len(roles) {
			t.Errorf("%s: %q", value, roles)
		}
		if strings.ContainsFunc(header, func(r rune) bool { return r <= ' ' || r > '~' }) || len(header) > token.MaxForwardedRoles {
			t.Errorf("%s: a header %q", value, header)
		}
		if header != "" && len(strings.Split(header, ",")) != len(c.ForwardedRoles()) {
			t.Errorf("%s: %q for %q", value, header, c.ForwardedRoles())
		}
		for _, role := range c.ForwardedRoles() {
			if !slices.Contains(roles, role) {
				t.Errorf("%s: told of %q", value, role)
			}
		}
	})
}
