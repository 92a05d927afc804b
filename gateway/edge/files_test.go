package edge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// pairOf writes a new pair for names into dir, as PEM.
func pairOf(t *testing.T, names ...string) (certificate, key []byte) {
	t.Helper()
	ca := openCA(t, t.TempDir())
	leaf, private := ca.issue(t, &x509.Certificate{DNSNames: names}, ca.ca, ca.key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// put replaces a file as careful tools do.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+"~", data, 0o600), os.Rename(path+"~", path)); err != nil {
		t.Fatal(err)
	}
}

func openFiles(t *testing.T, names ...string) (*Files, KeyPair) {
	t.Helper()
	dir := t.TempDir()
	pair := KeyPair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	certificate, key := pairOf(t, names...)
	put(t, pair.Certificate, certificate)
	put(t, pair.Key, key)
	f, err := OpenFiles([]KeyPair{pair})
	if err != nil {
		t.Fatal(err)
	}
	return f, pair
}

func TestBrokenFilesAreRefused(t *testing.T) {
	t.Parallel()
	f, pair := openFiles(t, "www."+domain)
	good, key := pairOf(t, "www."+domain)
	other, _ := pairOf(t, "www."+domain)
	nameless, namelessKey := pairOf(t)
	for name, row := range map[string]struct{ certificate, key []byte }{
		"a key of another certificate": {other, key},
		"no PEM":                       {[]byte("nonsense"), key},
		"cut short":                    {good[:len(good)/2], key},
		"empty":                        {nil, nil},
		"no key":                       {good, nil},
		"no name":                      {nameless, namelessKey},
	} {
		put(t, pair.Certificate, row.certificate)
		put(t, pair.Key, row.key)
		if _, err := OpenFiles([]KeyPair{pair}); err == nil || !strings.Contains(err.Error(), pair.Certificate) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(pair.Key); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFiles([]KeyPair{pair}); err == nil {
		t.Errorf("a missing file: %v", err)
	}
	put(t, pair.Certificate, good)
	put(t, pair.Key, key)
	if next, err := OpenFiles([]KeyPair{pair}); err != nil || next.Same(f) || !next.Same(next) || f.Ready() != nil {
		t.Errorf("the good one is refused, or the same as the one before: %v", err)
	}
}

func TestFilesAreWatched(t *testing.T) {
	t.Parallel()
	_, pair := openFiles(t, "www."+domain)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	var told atomic.Int32
	go func() {
		ended <- WatchFiles(ctx, []KeyPair{pair}, slog.New(slog.DiscardHandler), func() { told.Add(1) })
	}()
	eventually(t, "what changed before the watch began is seen", func() bool { return told.Load() > 0 })
	certificate, key := pairOf(t, "www."+domain)
	before := told.Load()
	put(t, pair.Certificate, certificate)
	eventually(t, "half a renewal is seen", func() bool { return told.Load() > before })
	before = told.Load()
	put(t, pair.Key, key)
	eventually(t, "the other half is seen", func() bool { return told.Load() > before })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOpenFilesRefuses(t *testing.T) {
	t.Parallel()
	if _, err := OpenFiles(nil); err == nil {
		t.Error("no files are no error")
	}
	missing := KeyPair{filepath.Join(t.TempDir(), "a.crt"), filepath.Join(t.TempDir(), "a.key")}
	if _, err := OpenFiles([]KeyPair{missing}); err == nil || !strings.Contains(err.Error(), missing.Certificate) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestWhatACertificateCovers(t *testing.T) { // counts allocations: not in parallel
	var c certificates
	if c.Ready() == nil || c.Covers("www."+domain) || c.CanCoalesce("", "www."+domain) || !c.NotAfter().IsZero() {
		t.Error("nothing covers something")
	}
	if _, err := c.GetCertificate(&tls.ClientHelloInfo{ServerName: domain}); !errors.Is(err, errNoCertificate) {
		t.Errorf("a handshake without certificates: %v", err)
	}
	leaf := func(end time.Time, names ...string) *tls.Certificate {
		return &tls.Certificate{Leaf: &x509.Certificate{DNSNames: names, NotAfter: end}}
	}
	soon, later := time.Unix(1000, 0), time.Unix(2000, 0)
	wildcard, single := leaf(later, "*."+domain, domain), leaf(soon, "billing.example", "*.Preview.example")
	c.replace([]*tls.Certificate{wildcard, single})
	for host, want := range map[string]bool{
		domain: true, "www." + domain: true, "a.b." + domain: false, "." + domain: false, "": false, "evil" + domain: false,
		"billing.example": true, "x.preview.example": true, "preview.example": false, "www.example": false,
	} {
		if got := c.Covers(host); got != want {
			t.Errorf("covers %q: %v", host, got)
		}
	}
	for _, row := range []struct {
		name, host string
		same       bool
	}{
		{"www." + domain, "billing." + domain, true},
		{"www." + domain, "billing.example", false},
		{"billing.example", "x.preview.example", true},
		{"billing.example", "www." + domain, false},
		{"", "www." + domain, true}, // no server name: the first certificate was given
		{"", "billing.example", false},
		{"unknown.example", "www." + domain, true},
		{"unknown.example", "unknown.example", false},
	} {
		if got := c.CanCoalesce(row.name, row.host); got != row.same {
			t.Errorf("handshake for %q, host %q: %v", row.name, row.host, got)
		}
	}
	if got := c.NotAfter(); !got.Equal(soon) {
		t.Errorf("ends at %v", got)
	}
	if allocations := testing.AllocsPerRun(100, func() { c.CanCoalesce("www."+domain, "billing."+domain) }); allocations > 0 {
		t.Errorf("%v allocations", allocations)
	}
}
