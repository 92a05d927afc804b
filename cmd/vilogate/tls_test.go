package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pair is a certificate with its key, both PEM, signed by itself.
func pair(tb testing.TB, serial int64, names ...string) (certificate, key string) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "vilogate test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		tb.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

const publicOnly = "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n"

// TestCertificateFilesAreReloaded: a renewed certificate is served without a restart; one that is broken or does not
// match its key is not, and the old one stays.
func TestCertificateFilesAreReloaded(t *testing.T) {
	t.Parallel()
	backend := record(t)
	certificate, key := pair(t, 1, "*.viloforge.test")
	s := serve(t, map[string]string{
		"vilogate.yaml": strings.Replace(serveConfig, `{ source: local, names: ["viloforge.test", "*.viloforge.test"] }`, `{ source: files, files: [ { certificate: tls.crt, key: tls.key } ] }`, 1) +
			"upstreams: { app: { url: \"" + backend.url() + "\" } }\n",
		"tls.crt": certificate, "tls.key": key, "policies/app.yaml": publicOnly,
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(certificate))
	serial := func() int64 {
		conn, err := tls.Dial("tcp", s.at.HTTPS, &tls.Config{RootCAs: roots, ServerName: appHost})
		if err != nil {
			t.Logf("handshake: %v", err)
			return 0
		}
		defer closeQuietly(t, conn)
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serves the certificate %d", got)
	}
	replace := func(certificate, key string) {
		roots.AppendCertsFromPEM([]byte(certificate))
		for name, text := range map[string]string{"tls.crt": certificate, "tls.key": key} {
			writeFiles(t, s.dir, map[string]string{name + ".new": text})
			if err := os.Rename(filepath.Join(s.dir, name+".new"), filepath.Join(s.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	second, secondKey := pair(t, 2, "*.viloforge.test")
	replace(second, secondKey)
	eventually(t, "the renewed certificate is served", func() bool { return serial() == 2 })
	third, _ := pair(t, 3, "*.viloforge.test")
	fourth, fourthKey := pair(t, 4, "*.viloforge.test")
	for name, files := range map[string][2]string{
		"other-key": {third, secondKey}, "no-PEM": {"nonsense", secondKey}, "empty": {"", ""}, "cut": {third[:len(third)/2], secondKey},
	} {
		replace(files[0], files[1])
		s.signal(syscall.SIGHUP)
		stdout, stderr, err := s.command("", "reload", "-c", filepath.Join(s.dir, "vilogate.yaml"))
		if err == nil && !strings.Contains(stdout+stderr, "tls.") {
			t.Errorf("%s: reload says nothing of it: %q %q", name, stdout, stderr)
		}
		if got := serial(); got != 2 {
			t.Errorf("%s: serves the certificate %d", name, got)
		}
	}
	replace(fourth, fourthKey)
	eventually(t, "the next good certificate is served", func() bool { return serial() == 4 })
}

// tlsVersionsAndProtocols: TLS 1.2 and 1.3, HTTP/1.1 and HTTP/2; nothing older.
func tlsVersionsAndProtocols(t *testing.T, a attackSite) {
	for version, ok := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := a.tls(appHost, "h2", "http/1.1")
		config.MinVersion, config.MaxVersion = version, version
		conn, err := tls.Dial("tcp", a.at.HTTPS, config)
		if (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
				t.Errorf("%s: ALPN %q", tls.VersionName(version), got)
			}
			closeQuietly(t, conn)
		}
	}
	config := a.tls(appHost)
	if conn := a.handshake(t, config); conn.ConnectionState().NegotiatedProtocol != "" {
		t.Errorf("without ALPN: %q", conn.ConnectionState().NegotiatedProtocol)
	}
	if conn, err := tls.Dial("tcp", a.at.HTTPS, a.tls(appHost, "spdy/3")); err == nil {
		t.Errorf("ALPN spdy/3: %q", conn.ConnectionState().NegotiatedProtocol)
		closeQuietly(t, conn)
	}
}

// localCA: its root can vouch for nothing but the domain, its keys are nobody else's to read, its leaf is short-lived.
func localCA(t *testing.T, a attackSite) {
	data, err := os.ReadFile(a.at.CA)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("%s is no PEM", a.at.CA)
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !root.IsCA || !root.PermittedDNSDomainsCritical || len(root.PermittedDNSDomains) != 1 || root.PermittedDNSDomains[0] != "viloforge.test" || root.MaxPathLen != 0 || !root.MaxPathLenZero {
		t.Errorf("CA %v, critical %v, domains %q, path length %d", root.IsCA, root.PermittedDNSDomainsCritical, root.PermittedDNSDomains, root.MaxPathLen)
	}
	leaf := a.handshake(t, a.tls(appHost)).ConnectionState().PeerCertificates[0]
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 397*24*time.Hour || leaf.IsCA {
		t.Errorf("leaf: %v, CA %v", life, leaf.IsCA)
	}
	err = filepath.WalkDir(a.state, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if open := info.Mode().Perm() & 0o077; open != 0 && path != a.at.CA && entry.Name() != "addresses.json" {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// plainHTTP: it redirects what is served, and does nothing else.
func plainHTTP(t *testing.T, a attackSite) {
	c, probe := a.client(), a.backend.probe(t)
	for _, row := range []struct {
		method, host, target, location string
		status                         int
	}{
		{"GET", appHost, "/x?a=1&b=%2F", "https://app.viloforge.test/x?a=1&b=%2F", http.StatusPermanentRedirect},
		{"POST", appHost, "/x", "https://app.viloforge.test/x", http.StatusPermanentRedirect},
		{"GET", "login.viloforge.test", "/login", "https://login.viloforge.test/login", http.StatusPermanentRedirect},
		{"GET", appHost + ":80", "/x", "https://app.viloforge.test/x", http.StatusPermanentRedirect},
		{"GET", appHost + ".", "/x?a=1", "https://app.viloforge.test/x?a=1", http.StatusPermanentRedirect},
		{"GET", "login.viloforge.test.:80", "/login", "https://login.viloforge.test/login", http.StatusPermanentRedirect},
		{"GET", "nowhere.viloforge.test.", "/x", "", http.StatusNotFound},
		{"GET", "nowhere.viloforge.test", "/x", "", http.StatusNotFound},
		{"GET", "evil.example", "/x", "", http.StatusNotFound},
		{"GET", appHost, "//evil.example/", "", http.StatusBadRequest},
		{"GET", appHost, "/..%2fx", "", http.StatusBadRequest},
	} {
		got := c.do(row.method, "http://"+row.host+row.target, "", cookieLine(a.alice), probe.header())
		odd := row.status == http.StatusBadRequest
		if odd && got.status == http.StatusPermanentRedirect {
			if to := got.header.Get("Location"); !strings.HasPrefix(to, "https://app.viloforge.test/") {
				t.Errorf("%s %s%s: Location %q", row.method, row.host, row.target, to)
			}
			continue
		}
		if got.status != row.status || got.header.Get("Location") != row.location || len(got.header.Values("Set-Cookie")) != 0 {
			t.Errorf("%s %s%s: got %v, want %d to %q", row.method, row.host, row.target, got, row.status, row.location)
		}
	}
	probe.none()
}

// strictTransport: on in production, without a claim on names that are not ours to claim; off in dev.
func strictTransport(t *testing.T, a attackSite) {
	for _, address := range []string{a.url("app", "/public/x"), a.url("app", "/x"), a.url("login", "/login"), a.url("nowhere", "/")} {
		got := a.client().get(address).header.Values("Strict-Transport-Security")
		if len(got) != 1 || !strings.HasPrefix(got[0], "max-age=") || strings.Contains(strings.ToLower(got[0]), "includesubdomains") || strings.Contains(got[0], "preload") {
			t.Errorf("%s: Strict-Transport-Security %q", address, got)
		}
	}
	dev := develop(t)
	for _, address := range []string{dev.url("website", "/about"), dev.url("login", "/login")} {
		if got := dev.client().get(address).header.Values("Strict-Transport-Security"); len(got) != 0 {
			t.Errorf("%s: Strict-Transport-Security %q", address, got)
		}
	}
}
