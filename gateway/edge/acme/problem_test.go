package acme_test

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/edge/acme/acmetest"
)

// Each accident is said with what was tried and what to do next; the message holds
// no secret, and nothing that costs something is repeated at once.
func TestWhatWentWrongIsSaid(t *testing.T) {
	t.Parallel()
	none := func(*testing.T, *acmetest.World, *acme.Options) {}
	for name, row := range map[string]struct {
		authority acmetest.PebbleOptions
		zone      string // default: viloforge.test
		spoil     func(t *testing.T, w *acmetest.World, o *acme.Options)
		want      []string
		orders    int
	}{
		"a token that may not edit DNS": {
			spoil: func(_ *testing.T, w *acmetest.World, _ *acme.Options) {
				w.Cloudflare.Refuse(func(r *http.Request) (int, int, string) {
					if r.Method == http.MethodPost {
						return http.StatusForbidden, 10000, "Authentication error"
					}
					return 0, 0, ""
				})
			},
			want:   []string{"adding the TXT record _acme-challenge.viloforge.test through Cloudflare", "Authentication error (code 10000)", "api_token is not allowed to", "Zone / DNS / Edit"},
			orders: 1,
		},
		"a token that is none": {
			spoil:  func(_ *testing.T, _ *acmetest.World, o *acme.Options) { o.APIToken = "another-token-that-is-secret" },
			want:   []string{"Invalid access token (code 9109)", "api_token is not allowed to"},
			orders: 1,
		},
		"a zone that the token does not see": {
			spoil: func(_ *testing.T, w *acmetest.World, _ *acme.Options) {
				w.Cloudflare.HideZones(true)
			},
			want:   []string{"there is no such zone among those that the token may see", "give the token access to the zone"},
			orders: 1,
		},
		"an authority that is away": {
			spoil: func(_ *testing.T, w *acmetest.World, _ *acme.Options) { w.Stop() },
			want:  []string{"asking the authority for its directory (https://127.0.0.1:", "connection refused", "is it reachable from here"},
		},
		"an authority that is no authority": {
			spoil: func(t *testing.T, _ *acmetest.World, o *acme.Options) {
				server := httptest.NewTLSServer(http.NotFoundHandler())
				t.Cleanup(server.Close)
				o.Directory, o.Roots = server.URL, rootsOf(server)
			},
			want: []string{"it answered 404 Not Found"},
		},
		"an authority that is not trusted": {
			spoil: func(_ *testing.T, _ *acmetest.World, o *acme.Options) { o.Roots = x509.NewCertPool() },
			want:  []string{"certificate signed by unknown authority", "certificates.ca_roots"},
		},
		"a rate limit": {
			spoil: func(t *testing.T, w *acmetest.World, o *acme.Options) {
				rateLimited(t, w, o, http.StatusTooManyRequests, "7200", `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many new orders","status":429}`)
			},
			want: []string{"asking the authority for a certificate for viloforge.test", "too many new orders", "asks for patience"},
		},
		"a clock that is ahead": {
			spoil: func(_ *testing.T, _ *acmetest.World, o *acme.Options) {
				o.Now = func() time.Time { return time.Now().Add(100 * 24 * time.Hour) }
			},
			want: []string{"comparing the clock with the authority's", "2400h0m0s ahead of it", "set the clock (NTP)"},
		},
		"a clock that is behind": {
			spoil: func(_ *testing.T, _ *acmetest.World, o *acme.Options) {
				o.Now = func() time.Time { return time.Now().Add(-5 * time.Hour) }
			},
			want: []string{"5h0m0s behind it", "set the clock (NTP)"},
		},
		"a record that never shows": {
			spoil: func(_ *testing.T, w *acmetest.World, o *acme.Options) {
				w.Zones.HideTXT(true)
				o.PropagationTimeout = 3 * time.Second
			},
			want:   []string{"waiting for the TXT record _acme-challenge.viloforge.test to be seen at 127.0.0.1:", "timed out", "delegated to Cloudflare's name servers", "propagation_timeout"},
			orders: 1,
		},
		"name servers that are away": {
			zone:   "elsewhere.test", // whose zone nobody has looked up in this process yet
			spoil:  func(_ *testing.T, _ *acmetest.World, o *acme.Options) { o.Resolvers = []string{"127.0.0.1:1"} },
			want:   []string{"adding the TXT record", "could not determine zone", "certificates.dns.resolvers"},
			orders: 1,
		},
		"a storage that cannot be written": {
			spoil: func(t *testing.T, _ *acmetest.World, o *acme.Options) {
				file := filepath.Join(t.TempDir(), "file")
				if err := os.WriteFile(file, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				o.Storage = &certmagic.FileStorage{Path: filepath.Join(file, "certificates")}
			},
			want: []string{"using the storage of certificates for viloforge.test", "not a directory", "there and writable"},
		},
		"an account that the authority wants to know": {
			authority: acmetest.PebbleOptions{EAB: map[string]string{"kid-1": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}},
			spoil:     none,
			want:      []string{"registering an account at the authority", "externalAccountRequired", "set certificates.eab"},
		},
		"a name that the authority refuses": {
			authority: acmetest.PebbleOptions{Blocked: []string{"viloforge.test"}},
			spoil:     none,
			want:      []string{"asking the authority for a certificate for viloforge.test", "rejectedIdentifier", "look at certificates.names"},
		},
		"a challenge name that is no alias": {
			spoil: func(_ *testing.T, _ *acmetest.World, o *acme.Options) { o.ChallengeDomain = "acme.example.test" },
			want: []string{
				"looking up _acme-challenge.viloforge.test", "no alias of the challenge domain acme.example.test",
				"create the record `_acme-challenge.viloforge.test. CNAME acme.example.test.`",
			},
		},
		"a challenge name that is another's alias": {
			spoil: func(_ *testing.T, w *acmetest.World, o *acme.Options) {
				o.ChallengeDomain = "acme.example.test"
				w.Zones.Alias("_acme-challenge.viloforge.test", "elsewhere.example.test")
			},
			want: []string{"it is an alias of elsewhere.example.test, not of the challenge domain acme.example.test"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone := cmp.Or(row.zone, "viloforge.test")
			w := acmetest.New(t, row.authority, zone, "example.test")
			s := &served{}
			o := options(t, w, filepath.Join(t.TempDir(), "certificates"), s)
			o.Names = []string{zone}
			row.spoil(t, w, &o)
			m, stop := manage(t, o)
			var status acme.Status
			eventually(t, "a failure", func() bool { status = m.Status()[0]; return status.Failures > 0 })
			stop()
			for _, part := range row.want {
				if !strings.Contains(status.LastError, part) {
					t.Errorf("%q does not say %q", status.LastError, part)
				}
			}
			if w.Orders() != row.orders {
				t.Errorf("%d orders, want %d", w.Orders(), row.orders)
			}
			for _, secret := range []string{acmetest.Token, "another-token-that-is-secret", "PRIVATE KEY", "zWNDZM6e"} {
				if strings.Contains(s.log.String()+status.LastError, secret) {
					t.Errorf("%q was said", secret)
				}
			}
			if m.Ready() == nil || !strings.Contains(m.Ready().Error(), row.want[0]) {
				t.Errorf("ready: %v", m.Ready())
			}
		})
	}
}

// Nothing is asked before the authority wants to be asked, by no process and for
// nobody who is in a hurry.
func TestRetryAfterIsRespected(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	dir := filepath.Join(t.TempDir(), "certificates")
	o := options(t, w, dir, &served{})
	o.Names = o.Names[:1]
	asked := rateLimited(t, w, &o, http.StatusTooManyRequests, "7200", `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}`)
	for range 3 {
		m, stop := manage(t, o)
		eventually(t, "the failure", func() bool { return m.Status()[0].Failures > 0 })
		if at := m.Status()[0].NextAttempt; at == nil || time.Until(*at) < time.Hour || time.Until(*at) > 3*time.Hour {
			t.Errorf("the next attempt is at %v", at)
		}
		if err := m.Renew(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "the authority's Retry-After") {
			t.Errorf("in a hurry: %v", err)
		}
		stop()
	}
	if got := asked(); got != 1 {
		t.Errorf("asked %d times", got)
	}
}

// rateLimited has the authority answer every new order alike.
func rateLimited(t *testing.T, w *acmetest.World, o *acme.Options, status int, retryAfter, body string) (asked func() int) {
	t.Helper()
	f := proxyAuthority(t, w, o)
	f.answer.Store(&answer{"/order-plz", status, retryAfter, "application/problem+json", body})
	return f.answered.count
}

// An answer is given in the authority's stead to requests for a path.
type answer struct {
	path       string
	status     int
	retryAfter string
	kind       string
	body       string
}

// An authorityProxy is a reverse proxy before the authority.
type authorityProxy struct {
	answer   atomic.Pointer[answer] // nil: everything goes through
	answered counter
}

// proxyAuthority puts a proxy before the authority, for whoever has these options.
func proxyAuthority(t *testing.T, w *acmetest.World, o *acme.Options) *authorityProxy {
	t.Helper()
	authority, err := url.Parse(w.Directory)
	if err != nil {
		t.Fatal(err)
	}
	f := &authorityProxy{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: authority.Host})
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: w.Trusted()}},
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a := f.answer.Load()
		if a == nil || !strings.HasPrefix(r.URL.Path, a.path) {
			proxy.ServeHTTP(rw, r)
			return
		}
		f.answered.add()
		rw.Header().Set("Content-Type", a.kind)
		rw.Header().Set("Retry-After", a.retryAfter)
		rw.WriteHeader(a.status)
		if _, err := rw.Write([]byte(a.body)); err != nil {
			t.Logf("answering: %v", err)
		}
	}))
	t.Cleanup(server.Close)
	// The client remembers directories by their addresses, for as long as the process lives: a port that was another test's
	// before is no reason to know this one.
	o.Directory, o.Roots = server.URL+"/dir?"+url.QueryEscape(t.Name()), rootsOf(server)
	return f
}

