package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificateFor is a certificate for the hosts of viloforge.test, signed by itself, and its key (PEM).
func certificateFor(tb testing.TB, begin, end time.Time) map[string]string {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(end.Unix()), NotBefore: begin, NotAfter: end, DNSNames: []string{"viloforge.test", "*.viloforge.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]string{
		"tls.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"tls.key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
}

// TestExpiredCertificateFile: a certificate from a file that clients refuse, or soon will, is served, and said to be so by
// check, the log, readiness, status and metrics; a new one ends that.
func TestExpiredCertificateFile(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Now()
	files := map[string]string{
		"vilogate.yaml": strings.Replace(serveConfig, `{ source: local, names: ["viloforge.test", "*.viloforge.test"] }`, `{ source: files, files: [ { certificate: tls.crt, key: tls.key } ] }`, 1) +
			ownIdP + "upstreams: { app: { url: \"http://127.0.0.1:1\" } }\n",
		"policies/app.yaml": attackedPolicy,
	}
	s := prepare(t, files)
	config := filepath.Join(s.dir, "vilogate.yaml")
	for _, c := range []struct {
		begin, end time.Duration // from now
		want       string
	}{
		{-90 * day, 30 * day, ""},
		{-90 * day, 2 * day, "expires on "},
		{day, 90 * day, "is not valid before "},
		{-90 * day, -day, "expired on "},
	} {
		writeFiles(t, s.dir, certificateFor(t, now.Add(c.begin), now.Add(c.end)))
		stdout, stderr, err := s.command("", "check", "-c", config)
		if err != nil || !strings.Contains(stdout, ": good") || c.want == "" && stderr != "" ||
			c.want != "" && (!strings.Contains(stderr, c.want) || !strings.Contains(stderr, config+":7:") || !strings.Contains(stderr, "tls.crt")) {
			t.Errorf("check, want %q: %v, %s%s", c.want, err, stdout, stderr)
		}
		stdout, stderr, err = s.command("", "check", "--strict", "-c", config)
		if (err == nil) != (c.want == "") || !strings.Contains(stderr, c.want) || err != nil && strings.Contains(stdout, "good") {
			t.Errorf("check --strict, want %q: %v, %s%s", c.want, err, stdout, stderr)
		}
	}
	s.start()
	eventually(t, "the log says it", func() bool {
		return strings.Contains(s.output.String(), "tls.crt: the certificate for viloforge.test expired on ")
	})
	ready := s.admin(t, "/readyz")
	if ready.status != http.StatusOK || !strings.Contains(ready.body, `"trouble":{"certificate_validity":`) || !strings.Contains(ready.body, "expired on ") {
		t.Errorf("readyz: %v", ready)
	}
	var status struct{ Trouble map[string]string }
	if err := json.Unmarshal([]byte(s.admin(t, "/status").body), &status); err != nil || !strings.Contains(status.Trouble["certificate_validity"], "expired on ") {
		t.Errorf("status: %+v, %v", status, err)
	}
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, `vilogate_ready{part="certificate_validity"} 0`) {
		t.Error("metrics do not say it")
	}
	writeFiles(t, s.dir, certificateFor(t, now.Add(-day), now.Add(90*day)))
	eventually(t, "a new certificate ends it", func() bool {
		ready := s.admin(t, "/readyz")
		return ready.status == http.StatusOK && !strings.Contains(ready.body, "trouble")
	})
}
