package policies

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// table is the text of a policy of n routes: services of ten routes each, as they are written.
func table(n int) string {
	var file strings.Builder
	file.WriteString("host: website.viloforge.com\nupstream: website\nroutes:\n")
	for i := range n / 10 {
		for _, route := range []string{
			`/healthz", methods: [GET], allow: public }`,
			`/items", methods: [GET], allow: authenticated }`,
			`/items", methods: [POST], allow: { roles: [admin, member] } }`,
			`/items/:id", methods: [GET], allow: authenticated }`,
			`/items/:id", methods: [PUT, DELETE], allow: { roles: [admin] } }`,
			`/items/:id/files/*rest", methods: [GET, POST], allow: { roles: [admin, member], mfa: 15m } }`,
			`/users/:id", allow: { any: [{ roles: [admin] }, { users: [alice], networks: [10.0.0.0/8] }] } }`,
			`/users/me", methods: [GET], allow: authenticated }`,
			`/reports/*rest", allow: { roles: [auditor], max_age: 8h } }`,
			`/admin/*rest", allow: { roles: [admin], mfa: 5m, not: { users: [guest] } } }`,
		} {
			fmt.Fprintf(&file, "  - { path: \"/service-%d%s\n", i, route)
		}
	}
	return file.String()
}

// sizes of tables, with what is asked of each.
var tableSizes = []int{10, 1_000, 100_000}

// asked are requests of a table of n routes, of a service in its middle.
func asked(n int) map[string]string {
	service := fmt.Sprintf("/service-%d", n/20)
	return map[string]string{
		service + "/items/42/files/a/b/c":                              "GET",
		service + "/users/caf%C3%A9":                                   "PUT",
		service + "/admin":                                             "DELETE",
		service + "/items":                                             "PATCH",
		service + "/nowhere":                                           "GET",
		service + ";x//items":                                          "GET",
		service + "/items/" + strings.Repeat("%C3%A9", 128):            "GET",
		"/" + strings.Repeat("a", 200) + "/b":                          "GET",
		service + "/reports/" + strings.Repeat("x/", 50) + "?page=2&q": "GET",
	}
}

// member is somebody whom the tables let do some things.
func member() *Identity {
	return &Identity{Issuer: "vilogate", User: "alice", Roles: []string{"member"}, AuthTime: time.Unix(1000, 0), MFATime: time.Unix(1000, 0)}
}

// TestDecidingCostsNoAllocation, however large the table is, from the text of the request to the reason.
func TestDecidingCostsNoAllocation(t *testing.T) {
	for _, n := range tableSizes {
		if n > 10_000 && testing.Short() {
			continue
		}
		h := compile(t, table(n))
		for raw, method := range asked(n) {
			for _, who := range []*Identity{member(), nil} {
				if allocations := testing.AllocsPerRun(100, func() {
					target, err := request.Canonicalise(method, "website.viloforge.com", raw)
					if err != nil {
						t.Fatal(err)
					}
					facts := Facts{Now: time.Unix(1001, 0), Method: target.Method, Host: target.Host, Path: target.Path, Query: target.Query}
					if d := h.Match(target.Path, target.Method).whole(facts, who); d.Reason == "" {
						t.Fatal("no reason")
					}
				}); allocations != 0 {
					t.Errorf("%d routes, %s %.40s: %v allocations", n, method, raw, allocations)
				}
			}
		}
	}
}

// BenchmarkDecide is from the canonical path to the decision: match and decide.
func BenchmarkDecide(b *testing.B) {
	for _, n := range tableSizes {
		b.Run(fmt.Sprintf("Routes%d", n), func(b *testing.B) {
			h, id := compile(b, table(n)), member()
			for name, request := range map[string]string{
				"Roles": "/items/42/files/a/b/c", "Any": "/users/bob", "None": "/nowhere/at/all",
			} {
				p := parsed(b, fmt.Sprintf("/service-%d%s", n/20, request))
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					f := Facts{Now: time.Unix(1001, 0), Method: "GET", Path: p}
					for b.Loop() {
						if h.Match(p, "GET").whole(f, id).Reason == "" {
							b.Fatal("no reason")
						}
					}
				})
			}
		})
	}
}

