package policies

import (
	"fmt"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/request"
)

// compile compiles one policy, which must be good.
func compile(t testing.TB, text string) *HostPolicy {
	t.Helper()
	set, err := Compile([]File{{"policy.yaml", []byte(text)}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range set.exact {
		return h
	}
	for _, h := range set.wildcard {
		return h
	}
	t.Fatal("no host")
	return nil
}

func parsed(t testing.TB, s string) request.Path {
	t.Helper()
	p, err := request.ParsePath(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return p
}

const overlapping = `
host: website.viloforge.com
upstream: website
routes:
  - { path: "/*rest", methods: [GET], allow: authenticated }
  - { path: /, allow: public }
  - { path: "/users/:id/posts", allow: authenticated }
  - { path: /users/me, allow: authenticated }
  - { path: "/users/:id", methods: [GET], allow: authenticated }
  - { path: "/users/:id", methods: [PUT, DELETE], allow: { roles: [admin] } }
  - { path: "/reports/*rest", allow: authenticated }
  - { path: /reports/new, allow: { roles: [admin] } }
  - { path: "/files/:name", allow: authenticated, encoded_slash: allow }
  - { path: "/app/*rest", allow: authenticated, double_slash: allow }
  - { path: /servlet/admin, allow: authenticated, semicolon: allow }
  - { path: "/servlet/:page", allow: authenticated }
  - { path: "/café/a b", allow: public }
  - { path: "/v1/things:batch", methods: [POST], allow: public }
  - { path: "/v1/things:batch", methods: [REPORT], allow: public }
`

// TestMatching: segment by segment from the left, words before parameters before the rest, and no choice taken back.
func TestMatching(t *testing.T) {
	t.Parallel()
	h := compile(t, overlapping)
	for _, c := range []struct {
		method, path string
		pattern      string // "" for none
		matched      bool   // a route takes it
		odd          request.Ambiguity
	}{
		{"GET", "/", "/", true, 0},
		{"GET", "/elsewhere", "/*rest", true, 0},
		{"GET", "/a/b/c/", "/*rest", true, 0},
		{"HEAD", "/a", "/*rest", true, 0},
		{"POST", "/a", "/*rest", false, 0},
		{"get", "/a", "/*rest", false, 0},
		{"GET", "/users/me", "/users/me", true, 0},
		{"GET", "/users/me/", "/users/me", true, 0},
		{"GET", "/users/%6de", "/users/me", true, 0},
		{"GET", "/users/ME", "/users/:id", true, 0},
		{"GET", "/users/me/posts", "", false, 0}, // never back to :id
		{"GET", "/users/7/posts", "/users/:id/posts", true, 0},
		{"GET", "/users/7/posts/1", "", false, 0}, // never back to *rest
		{"GET", "/users", "", false, 0},
		{"GET", "/users/", "", false, 0}, // a parameter is at least one byte
		{"DELETE", "/users/7", "/users/:id", true, 0},
		{"PATCH", "/users/7", "/users/:id", false, 0},
		{"GET", "/reports", "/reports/*rest", true, 0},
		{"GET", "/reports/", "/reports/*rest", true, 0},
		{"GET", "/reports/2030/1", "/reports/*rest", true, 0},
		{"GET", "/reports/new", "/reports/new", true, 0},
		{"GET", "/reports/new/x", "", false, 0},
		{"GET", "/files/a%2Fb", "/files/:name", true, 0},
		{"GET", "/files/a//b", "", false, request.DoubleSlash},
		{"GET", "/files//a", "/files/:name", true, request.DoubleSlash},
		{"GET", "/reports/a%2fb", "/reports/*rest", true, request.EncodedSlash},
		{"GET", "/reports%2fnew", "/*rest", true, request.EncodedSlash},
		{"GET", "//reports/new", "/reports/new", true, request.DoubleSlash},
		{"GET", "/reports/;x/new", "/reports/new", true, request.DoubleSlash | request.Semicolon},
		{"GET", "/app//x", "/app/*rest", true, 0},
		{"GET", "//app/x", "/app/*rest", true, 0},
		{"GET", "/app//x;y", "/app/*rest", true, request.Semicolon},
		{"GET", "/servlet/admin;jsessionid=1", "/servlet/admin", true, 0},
		{"GET", "/servlet/admin%3Bx", "/servlet/admin", true, 0},
		{"GET", "/servlet;x/admin", "/servlet/admin", true, 0},
		{"GET", "/servlet/admin/;x", "/servlet/admin", true, 0},
		{"GET", "/servlet/other;x", "/servlet/:page", true, request.Semicolon},
		{"GET", "/servlet/admi%6e%3bx", "/servlet/admin", true, 0},
		{"GET", "/caf%c3%a9/a%20b", "/café/a b", true, 0},
		{"GET", "/cafe%cc%81/a%20b", "/*rest", true, 0}, // another spelling of é is another path
		{"POST", "/v1/things%3abatch", "/v1/things:batch", true, 0},
		{"REPORT", "/v1/things:batch", "/v1/things:batch", true, 0},
		{"GET", "/" + strings.Repeat("%C3%A9", 600), "/*rest", true, 0},
	} {
		got := h.Match(parsed(t, c.path), c.method)
		if got.Pattern != c.pattern || (got.Route != nil) != c.matched || got.Ambiguities != c.odd {
			t.Errorf("%s %s: pattern %q, route %v, odd %q; want %q, %v, %q",
				c.method, c.path, got.Pattern, got.Route != nil, got.Ambiguities, c.pattern, c.matched, c.odd)
		}
	}
}

// TestOrderOfTheFileDoesNotMatter: the same routes the other way round decide the same.
func TestOrderOfTheFileDoesNotMatter(t *testing.T) {
	t.Parallel()
	head, routes, _ := strings.Cut(overlapping, "routes:\n")
	lines := strings.Split(strings.TrimSuffix(routes, "\n"), "\n")
	forwards := compile(t, overlapping)
	for range lines {
		lines = append(lines[1:], lines[0])
		turned := compile(t, head+"routes:\n"+strings.Join(lines, "\n")+"\n")
		for _, p := range []string{"/", "/x", "/users/me", "/users/7", "/users/me/posts", "/reports", "/reports/new", "/servlet/admin"} {
			for _, method := range []string{"GET", "PUT", "POST"} {
				a, b := forwards.Match(parsed(t, p), method), turned.Match(parsed(t, p), method)
				if a.Pattern != b.Pattern || (a.Route == nil) != (b.Route == nil) || fmt.Sprint(a.Allow) != fmt.Sprint(b.Allow) {
					t.Errorf("%s %s: %q and %q", method, p, a.Pattern, b.Pattern)
				}
			}
		}
	}
}

// TestNoPolicyIsTheLoginHosts: a wildcard covers its name, and says nothing about it.
func TestNoPolicyIsTheLoginHosts(t *testing.T) {
	t.Parallel()
	set, err := Compile([]File{{"a.yaml", []byte("host: \"*.viloforge.com\"\nupstream: website\nroutes: [{ path: /, allow: deny }]\n")}}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if testOptions.LoginHost == "" || set.Lookup(request.Host(testOptions.LoginHost)) != nil || set.Lookup("other.viloforge.com") == nil {
		t.Errorf("the login host %q has a policy, or nobody has", testOptions.LoginHost)
	}
}

func TestHostsAreLookedUpExactlyAndThenByOneLabel(t *testing.T) {
	t.Parallel()
	routes := "\nupstream: website\nroutes: [{ path: /, allow: public }]\n"
	set, err := Compile([]File{
		{"a.yaml", []byte(`host: "*.preview.viloforge.com"` + routes)},
		{"b.yaml", []byte("host: Special.Preview.viloforge.com" + routes)},
		{"c.yaml", []byte("host: website.example.org" + routes)},
	}, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[request.Host]string{
		"a.preview.viloforge.com": "*.preview.viloforge.com", "special.preview.viloforge.com": "special.preview.viloforge.com",
		"website.example.org": "website.example.org", "a.b.preview.viloforge.com": "", "preview.viloforge.com": "", "viloforge.com": "",
		"a.special.preview.viloforge.com": "", "com": "", "": "", "127.0.0.1": "", "[::1]": "", ".preview.viloforge.com.": "",
	} {
		got := ""
		if h := set.Lookup(host); h != nil {
			got = h.Host
		}
		if got != want {
			t.Errorf("Lookup(%q) = %q, want %q", host, got, want)
		}
	}
	if got := fmt.Sprint(set.Hosts()); got != "[*.preview.viloforge.com special.preview.viloforge.com website.example.org]" {
		t.Error(got)
	}
}
