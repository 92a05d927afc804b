package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// authority certifies backends, and clients of them.
type authority struct {
	tb       testing.TB
	pem      string
	template *x509.Certificate
	key      *ecdsa.PrivateKey
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb, template: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "backends"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		tb.Fatal(err)
	}
	a.pem = a.sign(a.template, &a.key.PublicKey)
	return a
}

func (a *authority) sign(template *x509.Certificate, key *ecdsa.PublicKey) string {
	a.tb.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, a.template, key, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// certify makes a certificate for a name, which ends then, and its key.
func (a *authority) certify(name string, end time.Time) (certificate, key string) {
	a.tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.tb.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: end.Add(-24 * time.Hour), NotAfter: end, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	return a.sign(template, &private.PublicKey), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// securedBackend speaks TLS: it has a certificate for backend.test, and wants one of the same authority.
type securedBackend struct {
	*httptest.Server
	handshakes, resumed atomic.Int64
	checks              atomic.Int64
}

func (a *authority) serve(tb testing.TB, certificate, key string, handler http.HandlerFunc) *securedBackend {
	tb.Helper()
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(key))
	if err != nil {
		tb.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.pem))
	b := &securedBackend{}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/healthz" {
			b.checks.Add(1)
			return
		}
		handler(w, r)
	}))
	b.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots, VerifyConnection: func(c tls.ConnectionState) error {
		if b.handshakes.Add(1); c.DidResume {
			b.resumed.Add(1)
		}
		return nil
	}}
	b.Config.ErrorLog = log.New(io.Discard, "", 0) // who does not trust it hangs up
	b.StartTLS()
	tb.Cleanup(b.Close)
	return b
}

// toBackends has a host for each upstream, of which the lines of the configuration are given.
func toBackends(t *testing.T, more map[string]string, upstreams ...string) *site {
	t.Helper()
	files := map[string]string{"vilogate.yaml": serveConfig + ownIdP + "upstreams:\n"}
	for name, text := range more {
		files[name] = text
	}
	for _, line := range upstreams {
		name, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		files["vilogate.yaml"] += "  " + line + "\n"
		files["policies/"+name+".yaml"] = fmt.Sprintf("host: %s.viloforge.test\nupstream: %s\nroutes:\n  - { path: /public/*rest, allow: public, encoded_slash: allow, semicolon: allow, double_encoding: allow, websocket: true }\n  - { path: /*rest, allow: authenticated }\n", name, name)
	}
	return serve(t, files)
}

// TestBackendsOverTLS: a backend with a certificate of a private authority, which wants one of the gateway; identity headers
// arrive as over TCP, sessions are resumed, checks go the same way, and a reload reads the files again.
func TestBackendsOverTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	certificate, key := a.certify("backend.test", time.Now().Add(time.Hour))
	own, ownKey := a.certify("gateway.test", time.Now().Add(time.Hour))
	backend := a.serve(t, certificate, key, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %q %s %s", r.Method, r.RequestURI, r.Host, r.Header.Get("X-User"), r.TLS.ServerName, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	line := func(options string) string {
		return fmt.Sprintf(`app: { url: "%s/base", %stls: { roots: ca.pem, name: backend.test, certificate: own.pem, key: own.key }, health: { path: /healthz, interval: 1s } }`, backend.URL, options)
	}
	files := map[string]string{"ca.pem": a.pem, "own.pem": own, "own.key": ownKey}
	s := toBackends(t, files, line(""))
	s.addUser("alice", "member")
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol)).login("alice")
		for range 3 {
			got := client.get(s.url("app", "/x%20y?q=1"))
			if want := `GET /base/x%20y?q=1 app.viloforge.test "alice" backend.test gateway.test`; got.status != http.StatusOK || got.body != want {
				t.Errorf("%s: %v, want %s", protocol, got, want)
			}
		}
	}
	eventually(t, "checks have succeeded", func() bool { return backend.checks.Load() > 1 })
	name := "app " + backend.URL + "/base"
	if got := s.addressStates(t)[name]; got.State != "healthy" {
		t.Errorf("%s is %+v", name, got)
	}
	if backend.resumed.Load() == 0 {
		t.Errorf("of %d handshakes none resumed a session", backend.handshakes.Load())
	}
	// The gateway's own certificate is read again.
	renewed, renewedKey := a.certify("renewed.test", time.Now().Add(time.Hour))
	writeFiles(t, s.dir, map[string]string{"own.pem": renewed, "own.key": renewedKey})
	s.must("", "reload", "--state", s.state)
	if got := s.client().get(s.url("app", "/public/x")); !strings.HasSuffix(got.body, " renewed.test") {
		t.Errorf("after a reload with another certificate: %v", got)
	}
}

