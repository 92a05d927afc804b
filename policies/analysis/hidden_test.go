package analysis

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// findingsOf are the findings of routes of one host, as place: kind: text.
func findingsOf(t *testing.T, lines ...string) (found []string) {
	t.Helper()
	for _, f := range Check(compile(t, "host: a.viloforge.com\nupstream: site\npaths: case-sensitive\n"+strings.Join(lines, "\n")+"\n")) {
		found = append(found, fmt.Sprintf("%s: %s: %s", f.Place, f.Kind, f.Msg))
	}
	return found
}

// TestPathsThatAWordHides: a route beside a wider one that takes a whole folder of it away is warned of, with the request that
// proves it, and what is listed, or is nobody's anyway, is not.
func TestPathsThatAWordHides(t *testing.T) {
	t.Parallel()
	const rest = `  - { path: "/*rest", allow: authenticated }`
	get := func(path, methods, allow string) string {
		return fmt.Sprintf("  - { path: %q, methods: [%s], allow: %s }", path, methods, allow)
	}
	for name, c := range map[string]struct {
		routes []string
		want   []string // each finding's beginning
	}{
		"health": {[]string{get("/api/health", "GET", "public"), rest}, []string{
			"a.yaml:5:5: hidden-paths: GET /api/x as { user: someone } is denied, which /*rest (a.yaml:6:5) would allow: what begins with /api is for the routes that do, and none lists it; a route /api/*rest would",
		}},
		"once a word": {[]string{get("/api/health", "GET", "public"), get("/api/ready", "GET", "public"), get("/x/y/z", "GET", "public"), rest, `  - { path: "/:any", allow: authenticated }`}, []string{
			"a.yaml:5:5: hidden-paths: GET /api/x as", "a.yaml:7:5: hidden-paths: GET /x/x as", "a.yaml:8:5: narrowed-route",
		}},
		"a rest of its own":    {[]string{get("/api/health", "GET", "public"), `  - { path: "/api/*rest", allow: authenticated }`, rest}, nil},
		"a folder below":       {[]string{get("/api/v1/health", "GET", "public"), `  - { path: "/api/*rest", allow: authenticated }`, rest}, []string{"a.yaml:5:5: hidden-paths: GET /api/v1/x as"}},
		"nothing below":        {[]string{get("/health", "GET", "public"), rest}, nil},
		"in the folder":        {[]string{get("/", "GET", "public"), get("/api", "GET", "public"), rest}, nil},
		"the folder itself":    {[]string{`  - { path: "/users/:id", allow: authenticated }`, rest}, []string{"a.yaml:5:5: hidden-paths: GET /users as"}},
		"below a parameter":    {[]string{`  - { path: "/users/:id/posts", allow: authenticated }`, rest}, []string{"a.yaml:5:5: hidden-paths: GET /users/x as"}},
		"a word and parameter": {[]string{get("/users/me", "GET", "authenticated"), `  - { path: "/users/:id/posts", methods: [PUT], allow: { roles: [a] } }`}, []string{"a.yaml:5:5: hidden-paths: PUT /users/me/posts as { user: someone, roles: [a] } is denied, which /users/:id/posts"}},
		"behind parameters":    {[]string{get("/about", "GET", "public"), `  - { path: "/:tenant/files/*rest", allow: authenticated }`}, []string{"a.yaml:5:5: hidden-paths: GET /about/files as"}},
		"nobody's":             {[]string{get("/api/health", "GET", "public"), `  - { path: "/*rest", allow: deny }`}, nil},
		"in the shadow":        {[]string{get("/api/health", "GET", "public"), `  - { path: "/*rest", allow: authenticated, mode: shadow }`}, nil},
		"hidden in the shadow": {[]string{`  - { path: /api/health, allow: authenticated, mode: shadow }`, rest}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := findingsOf(t, append([]string{"routes:"}, c.routes...)...)
			if len(got) != len(c.want) {
				t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("got  %s\nwant %s", got[i], want)
				}
			}
		})
	}
}

// TestHiddenPathsAreDenied: each request that proves a hidden path is denied, and allowed where the word is not there.
func TestHiddenPathsAreDenied(t *testing.T) {
	t.Parallel()
	all := []string{"/a", "/a/b", "/a/:x", "/a/:x/b", "/:x", "/:x/b", "/:x/:y", "/a/*rest", "/:x/*rest", "/*rest", "/a/b/c", "/b/c/*rest"}
	found := 0
	for chosen := range 1 << len(all) {
		text := "host: a.viloforge.com\nupstream: site\npaths: case-sensitive\nroutes:\n"
		for i, pattern := range all {
			if chosen>>i&1 == 1 {
				text += fmt.Sprintf("  - { path: %q, allow: authenticated }\n", pattern)
			}
		}
		if chosen == 0 || chosen%7 != 0 {
			continue
		}
		set := compile(t, text)
		for _, f := range Check(set) {
			if f.Kind != HiddenPaths {
				continue
			}
			found++
			path := strings.Fields(f.Msg)[1]
			p, err := request.ParsePath(path)
			if err != nil {
				t.Fatal(err)
			}
			wide := strings.Fields(f.Msg[strings.Index(f.Msg, "which "):])[1]
			alone := compile(t, "host: a.viloforge.com\nupstream: site\nroutes:\n  - { path: \""+wide+"\", allow: authenticated }\n")
			if r := set.Policy("a.viloforge.com").Match(p, "GET").Route; r != nil || alone.Policy("a.viloforge.com").Match(p, "GET").Route == nil {
				t.Fatalf("%s\n%s: %+v", text, f.Msg, r)
			}
		}
	}
	if found == 0 {
		t.Error("nothing was hidden")
	}
}

