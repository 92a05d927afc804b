package token_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/idp/token"
)

// rolesOf is what becomes of the claims of a token where the partner's roles are configured so.
func rolesOf(t *testing.T, claim string, config token.RolesConfig, more claims) (*token.Claims, []token.RoleFinding) {
	t.Helper()
	var findings []token.RoleFinding
	w := newWorld(t, func(c *token.VerifierConfig) {
		c.Issuers[1].ClaimRoles, c.Issuers[1].Roles = claim, config
		c.Report = func(f token.RoleFinding) { findings = append(findings, f) }
	})
	c, err := w.Verify(w.other.sign(t, nil, partner().but(claims{"groups": nil}).but(more)), now)
	if err != nil {
		t.Fatalf("%s of %v: %v", claim, more, err)
	}
	return c, findings
}

// Roles stand where issuers put them: in a claim of a whole name, deeper, in a list, an object or a text.
func TestWhereRolesAre(t *testing.T) {
	t.Parallel()
	nested := claims{"roles": []string{"editor"}}
	for _, test := range []struct {
		claim  string
		config token.RolesConfig
		more   claims
		want   string
	}{
		{"realm_access.roles", token.RolesConfig{}, claims{"realm_access": nested}, "editor"},
		{"realm_access.roles", token.RolesConfig{}, claims{"realm_access": nested, "realm_access.roles": []string{"whole"}}, "whole"},
		{"realm_access.roles", token.RolesConfig{}, claims{"realm_access": nested, "realm_access.roles": json.RawMessage("null")}, ""},
		{"realm_access.roles", token.RolesConfig{}, claims{"realm_access": "roles"}, ""},
		{"a.b.c", token.RolesConfig{}, claims{"a": claims{"b": claims{"c": []string{"deep"}}}}, "deep"},
		{"a.b.c", token.RolesConfig{}, claims{"a.b": claims{"c": []string{"no"}}}, ""},
		{"", token.RolesConfig{Path: []string{"resource_access", "my.app", "roles"}}, claims{"resource_access": claims{"my.app": nested}}, "editor"},
		{"", token.RolesConfig{Path: []string{"resource_access", "roles"}}, claims{"resource_access.roles": []string{"whole"}}, ""},
		{"https://x.example/roles", token.RolesConfig{}, claims{"https://x.example/roles": []string{"editor"}}, "editor"},
		{"urn:zitadel:iam:org:project:roles", token.RolesConfig{}, claims{"urn:zitadel:iam:org:project:roles": claims{"admin": claims{"1": "acme"}, "reader": claims{}}}, "admin|reader"},
		{"flags", token.RolesConfig{}, claims{"flags": claims{"admin": false, "reader": true, "none": nil, "off": json.RawMessage("null")}}, "reader"},
		{"roles", token.RolesConfig{Delimiter: ","}, claims{"roles": "admin, ops,,"}, "admin|ops"},
		{"roles", token.RolesConfig{Delimiter: " "}, claims{"roles": "a  b"}, "a|b"},
		{"roles", token.RolesConfig{Delimiter: ","}, claims{"roles": []string{"a,b"}}, "a,b"},
		{"roles", token.RolesConfig{}, claims{"roles": "Domain admin"}, "Domain admin"},
		{"scope", token.RolesConfig{}, claims{"scope": "read write"}, "read|write"},
		{"x.scp", token.RolesConfig{}, claims{"x": claims{"scp": "read write"}}, "read|write"},
		{"roles", token.RolesConfig{}, claims{"roles": true}, ""},
		{"roles", token.RolesConfig{}, claims{"roles": 7}, ""},
		{"roles", token.RolesConfig{}, claims{"roles": ""}, ""},
		{"roles", token.RolesConfig{}, claims{"roles": []any{"a", 7, nil, "a", claims{"b": 1}, ""}}, "a"},
	} {
		c, _ := rolesOf(t, test.claim, test.config, test.more)
		if got := strings.Join(c.Roles(), "|"); got != test.want || !slices.Equal(c.Roles(), c.ForwardedRoles()) {
			t.Errorf("%s %+v of %v: %q, want %q", test.claim, test.config, test.more, got, test.want)
		}
	}
}