// TestWhoIsNotTheBackendIsSentNothing: an address whose certificate has another name, has run out or is of somebody else is 502, and
// is ejected with a reason, as one that accepts no connection; nothing of a request arrives there.
func TestWhoIsNotTheBackendIsSentNothing(t *testing.T) {
	t.Parallel()
	a, strangers := newAuthority(t), newAuthority(t)
	arrived := func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s %s has arrived", r.Method, r.URL) }
	own, ownKey := a.certify("gateway.test", time.Now().Add(time.Hour))
	files := map[string]string{"ca.pem": a.pem, "own.pem": own, "own.key": ownKey}
	reasons := map[string]string{
		"name": "certificate is valid for other.test, not backend.test", "expired": "certificate has expired", "unknown": "certificate signed by unknown authority",
		"plain": "first record does not look like a TLS handshake", "uncertified": "connection closed before an answer",
	}
	serveAs := func(by *authority, name string, end time.Time) string {
		certificate, key := by.certify(name, end)
		return a.serve(t, certificate, key, arrived).URL
	}
	plain := newCheckedBackend(t, "plain")
	hour := time.Now().Add(time.Hour)
	const client = ", certificate: own.pem, key: own.key"
	line := func(name, url, more string) string {
		return fmt.Sprintf(`%s: { url: %q, tls: { roots: ca.pem, name: backend.test%s } }`, name, url, more)
	}
	s := toBackends(t, files, line("name", serveAs(a, "other.test", hour), client), line("expired", serveAs(a, "backend.test", time.Now().Add(-time.Minute)), client),
		line("unknown", serveAs(strangers, "backend.test", hour), client), line("plain", "https://"+plain.address(), client), line("uncertified", serveAs(a, "backend.test", hour), ""))
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol))
		for name, reason := range reasons {
			if got := client.do(http.MethodPost, s.url(name, "/public/x"), "body"); got.status != http.StatusBadGateway || strings.Contains(got.body, "certificate") {
				t.Errorf("%s: %v, want 502 without the reason", name, got)
			}
			eventually(t, name+": the log says "+reason, func() bool { return strings.Contains(s.output.String(), reason) })
			found := false
			for _, state := range s.addressStates(t) {
				if state.Upstream == name {
					found = true
					if state.State != "ejected" || !strings.Contains(state.Reason, reason) {
						t.Errorf("%s: %+v, want ejected: %s", name, state, reason)
					}
				}
			}
			if !found {
				t.Errorf("%s is no address", name)
			}
		}
	}
	if n := plain.asked.Load(); n != 0 {
		t.Errorf("%d requests have arrived at a backend without TLS", n)
	}
}