// TestAcknowledgedWarnings: what a route or its file acknowledges is no finding, of others it is one still, and what is
// acknowledged in vain is one.
func TestAcknowledgedWarnings(t *testing.T) {
	t.Parallel()
	hook := func(path, more string) string {
		return "  - { path: " + path + ", methods: [POST], allow: public" + more + " }"
	}
	for name, c := range map[string]struct{ lines, want []string }{
		"of a route":  {[]string{"routes:", hook("/hook", ", acknowledge: [unsafe-public]")}, nil},
		"of another":  {[]string{"routes:", hook("/hook", ", acknowledge: [unsafe-public]"), hook("/more", "")}, []string{"a.yaml:6:5: unsafe-public: /more"}},
		"of the file": {[]string{"acknowledge: [unsafe-public]", "routes:", hook("/hook", ""), hook("/more", "")}, nil},
		"of both": {[]string{"acknowledge: [unsafe-public]", "routes:", hook("/hook", ", acknowledge: [unsafe-public]")}, []string{
			"a.yaml:4:15: unused-acknowledgement: the file has no warning unsafe-public that is not acknowledged already",
		}},
		"twice": {[]string{"routes:", hook("/hook", ", acknowledge: [unsafe-public, unsafe-public]")}, []string{"a.yaml:5:81: unused-acknowledgement: /hook has no warning unsafe-public that is not"}},
		"in vain": {[]string{"routes:", "  - { path: /a, allow: authenticated, acknowledge: [unsafe-public] }"}, []string{
			"a.yaml:5:53: unused-acknowledgement: /a has no warning unsafe-public",
		}},
		"no kind": {[]string{"acknowledge: [unsafe]", "routes:", hook("/hook", "")}, []string{
			`a.yaml:4:15: unused-acknowledgement: there is no kind of warning "unsafe" to acknowledge; there are unreachable-route, `, "a.yaml:6:5: unsafe-public",
		}},
		"itself":        {[]string{"acknowledge: [unused-acknowledgement, shadow-only]", "routes:", "  - { path: /a, allow: authenticated }"}, []string{`a.yaml:4:15: unused-acknowledgement: there is no kind`, "a.yaml:4:39: unused-acknowledgement"}},
		"a rule":        {[]string{"acknowledge: [unused-rule]", "rules: { a: { roles: [a] } }", "routes:", "  - { path: /a, allow: authenticated }"}, nil},
		"hidden paths":  {[]string{"routes:", "  - { path: /api/health, methods: [GET], allow: public, acknowledge: [hidden-paths] }", "  - { path: \"/*rest\", allow: authenticated }"}, nil},
		"a condition":   {[]string{"routes:", "  - { path: /a, allow: { any: [{ roles: [a] }, { roles: [a] }] }, acknowledge: [idle-condition] }"}, nil},
		"narrowed":      {[]string{"routes:", "  - { path: \"/r/:id\", allow: authenticated }", "  - { path: \"/r/*rest\", allow: authenticated, acknowledge: [narrowed-route] }"}, nil},
		"in the shadow": {[]string{"acknowledge: [shadow-only]", "routes:", "  - { path: /a, allow: authenticated, mode: shadow }"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := findingsOf(t, c.lines...)
			if len(got) != len(c.want) || slices.ContainsFunc(c.want, func(want string) bool {
				return !slices.ContainsFunc(got, func(g string) bool { return strings.HasPrefix(g, want) })
			}) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}

// TestShippedPoliciesHideNothing: the policies that come with the program have no warning of paths that are hidden.
func TestShippedPoliciesHideNothing(t *testing.T) {
	t.Parallel()
	files, err := policies.ShippedFor("viloforge.com")
	if err != nil {
		t.Fatal(err)
	}
	set, err := policies.Compile(files, policies.Options{Domain: "viloforge.com", PublicPort: 443, Standalone: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Check(set) {
		if f.Kind == HiddenPaths || f.Kind == UnusedAcknowledgement {
			t.Errorf("%s: %s", f.Place, f.Msg)
		}
	}
}
