package request

import (
	"slices"
	"testing"
)

// TestSubprotocolToken: which subprotocol carries a token, and what is left without it.
func TestSubprotocolToken(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		lines   []string
		token   string
		several bool
		rest    []string
	}{
		{nil, "", false, nil},
		{[]string{"chat"}, "", false, []string{"chat"}},
		{[]string{"bearer.a.b.c"}, "a.b.c", false, nil},
		{[]string{" bearer.x\t"}, "x", false, nil},
		{[]string{"chat,bearer.x"}, "x", false, []string{"chat"}},
		{[]string{"a , bearer.x ,b"}, "x", false, []string{"a, b"}},
		{[]string{"a", "bearer.x", "b"}, "x", false, []string{"a", "b"}},
		{[]string{"a,  b"}, "", false, []string{"a,  b"}},
		{[]string{"bearer.", "bearer"}, "", false, []string{"bearer.", "bearer"}},
		{[]string{"Bearer.x", "xbearer.y", "bearer. z"}, " z", false, []string{"Bearer.x", "xbearer.y"}},
		{[]string{"bearer.x, bearer.x"}, "x", true, nil},
		{[]string{"bearer.x", "a, bearer.y"}, "x", true, []string{"a"}},
	} {
		token, several := SubprotocolToken(c.lines)
		if rest := WithoutSubprotocolToken(c.lines); token != c.token || several != c.several || !slices.Equal(rest, c.rest) {
			t.Errorf("%q: %q, several %v, and %q, want %q, %v, %q", c.lines, token, several, rest, c.token, c.several, c.rest)
		}
	}
	if got := Subprotocol("x"); got != "bearer.x" {
		t.Error(got)
	}
}
