package request

import (
	"strings"
	"testing"
)

// TestRequestIDs: what is kept from a proxy goes into logs, headers and answers, and can break none of them.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"a", "0", "Its_id-1.2", "..", strings.Repeat("x", 128)} {
		if !IsRequestID(s) {
			t.Errorf("%q is none", s)
		}
	}
	for _, s := range []string{"", " ", "a b", "a\n", "a\x00", "~", "a/b", "a,b", `a"b`, "caf\u00e9", "a\xff", strings.Repeat("x", 129)} {
		if IsRequestID(s) {
			t.Errorf("%q is one", s)
		}
	}
}
