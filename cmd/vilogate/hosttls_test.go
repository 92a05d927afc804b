package main_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

// clientAuthority makes a CA that certifies clients, and a client of it.
func clientAuthority(tb testing.TB, name string) (ca string, client tls.Certificate) {
	tb.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "admin"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	var keys [2]*ecdsa.PrivateKey
	var der [2][]byte
	for i, template := range []*x509.Certificate{authority, leaf} {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			tb.Fatal(err)
		}
		if der[i], err = x509.CreateCertificate(rand.Reader, template, authority, keys[i].Public(), keys[0]); err != nil {
			tb.Fatal(err)
		}
	}
	ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der[0]}))
	return ca, tls.Certificate{Certificate: [][]byte{der[1]}, PrivateKey: keys[1]}
}

// TestTLSSettingsOfAHost: a host may ask for a newer TLS or for client certificates. A request that comes over a
// connection for other settings is 421, whoever sends it; a certificate admits the connection and identifies nobody.
func TestTLSSettingsOfAHost(t *testing.T) {
	t.Parallel()
	ca, client := clientAuthority(t, "partners")
	_, stranger := clientAuthority(t, "strangers")
	backend := record(t)
	policy := func(host, settings, allow string) string {
		return fmt.Sprintf("host: %s.viloforge.test\nupstream: app\n%sroutes: [ { path: \"/*rest\", allow: %s } ]\n", host, settings, allow)
	}
	s := serve(t, map[string]string{
		"vilogate.yaml":            serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml":        policy("app", "", "public"),
		"policies/mtls.yaml":       policy("mtls", "tls: { client_ca: ca/partners.pem }\n", "public"),
		"policies/mtls2.yaml":      policy("mtls2", "tls: { client_ca: ca/partners.pem }\n", "authenticated"),
		"policies/new.yaml":        policy("new", "tls: { min_version: \"1.3\" }\n", "public"),
		"policies/ca/partners.pem": ca,
	})
	with := func(certificates ...tls.Certificate) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates = certificates }
	}
	old := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	for _, protocol := range []string{"http/1.1", "h2"} {
		for _, c := range []struct {
			sni, host string
			change    func(*tls.Config)
			want      int // 0: no connection
		}{
			{"app", "app", nil, 200},
			{"app", "app", old, 200},
			{"app", "login", nil, 200},
			{"login", "app", nil, 200},
			{"app", "mtls", nil, 421},
			{"app", "new", nil, 421},
			{"new", "app", nil, 421},
			{"new", "new", nil, 200},
			{"new", "new", old, 0},
			{"app", "mtls", with(client), 421},
			{"mtls", "mtls", nil, 0},
			{"mtls", "mtls", with(stranger), 0},
			{"mtls", "mtls", with(client), 200},
			{"mtls", "app", with(client), 421},
			{"mtls", "login", with(client), 421},
			{"mtls", "new", with(client), 421},
			{"mtls", "mtls2", with(client), 401},
			{"MTLS", "mtls", with(client), 200},
			{"MTLS", "mtls", nil, 0},
		} {
			config := s.tls(c.sni+".viloforge.test", protocol)
			if c.change != nil {
				c.change(config)
			}
			path := "/x"
			if c.host == "login" {
				path = "/login"
			}
			got, err := newClient(t, s, config).try(http.MethodGet, s.url(c.host, path), "")
			if err != nil && c.want != 0 || err == nil && got.status != c.want {
				t.Errorf("%s: a connection for %s, a request for %s: %v %v", protocol, c.sni, c.host, got, err)
			}
			if got.status == 421 && !strings.HasSuffix(got.problem(t).Type, "/misdirected") {
				t.Errorf("got %v", got)
			}
		}
	}
	for _, seen := range backend.with("mtls") {
		certificate := seen.value("X-Forwarded-Client-Cert")
		if seen.value("X-User") != "" || strings.Contains(strings.Replace(seen.head, certificate, "", 1), "admin") {
			t.Errorf("a certificate identifies somebody:\n%s", seen.head)
		}
		if !strings.HasPrefix(certificate, "Hash=") || !strings.HasSuffix(certificate, `;Subject="CN=admin"`) {
			t.Errorf("the backend is told of the certificate as %q", certificate)
		}
	}
	s.client().get(s.url("app", "/forged"), "X-Forwarded-Client-Cert: Hash=0", "X_Forwarded_Client_Cert: Hash=0")
	if seen := backend.with("/forged"); len(seen) != 1 || strings.Contains(seen[0].head, "Hash=") {
		t.Errorf("a forged certificate: %q", seen)
	}

	// Settings that a reload makes stricter count for connections that are there.
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	reader := bufio.NewReader(conn)
	ask := func() int {
		if _, err := io.WriteString(conn, request{host: appHost, target: "/x"}.text()); err != nil {
			t.Fatal(err)
		}
		return readAnswer(t, reader, http.MethodGet).status
	}
	if got := ask(); got != http.StatusOK {
		t.Fatalf("before: %d", got)
	}
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": policy("app", "tls: { client_ca: ca/partners.pem }\n", "public")})
	s.must("", "reload", "--state", s.state)
	if got := ask(); got != http.StatusMisdirectedRequest {
		t.Errorf("after a reload, over the old connection: %d", got)
	}

	// A file that is not there or is none is an error with its place, and changes nothing.
	for content, want := range map[string]string{"": "it holds no certificate in PEM", "-": "no such file"} {
		name := "none.pem"
		if content == "" {
			writeFiles(t, s.dir, map[string]string{"policies/ca/empty.pem": ""})
			name = "empty.pem"
		}
		writeFiles(t, s.dir, map[string]string{"policies/new.yaml": policy("new", "tls: { min_version: \"1.3\", client_ca: ca/"+name+" }\n", "public")})
		for _, command := range [][]string{{"reload", "--state", s.state}, {"check", "-c", s.dir + "/vilogate.yaml"}} {
			if _, said, err := s.command("", command...); err == nil || !strings.Contains(said, "policies/new.yaml:3:39: client_ca") || !strings.Contains(said, want) {
				t.Errorf("%v: %v %s", command, err, said)
			}
		}
	}
	if got := s.client().get(s.url("new", "/x")); got.status != http.StatusOK {
		t.Errorf("after a bad reload: %v", got)
	}
}
