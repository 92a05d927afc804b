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
		{"caf\u00e9", false, true, false},
		{"cafe\u0301", false, false, false}, // the same of two characters
		{"j\u00fcrgen", false, true, false},
		{"\u738b\u5c0f\u660e", false, true, false},
		{"\u4f50\u3005\u6728", false, true, false}, // with an iteration mark
		{"\u0430lice", false, true, false},
		{"\uff41lice", false, false, false}, // of full width: NFKC makes alice of it
		{"\U0001d41alice", false, false, false},
		{"alic\u1d49", false, false, false},
		{"a\u200bb", false, false, false},
		{"a\u202eb", false, false, false},
		{"a\u00a0b", false, false, false},
		{strings.Repeat("\u738b", 150), false, true, false},
		{strings.Repeat("\u738b", 151), false, false, false},
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
