package request

import (
	"strings"
	"testing"
)

// foldAsWSGI is how WSGI, CGI and Rack name a header in the environment.
func foldAsWSGI(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
}

func TestNamesThatFoldIntoReservedOnesAreReserved(t *testing.T) {
	for _, name := range []string{
		"X-User", "x-user", "X_User", "x_uSER", "X.User", "X-User_Roles", "X!User-Id", "X_User_Assertion",
		"Remote-User", "REMOTE_USER", "Remote_Groups", "X-Forwarded-User", "X_Forwarded_Proto", "X-Forwarded-Anything",
		"Forwarded", "X-Real-IP", "X_Real_Ip", "X-Original-URL", "X_Original_Uri", "X-Rewrite-Url", "X-Request-Id", "Proxy",
	} {
		if got := ClassifyHeader(name); got != ReservedHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want reserved", name, got)
		}
	}
	for _, name := range []string{"X-HTTP-Method", "X_Http_Method_Override", "x-method-override"} {
		if got := ClassifyHeader(name); got != OverrideHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want override", name, got)
		}
	}
	for _, name := range []string{"X_Custom", "A.B", "R~", "X-User_Agent", ""} {
		if got := ClassifyHeader(name); got != OddHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want odd", name, got)
		}
	}
	for _, name := range []string{"Accept", "X-User-Agent", "X-Users", "X-Forwarded", "Remote-Addr", "Cookie", "X-Http-Method-Override-Not", "Signature", "Signature-Input"} {
		if got := ClassifyHeader(name); got != OrdinaryHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want ordinary", name, got)
		}
		if IsReservedHeader(name) {
			t.Errorf("%s is forwarded as it was sent, and policies say that it is not", name)
		}
	}
}

func FuzzHeaderNames(f *testing.F) {
	for _, seed := range []string{"X_User", "x-user-assertion", "Remote.User", "X-Forwarded_For", "Accept", "X-HTTP-Method"} {
		f.Add(seed)
	}
	folded := map[string]bool{}
	for name := range reservedHeaders {
		folded[foldAsWSGI(name)] = true
	}
	f.Fuzz(func(t *testing.T, name string) {
		seen := foldAsWSGI(name)
		dangerous := folded[seen] || strings.HasPrefix(seen, "X_FORWARDED_") || strings.HasPrefix(seen, "X_ORIGINAL_")
		class := ClassifyHeader(name)
		if dangerous != (class == ReservedHeader || class == OverrideHeader) {
			t.Fatalf("ClassifyHeader(%q) = %d, but a WSGI server sees %s", name, class, seen)
		}
	})
}

func TestClassifyingAllocatesNothing(t *testing.T) {
	names := []string{"Accept-Encoding", "X_User_Assertion", "X-Requested-With", "Remote-User", "User-Agent"}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			ClassifyHeader(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
