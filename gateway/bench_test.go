package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

// hotPath is a gateway whose host has 1,000 routes, and a request that comes from
// as many signed-in people as asked for.
type hotPath struct {
	gateway *Gateway
	request *http.Request
	out     field.List // of the request to the backend
	lines   [1]string  // of Cookie
	bearer  []string   // the lines of Authorization; nil for none
	cookies []string   // the Cookie lines, by person
	targets []string
}

func newHotPath(t testing.TB, people int, options ...string) *hotPath {
	t.Helper()
	var file strings.Builder
	file.WriteString("host: app.example.test\nupstream: app\nroutes:\n")
	for i := range 1000 {
		fmt.Fprintf(&file, "  - { path: \"/service-%d/:id/items/*rest\", methods: [GET, POST], allow: { roles: [member] }%s }\n", i, strings.Join(options, ""))
	}
	set, err := policies.Compile([]policies.File{{Name: "app.yaml", Data: []byte(file.String())}}, policies.Options{
		Domain: "example.test", PublicPort: 443, Upstreams: []string{"app"}, Issuers: []string{token.OwnIssuer},
	})
	if err != nil {
		t.Fatal(err)
	}
	key, now := newKey(t), time.Now()
	verifier, err := token.NewVerifier(token.VerifierConfig{
		Issuers: []token.IssuerConfig{{
			Name: token.OwnIssuer, ISS: "https://login.example.test", Audiences: []string{"example"}, Own: true,
			Keys: jwks.Static([]token.PublicKey{key.Public()}), Cookie: "__Secure-sso",
		}},
		CacheBytes: 512 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := NewGeneration(Settings{
		Domain: "example.test", PublicPort: 443, Policies: set, Verifier: verifier,
		Upstreams: []Upstream{{Name: "app", URLs: []*url.URL{{Scheme: "http", Host: "127.0.0.1:1"}}}},
		Cookies:   []Cookie{{"__Secure-sso", token.OwnIssuer}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := &hotPath{}
	p.gateway, err = New(Options{
		AssertionKey: newKey(t), AssertionKeys: func() []byte { return nil }, Revocations: &revocations{},
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	p.gateway.Swap(generation)
	for i := range people {
		raw, err := key.SignAccess(token.Grant{
			Issuer: "https://login.example.test", Audience: "example", Subject: fmt.Sprint("u-", i), User: fmt.Sprint("user", i),
			Email: "someone@example.test", Name: "Someone", Session: fmt.Sprint("s-", i), ID: fmt.Sprint("t-", i),
			Roles: []string{"member"}, AMR: []string{"pwd"}, AuthTime: now, IssuedAt: now, Expires: now.Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		p.cookies = append(p.cookies, "theme=dark; lang=en; __Secure-sso="+raw)
	}
	for i := range 1000 {
		p.targets = append(p.targets, fmt.Sprintf("/service-%d/%d/items/a/b?page=2", i, i))
	}
	p.request = httptest.NewRequest("GET", "/", nil)
	p.request.Host = "app.example.test"
	p.request.Header = http.Header{
		"Accept": {"*/*"}, "User-Agent": {"Mozilla/5.0"}, "Accept-Encoding": {"gzip, br"}, "Accept-Language": {"en"}, "Sec-Fetch-Site": {"same-origin"},
	}
	return p
}

// decide takes the request of person i all its way up to forwarding: what the
// gateway adds to a plain proxy.
func (p *hotPath) decide(x *exchange, i int) error {
	r := p.request
	r.RequestURI = p.targets[i%len(p.targets)]
	p.lines[0] = p.cookies[i%len(p.cookies)]
	r.Header["Cookie"] = p.lines[:]
	if p.bearer != nil {
		r.Header["Authorization"] = p.bearer
	}
	*x = exchange{received: received{g: p.gateway, gen: p.gateway.generation.Load(), r: r, start: p.gateway.opts.Now()}}
	x.join()
	for _, step := range [...]func() error{x.locate, x.decide, x.decided.limit, x.prepare} {
		if err := step(); err != nil {
			return err
		}
	}
	p.out = p.out[:0]
	x.forwarding.setIdentity(&p.out)
	return nil
}

func BenchmarkHotPath(b *testing.B) {
	for _, people := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("tokens=%d", people), func(b *testing.B) {
			p := newHotPath(b, people)
			x := new(exchange)
			for i := range people {
				if err := p.decide(x, i); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := p.decide(x, i); err != nil {
					b.Fatal(err)
				}
				i += 7919
			}
		})
	}
}

// options are what costs a route something before the request is forwarded.
const options = ", rate: 1000000/s per user, max_body: 1MiB, strip_prefix: none, timeout: 10s, csrf: { exempt: [\"https://pay.example\"] }"

func BenchmarkHotPathWithOptions(b *testing.B) {
	p := newHotPath(b, 1, options)
	x := new(exchange)
	b.ReportAllocs()
	for b.Loop() {
		if err := p.decide(x, 0); err != nil && x.decided.limited.OK {
			b.Fatal(err)
		}
	}
}

// TestOptionsCostNoAllocation, the count of a rate included.
func TestOptionsCostNoAllocation(t *testing.T) {
	count := func(p *hotPath) float64 {
		x := new(exchange)
		return testing.AllocsPerRun(200, func() {
			if err := p.decide(x, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
	if without, with := count(newHotPath(t, 1)), count(newHotPath(t, 1, options)); with != without {
		t.Errorf("%v allocations with options, %v without", with, without)
	}
}

// TestHotPathAllocatesNothing for a cookie or a Bearer token that was verified before, on a route that only asks for a role. A
// cookie between others costs the line that is left of them.
func TestHotPathAllocatesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*hotPath)
		most float64
	}{
		"cookie":                {func(*hotPath) {}, 0},
		"cookie between others": {func(p *hotPath) { p.cookies[0] += "; b=c" }, 1},
		"Bearer": {func(p *hotPath) {
			_, token, _ := strings.Cut(p.cookies[0], "sso=")
			p.cookies[0], p.request.Header["Authorization"] = "a=b", []string{"Bearer " + token}
			p.bearer = p.request.Header["Authorization"]
		}, 0},
	} {
		p := newHotPath(t, 1)
		test.edit(p)
		x := new(exchange)
		if n := testing.AllocsPerRun(200, func() {
			if err := p.decide(x, 0); err != nil {
				t.Fatal(err)
			}
		}); n > test.most {
			t.Errorf("%s: %v allocations a request, want at most %v", name, n, test.most)
		}
	}
}
