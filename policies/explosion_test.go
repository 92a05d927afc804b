package policies

import (
	"fmt"
	"strings"
	"testing"
)

// ladder is a policy whose rules are each made of the one before, twice.
func ladder(rules int) []byte {
	var b strings.Builder
	b.WriteString("host: website.viloforge.com\nupstream: website\nrules:\n  r0: { roles: [a] }\n")
	for i := range rules {
		fmt.Fprintf(&b, "  r%d: { any: [{ rule: r%d }, { rule: r%d }] }\n", i+1, i, i)
	}
	fmt.Fprintf(&b, "routes:\n  - { path: /a, allow: { rule: r%d } }\n", rules)
	return []byte(b.String())
}

// TestRulesThatExplode: a rule made of a rule twice, that of another twice, and so on, is refused at the step where it has
// become too large, and soon, however many steps follow.
func TestRulesThatExplode(t *testing.T) {
	t.Parallel()
	for _, rules := range []int{12, 28, 1000} {
		_, err := Compile([]File{{"a.yaml", ladder(rules)}}, testOptions)
		const want = " conditions once its rules are written out, and may be of 4096"
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "\n") > rules/10 {
			t.Errorf("%d rules: %v", rules, err)
		}
	}
	if _, err := Compile([]File{{"a.yaml", ladder(10)}}, testOptions); err != nil {
		t.Error(err)
	}
}
