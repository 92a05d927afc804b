package edge

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// issue signs template with the CA as somebody would who has its key.
func (c *LocalCA) issue(t *testing.T, template *x509.Certificate, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(7)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf, key
}

func TestLocalCACanVouchForNothingButItsDomain(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir())
	roots := x509.NewCertPool()
	roots.AddCert(ca.ca)
	if !ca.ca.PermittedDNSDomainsCritical {
		t.Error("the name constraint is not critical")
	}
	for name, good := range map[string]bool{
		domain: true, "www." + domain: true, "a.b." + domain: true,
		"evil.example": false, "evil" + domain: false, "test": false, domain + ".evil.example": false,
	} {
		leaf, _ := ca.issue(t, &x509.Certificate{DNSNames: []string{name}}, ca.ca, ca.key)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
		leaf, _ = ca.issue(t, &x509.Certificate{DNSNames: []string{"www." + domain, name}}, ca.ca, ca.key)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "www." + domain}); (err == nil) != good {
			t.Errorf("%s beside a good name: %v", name, err)
		}
	}
	for _, ip := range []string{"192.0.2.1", "2001:db8::1"} {
		leaf, _ := ca.issue(t, &x509.Certificate{IPAddresses: []net.IP{net.ParseIP(ip)}}, ca.ca, ca.key)
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: ip}); err == nil {
			t.Errorf("vouches for the address %s", ip)
		}
	}
	leaf, _ := ca.issue(t, &x509.Certificate{DNSNames: []string{domain}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, ca.ca, ca.key)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("vouches for clients")
	}
}

func TestLocalCACannotMakeAnotherCA(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir())
	between, key := ca.issue(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, ca.ca, ca.key)
	leaf, _ := ca.issue(t, &x509.Certificate{DNSNames: []string{domain}}, between, key)
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ca.ca)
	intermediates.AddCert(between)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, DNSName: domain}); err == nil {
		t.Error("path length 0 does not hold")
	}
}

func TestLocalLeafLivesAsLongAsBrowsersAccept(t *testing.T) {
	t.Parallel()
	leaf := openCA(t, t.TempDir()).all()[0].Leaf
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 397*24*time.Hour || leaf.IsCA {
		t.Errorf("the leaf lives %v; CA: %v", life, leaf.IsCA)
	}
}

func TestLocalLeafIsRenewedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ca := openCA(t, dir)
		first := ca.NotAfter()
		for years := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 365*24*time.Hour)
			if err := ca.Run(ctx); err != nil {
				t.Fatal(err)
			}
			cancel()
			left := time.Until(ca.NotAfter())
			if left < leafRenewBefore-renewCheck {
				t.Fatalf("after %d years the certificate has %v left", years+1, left)
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca.ca)
			if _, err := ca.all()[0].Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "www." + domain, CurrentTime: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		if !ca.NotAfter().After(first) {
			t.Error("it was never renewed")
		}
	})
}

func TestLocalCAIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := openCA(t, dir), openCA(t, dir)
	if !first.ca.Equal(second.ca) {
		t.Error("a second start made another CA, which nothing trusts")
	}
	for name, mode := range map[string]os.FileMode{"ca.pem": 0o644, "ca.key": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%s has the mode %04o, want %04o", name, info.Mode().Perm(), mode)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".new-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestLocalCARefuses(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil  func(t *testing.T, dir string) error
		domain string
		names  []string
		now    time.Time
		says   string
	}{
		"a key that others can read": {
			spoil: func(_ *testing.T, dir string) error { return os.Chmod(filepath.Join(dir, "ca.key"), 0o640) }, says: "mode 0640",
		},
		"a broken key": {
			spoil: func(_ *testing.T, dir string) error {
				return os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600)
			}, says: "ca.key",
		},
		"the key of another": {
			spoil: func(t *testing.T, dir string) error {
				other := t.TempDir()
				openCA(t, other)
				return os.Rename(filepath.Join(other, "ca.key"), filepath.Join(dir, "ca.key"))
			}, says: "private key does not match",
		},
		"the CA of another domain":    {domain: "other.test", names: []string{"other.test"}, says: "not for other.test"},
		"a name outside the domain":   {names: []string{domain, "*.other.test"}, says: `"*.other.test"`},
		"a name that only ends alike": {names: []string{"evil" + domain}, says: "evil" + domain},
		"no names":                    {names: []string{}, says: "no names"},
		"a CA that has ended":         {now: time.Now().Add(caLifetime + time.Hour), says: "ended on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			openCA(t, dir)
			if row.spoil != nil {
				if err := row.spoil(t, dir); err != nil {
					t.Fatal(err)
				}
			}
			if row.domain == "" {
				row.domain = domain
			}
			if row.names == nil {
				row.names = []string{domain}
			}
			if row.now.IsZero() {
				row.now = time.Now()
			}
			_, err := OpenLocalCA(dir, row.domain, row.names, func() time.Time { return row.now })
			if err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %v, want an error with %q", err, row.says)
			}
		})
	}
	if _, err := OpenLocalCA(filepath.Join(t.TempDir(), "missing"), domain, []string{domain}, time.Now); err == nil {
		t.Error("a folder that does not exist is no error")
	}
}

// TestLocalCAAfterAnInterruptedStart: a key without a certificate was never
// trusted by anybody.
func TestLocalCAAfterAnInterruptedStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	openCA(t, dir)
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	openCA(t, dir)
}

// Only what the local CA is made like is trusted, when somebody asks for that.
func TestWhatIsNoLocalCA(t *testing.T) {
	t.Parallel()
	ca := openCA(t, t.TempDir())
	if err := CheckLocalCA(ca.ca); err != nil {
		t.Errorf("our own: %v", err)
	}
	for name, spoil := range map[string]func(*x509.Certificate){
		"of every name":          func(c *x509.Certificate) { c.PermittedDNSDomains = nil },
		"of a public suffix":     func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"com"} },
		"of two domains":         func(c *x509.Certificate) { c.PermittedDNSDomains = []string{domain, "example.com"} },
		"not critically":         func(c *x509.Certificate) { c.PermittedDNSDomainsCritical = false },
		"that can make another":  func(c *x509.Certificate) { c.MaxPathLenZero, c.MaxPathLen = false, -1 },
		"of addresses":           func(c *x509.Certificate) { c.ExcludedIPRanges = nil },
		"of programs":            func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageCodeSigning) },
		"of anything":            func(c *x509.Certificate) { c.ExtKeyUsage = nil },
		"that is no authority":   func(c *x509.Certificate) { c.IsCA, c.MaxPathLenZero = false, false },
		"with permitted e-mails": func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"example.com"} },
	} {
		template := *ca.ca
		template.RawSubject = nil
		spoil(&template)
		der, err := x509.CreateCertificate(rand.Reader, &template, &template, ca.key.Public(), ca.key)
		if err != nil {
			t.Fatal(err)
		}
		other, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if CheckLocalCA(other) == nil {
			t.Errorf("one %s is taken for ours", name)
		}
	}
}
