package main_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// serveHTTP3 is serveConfig with HTTP/3, and our own IdP.
var serveHTTP3 = strings.Replace(serveConfig, "listen: {", "listen: { http3: 127.0.0.1:0,", 1) + ownIdP

// raw3 sends the fields of a request, each as name and value, over a stream of HTTP/3, and returns what comes back.
func (s *site) raw3(t *testing.T, fields ...string) string {
	t.Helper()
	conn, err := quic.DialAddr(t.Context(), s.at.HTTP3, &tls.Config{RootCAs: s.roots, ServerName: appHost, NextProtos: []string{http3.NextProtoH3}}, patientQUIC())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseWithError(0, "") }() // it may have ended
	stream, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := qpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		if err := encoder.WriteField(qpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			t.Fatal(err)
		}
	}
	frame := quicvarint.Append([]byte{1}, uint64(block.Len()))
	if _, err := stream.Write(append(frame, block.Bytes()...)); err != nil {
		t.Fatal(err)
	}
	_ = stream.Close() // it may be refused already
	all, err := io.ReadAll(stream)
	return fmt.Sprintf("%q %v", all, err)
}

// TestHostStandsOnceOverHTTP3: what the backend is asked for is the gateway's to say, whether a client names the host in :authority,
// in Host or in both.
func TestHostStandsOnceOverHTTP3(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveHTTP3 + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes:\n  - { path: \"/*rest\", allow: public, rewrite_host: other.test }\n",
	})
	for _, fields := range [][]string{
		{":authority", appHost, ":path", "/", "host", appHost},
		{":path", "/", "host", appHost},
		{":authority", appHost, ":path", "/"},
	} {
		s.raw3(t, append([]string{":method", "GET", ":scheme", "https"}, fields...)...)
	}
	for _, fields := range [][]string{
		{":method", "CONNECT", ":authority", appHost},
		{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", appHost, ":path", "/"},
		{":method", "GET", ":scheme", "https", ":authority", appHost, ":path", "/", "host", "evil.test"},
		{":method", "GET", ":scheme", "https", ":authority", appHost, ":path", "https://evil.test/"},
		{":method", "GET", ":scheme", "https", ":authority", appHost, ":path", "/", "transfer-encoding", "chunked"},
		{":method", "GET", ":scheme", "https", ":authority", appHost, ":path", "/", "connection", "x-user"},
	} {
		s.raw3(t, fields...)
	}
	seen := backend.all()
	if len(seen) != 3 {
		t.Errorf("the backend has seen %d requests", len(seen))
	}
	for _, one := range seen {
		if strings.Count(strings.ToLower(one.head), "\r\nhost:") != 1 || one.value("Host") != "other.test" {
			t.Errorf("forwarded: %q", one.head)
		}
	}
}

// TestTrailersHideNoHeader: an answer that announces a field as a trailer has it in its header all the same, where it stands there, and
// what a route takes from answers comes back in no trailer.
func TestTrailersHideNoHeader(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml": serveHTTP3 + fmt.Sprintf("upstreams: { app: { url: %q } }\n", rawBackend(t,
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nvary: x-user\r\ncache-control: public\r\nX-Here: 1\r\n"+
				"Trailer: Cache-Control, vary, X-Frame-Options, X-Here, X-Gone, X-Sum\r\n\r\n2\r\nok\r\n0\r\n"+
				"Cache-Control: public\r\nX-Frame-Options: ALLOW\r\nX-Gone: 1\r\nX-Sum: good\r\n\r\n")),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes:\n  - { path: \"/*rest\", allow: public, " +
			"headers: { response: { set: { X-Frame-Options: DENY }, remove: [X-Gone, Strict-Transport-Security] } } }\n",
	})
	over2 := s.client()
	for name, c := range map[string]*client{"HTTP/2": over2, "HTTP/3": over2.overHTTP3()} {
		response, err := c.http.Get(s.url("app", "/x"))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != "ok" {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		h := response.Header
		if h.Get("Cache-Control") != "private" || !strings.Contains(h.Get("Vary"), "Cookie") || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("X-Here") != "1" || h["Strict-Transport-Security"] != nil {
			t.Errorf("%s: header %q", name, h)
		}
		if got := response.Trailer; got.Get("X-Sum") != "good" || len(got["Cache-Control"])+len(got["X-Frame-Options"])+len(got["X-Gone"]) > 0 {
			t.Errorf("%s: trailers %q", name, got)
		}
	}
}

// TestClientCertificatesOverHTTP3: what a host asks of its connections is asked over HTTP/3 as well, of the handshake for its name and of
// requests that come over the connection of another.
func TestClientCertificatesOverHTTP3(t *testing.T) {
	t.Parallel()
	ca, certificate := clientAuthority(t, "partners")
	backend := record(t)
	policy := "host: %s.viloforge.test\nupstream: app\n%sroutes: [ { path: \"/*rest\", allow: public } ]\n"
	asks := "tls: { client_ca: ca/partners.pem }\n"
	s := serve(t, map[string]string{
		"vilogate.yaml":            serveHTTP3 + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml":        fmt.Sprintf(policy, "app", ""),
		"policies/mtls.yaml":       fmt.Sprintf(policy, "mtls", asks),
		"policies/ca/partners.pem": ca,
	})
	over := func(sni string, certificates ...tls.Certificate) *client {
		c := s.client().overHTTP3()
		config := c.http.Transport.(*http3.Transport).TLSClientConfig
		config.ServerName, config.Certificates = sni, certificates
		return c
	}
	if response, err := over("mtls.viloforge.test").http.Get(s.url("mtls", "/x")); err == nil {
		t.Errorf("without a certificate: %v", response.Status)
	}
	other := over(appHost, certificate)
	if got := other.get(s.url("app", "/x"), "X-Forwarded-Client-Cert: forged"); got.status != http.StatusOK {
		t.Errorf("a host that asks for none: %v", got)
	}
	if got := other.get(s.url("mtls", "/x")); got.status != http.StatusMisdirectedRequest {
		t.Errorf("over the connection of another host: %v", got)
	}
	if got := over("mtls.viloforge.test", certificate).get(s.url("mtls", "/x"), "X-Forwarded-Client-Cert: forged"); got.status != http.StatusOK {
		t.Errorf("with a certificate: %v", got)
	}
	seen := backend.all()
	if len(seen) != 2 || seen[0].value("X-Forwarded-Client-Cert") != "" || !strings.Contains(seen[1].value("X-Forwarded-Client-Cert"), "Hash=") ||
		strings.Contains(seen[1].head, "forged") {
		t.Errorf("the backend has seen %q", seen)
	}
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": fmt.Sprintf(policy, "app", asks)})
	s.must("", "reload", "--state", s.state)
	if got := other.get(s.url("app", "/x")); got.status != http.StatusMisdirectedRequest {
		t.Errorf("after a reload, over the old connection: %v", got)
	}
}
