package gateway

import (
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
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
		if got := classify(name); got != reserved {
			t.Errorf("classify(%q) = %d, want reserved", name, got)
		}
	}
	for _, name := range []string{"X-HTTP-Method", "X_Http_Method_Override", "x-method-override"} {
		if got := classify(name); got != override {
			t.Errorf("classify(%q) = %d, want override", name, got)
		}
	}
	for _, name := range []string{"X_Custom", "A.B", "R~", "X-User_Agent", ""} {
		if got := classify(name); got != odd {
			t.Errorf("classify(%q) = %d, want odd", name, got)
		}
	}
	for _, name := range []string{"Accept", "X-User-Agent", "X-Users", "X-Forwarded", "Remote-Addr", "Cookie", "X-Http-Method-Override-Not"} {
		if got := classify(name); got != ordinary {
			t.Errorf("classify(%q) = %d, want ordinary", name, got)
		}
	}
}

func FuzzHeaderNames(f *testing.F) {
	for _, seed := range []string{"X_User", "x-user-assertion", "Remote.User", "X-Forwarded_For", "Accept", "X-HTTP-Method"} {
		f.Add(seed)
	}
	folded := map[string]bool{}
	for name := range reservedNames {
		folded[foldAsWSGI(name)] = true
	}
	f.Fuzz(func(t *testing.T, name string) {
		seen := foldAsWSGI(name)
		dangerous := folded[seen] || strings.HasPrefix(seen, "X_FORWARDED_") || strings.HasPrefix(seen, "X_ORIGINAL_")
		class := classify(name)
		if dangerous != (class == reserved || class == override) {
			t.Fatalf("classify(%q) = %d, but a WSGI server sees %s", name, class, seen)
		}
	})
}

func TestClassifyingAllocatesNothing(t *testing.T) {
	names := []string{"Accept-Encoding", "X_User_Assertion", "X-Requested-With", "Remote-User", "User-Agent"}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			classify(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestReservedNamesAreReservedInPoliciesToo: no route can set, and no expression read, what only the gateway writes.
func TestReservedNamesAreReservedInPoliciesToo(t *testing.T) {
	t.Parallel()
	names := []string{foldedForwarded + "anything", foldedOriginal + "anything"}
	for name := range reservedNames {
		names = append(names, name)
	}
	for _, name := range names {
		if !request.IsReservedHeader(name) || !request.IsReservedHeader(strings.ToUpper(strings.ReplaceAll(name, "-", "_"))) {
			t.Errorf("%s is not reserved in policies", name)
		}
	}
}