// BenchmarkDecideExpression is the same for a route with an expression.
func BenchmarkDecideExpression(b *testing.B) {
	h := compile(b, expressive)
	f := Facts{Method: "GET", Path: parsed(b, "/email")}
	id := &Identity{Email: "alice@viloforge.com", EmailVerified: true}
	b.ReportAllocs()
	for b.Loop() {
		if h.Match(f.Path, "GET").whole(f, id).Outcome != Allow {
			b.Fatal("refused")
		}
	}
}

// longRest is a route whose four expressions mention the same maps eight times.
const longRest = `
host: website.viloforge.com
upstream: website
routes:
  - path: "/four/*rest"
    allow:
      optional: true
      any:
        - { when: 'request.params.rest == "a" || request.params.rest == "b" || request.params.rest == "c"' }
        - { when: 'request.params.rest == "d" && request.params.rest != "e"' }
        - { when: 'request.query["q"] == "f" || request.query["q"] == "g"' }
        - { when: 'request.headers["x-tenant"] == "h" || request.headers["x-tenant"] == "i"' }
`

// deepPath is a path below /four of n segments of one letter.
func deepPath(t testing.TB, n int) request.Path { return parsed(t, "/four"+strings.Repeat("/a", n)) }

// TestMapsAreMadeOnceADecision: however long the path, and however often its parameters are mentioned, a decision takes memory
// in proportion to the path.
func TestMapsAreMadeOnceADecision(t *testing.T) {
	h := compile(t, longRest)
	bytesOf := func(n int) int64 {
		p := deepPath(t, n)
		facts := Facts{Now: time.Unix(1001, 0), Method: "GET", Path: p, Query: "q=x", Header: Fields{"X-Tenant": {"y"}}}
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if d := h.Match(p, "GET").whole(facts, nil); d.Outcome != Login {
				t.Fatalf("%v", d)
			}
		}
		runtime.ReadMemStats(&after)
		return int64(after.TotalAlloc-before.TotalAlloc) / runs
	}
	short := bytesOf(3) // the cost of CEL's own
	const segments = 30_000
	// A builder that grows takes a few times what it holds in the end.
	if got, most := bytesOf(segments)-short, int64(2*segments*8); got > most {
		t.Errorf("a decision about %d segments takes %d bytes more than about three, and may take %d", segments, got, most)
	}
}

// BenchmarkDecideLongRest grows with the path, and no faster.
func BenchmarkDecideLongRest(b *testing.B) {
	h := compile(b, longRest)
	for _, n := range []int{30, 3_000, 30_000} {
		b.Run(fmt.Sprintf("Segments%d", n), func(b *testing.B) {
			p := deepPath(b, n)
			f := Facts{Now: time.Unix(1001, 0), Method: "GET", Path: p, Query: "q=x", Header: Fields{"X-Tenant": {"y"}}}
			b.ReportAllocs()
			for b.Loop() {
				if h.Match(p, "GET").whole(f, nil).Reason == "" {
					b.Fatal("no reason")
				}
			}
		})
	}
}

// BenchmarkCanonicaliseAndDecide is from the request line to the decision.
func BenchmarkCanonicaliseAndDecide(b *testing.B) {
	h, id := compile(b, table(1_000)), member()
	b.ReportAllocs()
	for b.Loop() {
		target, err := request.Canonicalise("GET", "website.viloforge.com", "/service-50/items/42/files/a/b/c?page=2")
		if err != nil {
			b.Fatal(err)
		}
		f := Facts{Now: time.Unix(1001, 0), Method: target.Method, Host: target.Host, Path: target.Path}
		if h.Match(target.Path, target.Method).whole(f, id).Outcome != Allow {
			b.Fatal("refused")
		}
	}
}

// BenchmarkCompile reads, checks and compiles a table, and says how much memory it keeps.
func BenchmarkCompile(b *testing.B) {
	for _, n := range tableSizes {
		b.Run(fmt.Sprintf("Routes%d", n), func(b *testing.B) {
			text := []byte(table(n))
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var set *Set
			for b.Loop() {
				var err error
				if set, err = Compile([]File{{"policy.yaml", text}}, testOptions); err != nil {
					b.Fatal(err)
				}
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "bytes/route")
			runtime.KeepAlive(set)
		})
	}
}