// What is not mapped is kept as it is, dropped, or spelled as our roles are; and never becomes another role by that.
func TestWhatBecomesOfRoles(t *testing.T) {
	t.Parallel()
	ours := map[string]string{"/admins": "admin", "Domain Users": "drop", "Ops": "operators"}
	list := []string{"/admins", "Domain Users", "authentik Admins", "jürgen's", "a,b", "100%"}
	for _, test := range []struct {
		unmapped string
		roles    []string
		want     string
		header   string
		findings string
	}{
		{"", list, "100%|a,b|admin|authentik Admins|jürgen's", "100%25,a%2Cb,admin,authentik%20Admins,j%C3%BCrgen's", ""},
		{"keep", list, "100%|a,b|admin|authentik Admins|jürgen's", "100%25,a%2Cb,admin,authentik%20Admins,j%C3%BCrgen's", ""},
		{"drop", list, "admin", "admin", ""},
		{"slug", list, "100|a-b|admin|authentik-admins|j-rgen-s", "100,a-b,admin,authentik-admins,j-rgen-s", ""},
		{"slug", []string{"Admin", "ADMIN!", "/ops", "Reader", "ops"}, "ops|reader", "ops,reader", "ambiguous [Admin ADMIN!]"},
		{"slug", []string{"Operators", "operators", "admin"}, "", "", "ambiguous [Operators operators admin]"},
		// Whoever has one of them has the role: another that anybody may add takes nothing away.
		{"slug", []string{"Contractors", "contractors!", "contractors"}, "contractors", "contractors", ""},
		{"slug", []string{"王", "---", "\u212aelvin", strings.Repeat("a", 65)}, "elvin", "elvin", "unreadable [王 --- " + strings.Repeat("a", 64) + "]"},
		{"keep", []string{"admin", "operators", "member"}, "member", "member", "ambiguous [admin operators]"},
		{"keep", []string{"a\nb", "a\u202e", strings.Repeat("a", 256), "ok"}, "ok", "ok", "unreadable [a b a " + strings.Repeat("a", 64) + "]"},
		{"drop", []string{"a\nb"}, "", "", ""},
	} {
		c, findings := rolesOf(t, "groups", token.RolesConfig{Map: ours, Unmapped: test.unmapped}, claims{"groups": test.roles})
		said := map[string][]string{}
		for _, f := range findings {
			said[f.Finding] = append(said[f.Finding], f.Roles...)
		}
		var lines []string
		for finding, roles := range said {
			lines = append(lines, fmt.Sprint(finding, " ", roles))
		}
		if got := strings.Join(c.Roles(), "|"); got != test.want || token.EncodeRoles(c.ForwardedRoles()) != test.header || strings.Join(lines, "; ") != test.findings {
			t.Errorf("%s %q: %q, as header %q, said %q\nwant %q, %q, %q", test.unmapped, test.roles, got, token.EncodeRoles(c.ForwardedRoles()), lines, test.want, test.header, test.findings)
		}
	}
}