func rootsOf(server *httptest.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	return pool
}

// The challenge may be delegated to a zone of its own, so that nobody needs a
// token for the zone of the names.
func TestTheChallengeIsDelegated(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test", "example.test")
	w.Zones.Alias("_acme-challenge.viloforge.test", "acme.example.test")
	w.Cloudflare.Refuse(func(r *http.Request) (int, int, string) {
		if strings.Contains(r.URL.String(), "viloforge") {
			return http.StatusForbidden, 10000, "Authentication error"
		}
		return 0, 0, ""
	})
	o := options(t, w, filepath.Join(t.TempDir(), "certificates"), &served{})
	o.ChallengeDomain = "acme.example.test"
	m, stop := manage(t, o)
	eventually(t, "both certificates", func() bool { return m.Ready() == nil })
	stop()
	if left := w.Zones.TXT(); len(left) > 0 || w.Orders() != 2 {
		t.Errorf("%d orders; records left: %v", w.Orders(), left)
	}
}

// The account is bound to one that the authority knows.
func TestExternalAccountBinding(t *testing.T) {
	t.Parallel()
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	w := acmetest.New(t, acmetest.PebbleOptions{EAB: map[string]string{"kid-1": key}}, "viloforge.test")
	s := &served{}
	o := options(t, w, filepath.Join(t.TempDir(), "certificates"), s)
	o.Names, o.EAB = o.Names[:1], &acme.EAB{KeyID: "kid-1", MACKey: key}
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	stop()
	if strings.Contains(s.log.String(), key) {
		t.Error("the key is in the log")
	}
}

// An authority that has forgotten our account, as after it was set up anew, is
// told of it again.
func TestAnAccountThatTheAuthorityForgot(t *testing.T) {
	t.Parallel()
	w := acmetest.New(t, acmetest.PebbleOptions{}, "viloforge.test")
	s := &served{}
	o := options(t, w, filepath.Join(t.TempDir(), "certificates"), s)
	o.Names = o.Names[:1]
	m, stop := manage(t, o)
	eventually(t, "the certificate", func() bool { return m.Ready() == nil })
	first := s.certificates()[0].Leaf.SerialNumber
	w.Stop()
	w.Start()
	if err := m.Renew(t.Context(), "viloforge.test"); err != nil {
		t.Fatal(err)
	}
	stop()
	if s.certificates()[0].Leaf.SerialNumber.Cmp(first) == 0 {
		t.Error("the certificate is the old one")
	}
	if err := m.Renew(t.Context(), "other.test"); err == nil || !strings.Contains(err.Error(), "no certificate is configured for other.test") {
		t.Errorf("a name that nobody configured: %v", err)
	}
}
