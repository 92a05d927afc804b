package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"
)

// nginxBehindPROXY starts an nginx that takes the PROXY protocol alone, over TCP and TLS, and says who it thinks asks.
func nginxBehindPROXY(t *testing.T, certificate, key string) (plain, secured string) {
	t.Helper()
	dir := t.TempDir()
	plain, secured = freeAddress(t), freeAddress(t)
	writeFiles(t, dir, map[string]string{"cert.pem": certificate, "key.pem": key, "nginx.conf": fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s proxy_protocol; listen %[3]s ssl proxy_protocol; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;
    location / { default_type text/plain; return 200 "$remote_addr $proxy_protocol_addr $connection_requests"; }
  }
}
`, dir, plain, secured)})
	launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "nginx", "nginx-light"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "stderr")
	eventually(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", plain)
		if err != nil {
			return false
		}
		closeQuietly(t, c)
		return true
	})
	return plain, secured
}

// TestPROXYHeadersToNginx: a real backend learns from the PROXY header who the client is, over TCP and before TLS, in both versions;
// clients never share a connection, and one request is what it is for.
func TestPROXYHeadersToNginx(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	certificate, key := a.certify("backend.test", time.Now().Add(time.Hour))
	plain, secured := nginxBehindPROXY(t, certificate, key)
	config := serveConfig + ownIdP + fmt.Sprintf(`
trusted_proxies: [127.0.0.1/32]
upstreams:
  one: { url: "http://%[1]s", proxy_protocol: v1, health: { path: /, interval: 1s } }
  two: { url: "http://%[1]s", proxy_protocol: v2, health: { path: /, interval: 1s } }
  tls: { url: "https://%[2]s", proxy_protocol: v2, tls: { roots: ca.pem, name: backend.test }, health: { path: /, interval: 1s } }
`, plain, secured)
	files := map[string]string{"vilogate.yaml": config, "ca.pem": a.pem}
	for _, name := range []string{"one", "two", "tls"} {
		files["policies/"+name+".yaml"] = fmt.Sprintf("host: %s.viloforge.test\nupstream: %s\nroutes: [ { path: /*rest, allow: public } ]\n", name, name)
	}
	s := serve(t, files)
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, name := range []string{"one", "two", "tls"} {
			for _, from := range []string{"192.0.2.7", "2001:db8::7", "198.51.100.9"} {
				got := c.do(http.MethodPost, s.url(name, "/x"), "body", "X-Forwarded-For: "+from)
				if want := from + " " + from + " 1"; got.status != http.StatusOK || got.body != want {
					t.Errorf("%s, %s: got %v, want %q", protocol, name, got, want)
				}
			}
		}
	}
	for _, name := range []string{"one", "two"} {
		eventually(t, name+" is asked for its health", func() bool {
			return s.addressStates(t)[name+" "+plain].State == "healthy"
		})
	}
}

// proxyRecorder takes connections that begin with a PROXY header, and answers with what the header said.
type proxyRecorder struct {
	*httptest.Server
	mu      sync.Mutex
	headers []string // guarded by mu
}

func newPROXYRecorder(t *testing.T) *proxyRecorder {
	t.Helper()
	r := &proxyRecorder{}
	type key struct{}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if conn, ok := request.Context().Value(key{}).(*proxyproto.Conn); ok {
			h := conn.ProxyHeader()
			r.mu.Lock()
			r.headers = append(r.headers, fmt.Sprintf("%s: %d %t %v", request.UserAgent(), h.Version, h.Command.IsLocal(), h.SourceAddr))
			r.mu.Unlock()
		}
		fmt.Fprint(w, request.RemoteAddr)
	}))
	r.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, c) }
	r.Listener = &proxyproto.Listener{Listener: r.Listener, ConnPolicy: func(proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) { return proxyproto.REQUIRE, nil }}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// TestPROXYHeaders: which client the header names, with the port where the client is the peer; that of checks names nobody.
func TestPROXYHeaders(t *testing.T) {
	t.Parallel()
	backend := newPROXYRecorder(t)
	s := toBackends(t, nil, fmt.Sprintf("app: { url: %q, proxy_protocol: v2, tcp_keepalive: 5s, health: { path: /, interval: 1s } }", backend.URL))
	conn := s.handshake(t, s.tls(s.serverName(s.authority("app")), "http/1.1"))
	for range 2 {
		if _, err := fmt.Fprintf(conn, "GET /public/x HTTP/1.1\r\nHost: %s\r\n\r\n", s.authority("app")); err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		r, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != conn.LocalAddr().String() {
			t.Errorf("the backend was told of %q, %v; the client is %s", body, err, conn.LocalAddr())
		}
	}
	eventually(t, "a check has come", func() bool {
		backend.mu.Lock()
		defer backend.mu.Unlock()
		return strings.Contains(strings.Join(backend.headers, "\n"), "vilogate-health-check: 2 true <nil>")
	})
	backend.mu.Lock()
	defer backend.mu.Unlock()
	if all := strings.Join(backend.headers, "\n"); strings.Count(all, "2 false "+conn.LocalAddr().String()) != 2 {
		t.Errorf("the headers were\n%s", all)
	}
}