// What comes to nothing is said, once for a token.
func TestRolesThatAreNotThereAreSaid(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		claim string
		more  claims
		want  []string
	}{
		"there":            {"groups", claims{"groups": []string{"a"}}, nil},
		"absent":           {"groups", nil, []string{token.RolesMissing}},
		"empty":            {"groups", claims{"groups": []string{}}, []string{token.RolesMissing}},
		"of another kind":  {"groups", claims{"groups": 7}, []string{token.RolesMissing}},
		"not asked for":    {"", claims{"groups": 7}, nil},
		"Entra's overage":  {"groups", claims{"_claim_names": claims{"groups": "src1"}, "_claim_sources": claims{"src1": claims{"endpoint": "https://graph.windows.net/x"}}}, []string{token.RolesOverage}},
		"Entra's implicit": {"groups", claims{"hasgroups": true}, []string{token.RolesOverage}},
		"other claims":     {"groups", claims{"groups": []string{"a"}, "_claim_names": claims{"roles": "src1"}}, nil},
	} {
		_, findings := rolesOf(t, test.claim, token.RolesConfig{}, test.more)
		var got []string
		for _, f := range findings {
			got = append(got, f.Finding)
			if f.Issuer != "partner" || f.Claim != test.claim {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	said := 0
	w := newWorld(t, func(c *token.VerifierConfig) { c.Report = func(token.RoleFinding) { said++ } })
	raw := w.other.sign(t, nil, partner().but(claims{"groups": nil}))
	for range 3 {
		if _, err := w.Verify(raw, now); err != nil {
			t.Fatal(err)
		}
	}
	w.Verify(w.idp.sign(t, nil, partner().but(claims{"groups": nil})), now) //nolint:errcheck // of nobody: nothing is said
	if said != 1 {
		t.Errorf("said %d times", said)
	}
}

// Two hundred groups are accepted; what a backend is told of them fits its header, and the mapped ones come first.
func TestTwoHundredGroups(t *testing.T) {
	t.Parallel()
	groups := make([]string, 200)
	for i := range groups {
		groups[i] = fmt.Sprintf("%08x-1111-4222-8333-444455556666", i)
	}
	c, findings := rolesOf(t, "groups", token.RolesConfig{Map: map[string]string{groups[199]: "zz-admin"}}, claims{"groups": groups})
	forwarded := token.EncodeRoles(c.ForwardedRoles())
	if len(c.Roles()) != 200 || len(forwarded) > token.MaxForwardedRoles || len(forwarded) < token.MaxForwardedRoles*3/4 || !slices.Contains(c.ForwardedRoles(), "zz-admin") {
		t.Errorf("%d roles, %d bytes forwarded", len(c.Roles()), len(forwarded))
	}
	if len(findings) != 1 || findings[0].Finding != token.RolesNotForwarded || len(findings[0].Roles)+len(c.ForwardedRoles()) != 200 || slices.Contains(findings[0].Roles, groups[0]) {
		t.Errorf("%+v", findings)
	}
	// The assertion has them raw, and still fits what servers take as one field.
	worst := make([]string, 300)
	for i := range worst {
		worst[i] = fmt.Sprintf("<&>%d", i)
	}
	for _, roles := range [][]string{c.ForwardedRoles(), worst} {
		c, _ := rolesOf(t, "groups", token.RolesConfig{}, claims{"groups": roles})
		a := assertionForAlice()
		a.Subject, a.User, a.Name, a.Email, a.Roles = "partner:"+strings.Repeat("s", 255), "partner:"+strings.Repeat("u", 255), strings.Repeat("n", 256), strings.Repeat("e", 254), c.ForwardedRoles()
		w := newWorld(t)
		raw, err := w.idp.private.SignAssertion(a)
		if err != nil || len(raw) > 8190-len("X-User-Assertion: ") {
			t.Errorf("an assertion of %d bytes: %v", len(raw), err)
		}
		if got, err := token.VerifyAssertion(raw, w.config.Issuers[0].Keys, gatewayISS, "billing", now); err != nil || !slices.Equal(got.Roles, c.ForwardedRoles()) {
			t.Errorf("%v", err)
		}
	}
}

// Our own people's roles are ours in every assertion, whatever somebody signs.
func TestAnAssertionHasTheirRolesOnlyForTheirPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for subject, good := range map[string]bool{"01J-alice": false, "partner:7": true} {
		a := assertionForAlice()
		a.Subject, a.Roles = subject, []string{"Domain Users"}
		if _, err := w.idp.private.SignAssertion(a); (err == nil) != good {
			t.Errorf("%s: %v", subject, err)
		}
	}
	for _, role := range []string{"", "a\nb", "a\u202e", strings.Repeat("a", 256)} {
		a := assertionForAlice()
		a.Subject, a.Roles = "partner:7", []string{role}
		if _, err := w.idp.private.SignAssertion(a); err == nil {
			t.Errorf("told of %q", role)
		}
	}
}

func TestConfigurationOfRolesIsChecked(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*token.IssuerConfig){
		"either a claim with the roles":  func(c *token.IssuerConfig) { c.Roles.Path = []string{"a"} },
		"is empty":                       func(c *token.IssuerConfig) { c.ClaimRoles, c.Roles.Path = "", []string{"a", ""} },
		"none of keep, drop, slug":       func(c *token.IssuerConfig) { c.Roles.Unmapped = "lower" },
		"no claim that has them":         func(c *token.IssuerConfig) { c.ClaimRoles, c.Roles.Delimiter = "", "," },
		`no role can be "Admin" for "a"`: func(c *token.IssuerConfig) { c.Roles.Map = map[string]string{"a": "Admin"} },
		`for ""`:                         func(c *token.IssuerConfig) { c.Roles.Map = map[string]string{"": "admin"} },
	} {
		w := newWorld(t)
		c := w.config
		c.Issuers = slices.Clone(c.Issuers)
		change(&c.Issuers[1])
		if _, err := token.NewVerifier(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