// TestARequestGoesToTheAddressThatIsTheBackend: of two, one of which has the wrong certificate, it goes to the other, whatever its
// method: nothing was sent.
func TestARequestGoesToTheAddressThatIsTheBackend(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	own, ownKey := a.certify("gateway.test", time.Now().Add(time.Hour))
	urls := make([]string, 2)
	for i, name := range []string{"other.test", "backend.test"} {
		certificate, key := a.certify(name, time.Now().Add(time.Hour))
		urls[i] = a.serve(t, certificate, key, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }).URL
	}
	s := toBackends(t, map[string]string{"ca.pem": a.pem, "own.pem": own, "own.key": ownKey},
		fmt.Sprintf(`app: { urls: [%q, %q], tls: { roots: ca.pem, name: backend.test, certificate: own.pem, key: own.key } }`, urls[0], urls[1]))
	client := s.client()
	for range 10 {
		if got := client.do(http.MethodPost, s.url("app", "/public/x"), "body"); got.status != http.StatusOK || got.body != "backend.test" {
			t.Errorf("%v", got)
		}
	}
}

// TestGunicornOnAUnixSocket: the socket is asked as an address is, with the Host of the client.
func TestGunicornOnAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "socket") // whose path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	writeFiles(t, dir, map[string]string{"app.py": `
def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    body = environ["wsgi.input"].read()
    return [("%s %s %s %s %s" % (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["HTTP_HOST"], environ.get("HTTP_X_USER", ""), body.decode())).encode()]
`})
	socket := filepath.Join(dir, "app.sock")
	launch(t, dir, append(os.Environ(), "HOME="+dir), program(t, "gunicorn", "gunicorn"), "--bind", "unix:"+socket, "--workers", "1", "app")
	s := toBackends(t, nil, fmt.Sprintf("app: { url: %q, health: { path: /up, interval: 1s }, keepalive: 1s }", "unix:"+socket))
	s.addUser("alice", "member")
	eventually(t, "gunicorn answers", func() bool { return s.client().get(s.url("app", "/public/x")).status == http.StatusOK })
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol)).login("alice")
		got := client.do(http.MethodPost, s.url("app", "/x"), "a body", "Origin: https://"+appHost, "Sec-Fetch-Site: same-origin")
		if want := "POST /x app.viloforge.test alice a body"; got.status != http.StatusOK || got.body != want {
			t.Errorf("%s: %v, want %s", protocol, got, want)
		}
	}
	eventually(t, "it is healthy", func() bool { return s.addressStates(t)["app unix:"+socket].State == "healthy" })
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, "unix:"+socket) {
		t.Errorf("vilogate status: %s", said)
	}
}

// TestNothingIsForwardedBesideThePrefix: whatever a client asks for, what arrives is below the path of the backend's address.
func TestNothingIsForwardedBesideThePrefix(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := toBackends(t, nil, fmt.Sprintf("app: { url: %q }", backend.url()+"/base/app/"))
	for _, target := range []string{
		"/public/x", "/public/", "/public/a%2Fb", "/public/a;b=c", "/public/../x", "/public/%2e%2e/x", "/public/..%2f..%2fx", "/public/..;/x", "/public/%252e%252e/x", "/public/.%2e", "/public/..",
		"//public/x", "/public/x?next=/../y", "/public/a%2F..%2F..%2F..%2Fx", "/public/a%5C..%5Cx", "http://other.test/public/x", "/public/%2e%2e%2f%2e%2e%2fx",
	} {
		s.http1(t, request{host: appHost, target: target})
	}
	arrived := backend.all()
	for _, r := range arrived {
		target := strings.Fields(r.head)[1]
		path, _, _ := strings.Cut(target, "?")
		if !strings.HasPrefix(path, "/base/app/public/") || strings.Contains(path, "..") || strings.Contains(path, "//") {
			t.Errorf("%s has arrived", target)
		}
	}
	if len(arrived) < 4 {
		t.Errorf("only %d requests have arrived", len(arrived))
	}
}

// TestIPv6Backends are written as URLs have them.
func TestIPv6Backends(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	backend := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) })}}
	backend.Start()
	t.Cleanup(backend.Close)
	s := toBackends(t, nil, fmt.Sprintf("app: { url: \"http://%s\" }", listener.Addr()))
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusOK || got.body != "app.viloforge.test" {
		t.Errorf("%v", got)
	}
}
