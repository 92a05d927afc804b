package names

import (
	"strings"
	"testing"
)

// TestNames: none of these can break a header, a list of roles, or be another name in other clothes.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		user, foreign, role bool
	}{
		{"alice", true, true, true},
		{"7", true, true, true},
		{"a.b_c-d", true, true, true},
		{"alice+x@viloforge.com", true, true, false},
		{"@", true, true, false},
		{".a", true, true, false},
		{"-a", true, true, false},
		{"Alice", false, true, false},
		{"", false, false, false},
		{" ", false, false, false},
		{"a b", false, false, false},
		{"a,b", false, false, false},
		{"a:b", false, false, false},
		{"a/b", false, false, false},
		{"a\n", false, false, false},
		{"a\x00", false, false, false},
		{"caf\u00e9", false, false, false},
		{"\u212aelvin", false, false, false}, // the Kelvin sign, which folds to k
		{"a\xff", false, false, false},
		{strings.Repeat("a", 64), true, true, true},
		{strings.Repeat("a", 65), false, true, false},
		{strings.Repeat("a", 150), false, true, false},
		{strings.Repeat("a", 151), false, false, false},
	} {
		if IsUser(c.name) != c.user || IsForeignUser(c.name) != c.foreign || IsRole(c.name) != c.role || IsIssuer(c.name) != c.role {
			t.Errorf("%q: user %t, foreign user %t, role %t", c.name, IsUser(c.name), IsForeignUser(c.name), IsRole(c.name))
		}
	}
}
