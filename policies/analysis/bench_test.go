package analysis

import (
	"fmt"
	"strings"
	"testing"
)

// table is the text of a policy of n routes.
func table(n int) string {
	var file strings.Builder
	file.WriteString("host: a.viloforge.com\nupstream: site\nroutes:\n")
	for i := range n / 4 {
		fmt.Fprintf(&file, `  - { path: "/service-%[1]d/items", methods: [GET], allow: authenticated }
  - { path: "/service-%[1]d/items", methods: [POST], allow: { roles: [admin, member] } }
  - { path: "/service-%[1]d/items/:id", allow: { any: [{ roles: [admin] }, { users: [alice], networks: [10.0.0.0/8] }] } }
  - { path: "/service-%[1]d/admin/*rest", allow: { roles: [admin], mfa: 5m, not: { users: [guest] } } }
`, i)
	}
	return file.String()
}

// BenchmarkDiff compares a large table with one that differs in one route.
func BenchmarkDiff(b *testing.B) {
	text := table(10_000)
	before, after := compile(b, text), compile(b, strings.Replace(text, "mfa: 5m", "mfa: 1m", 1))
	for b.Loop() {
		if d := Diff(before, after); len(d.Changes) != 1 {
			b.Fatal(len(d.Changes))
		}
	}
}

// BenchmarkCheck looks through a large table.
func BenchmarkCheck(b *testing.B) {
	set := compile(b, table(10_000))
	for b.Loop() {
		if found := Check(set); len(found) > 0 {
			b.Fatal(found[0])
		}
	}
}
