package gateway

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
)

// BenchmarkWhole asks the whole gateway and a plain httputil.ReverseProxy for
// the same 1 KiB, over TLS 1.3 and kept-alive connections, in one run. Client,
// proxy and backend share this process, so that only the ratio says something.
func BenchmarkWhole(b *testing.B) {
	answer := strings.Repeat("x", 1024)
	p := newHotPath(b, 1)
	cookie := p.cookies[0]
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, answer); err != nil {
			b.Error(err)
		}
	}))
	defer backend.Close()
	address, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	for _, u := range p.gateway.generation.Load().upstreams {
		u.URLs = []*url.URL{address}
	}
	p.gateway.Swap(p.gateway.generation.Load())
	plain := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(address); r.SetXForwarded() },
		Transport: &http.Transport{MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdlePerAddress, DisableCompression: true},
	}
	for name, handler := range map[string]http.Handler{"plain": plain, "vilogate": p.gateway} {
		b.Run(name, func(b *testing.B) {
			front := httptest.NewUnstartedServer(handler)
			front.Config.ErrorLog = log.New(io.Discard, "", 0)
			front.StartTLS()
			defer front.Close()
			transport := front.Client().Transport.(*http.Transport)
			transport.TLSClientConfig.MinVersion = tls.VersionTLS13
			transport.MaxIdleConnsPerHost = 64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					r, err := http.NewRequest("GET", front.URL+"/service-7/1/items/a/b?page=2", nil)
					if err != nil {
						b.Error(err)
						return
					}
					r.Host = "app.example.test"
					r.Header.Set("Cookie", cookie)
					resp, err := transport.RoundTrip(r)
					if err != nil {
						b.Error(err)
						return
					}
					if n, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
						b.Errorf("%d bytes, status %d: %v", n, resp.StatusCode, err)
					}
					if err := resp.Body.Close(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
