package acmetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// PebbleOptions say what kind of authority it is. The zero value is one of
// certificates that are good for 90 days.
type PebbleOptions struct {
	Validity time.Duration     // of certificates
	EAB      map[string]string // accounts that it wants, MAC keys by key id; none: everybody is taken
	Blocked  []string          // names that it does not sign for
	OCSP     string            // address of a responder, for certificates to name; it signs with RSA then
}

// Pebble is an ACME server of its own process.
type Pebble struct {
	Directory  string // an https address
	RootsFile  string // PEM: whom to trust as the authority's own server
	management string
	config     string
	dns        string
	t          testing.TB
	process    *exec.Cmd
	ended      chan struct{}
	output     output
	client     *http.Client
}

// startTimeout bounds the wait for a server to start.
const startTimeout = 2 * time.Minute

// NewPebble starts an authority that validates by the name server at dns.
func NewPebble(t testing.TB, dns string, o PebbleOptions) *Pebble {
	t.Helper()
	p := PreparePebble(t, dns, o)
	p.Start()
	return p
}

// PreparePebble says where an authority will be, which Start starts.
func PreparePebble(t testing.TB, dns string, o PebbleOptions) *Pebble {
	t.Helper()
	dir := t.TempDir()
	p := &Pebble{t: t, dns: dns, config: filepath.Join(dir, "pebble.json"), RootsFile: filepath.Join(dir, "roots.pem")}
	ports := freePorts(t, 4)
	p.Directory, p.management = "https://"+ports[0]+"/dir", "https://"+ports[1]
	p.issueServerCertificate(dir)
	if o.Validity == 0 {
		o.Validity = 90 * 24 * time.Hour
	}
	algorithm := "ecdsa"
	if o.OCSP != "" {
		algorithm = "rsa" // of others Pebble does not give the key away
	}
	config := map[string]any{"pebble": map[string]any{
		"listenAddress": ports[0], "managementListenAddress": ports[1],
		"httpPort": portOf(t, ports[2]), "tlsPort": portOf(t, ports[3]),
		"certificate": filepath.Join(dir, "server.crt"), "privateKey": filepath.Join(dir, "server.key"),
		"externalAccountBindingRequired": len(o.EAB) > 0, "externalAccountMACKeys": o.EAB,
		"domainBlocklist": o.Blocked, "ocspResponderURL": o.OCSP, "keyAlgorithm": algorithm,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "default", "validityPeriod": int(o.Validity.Seconds())}},
	}}
	data, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(p.config, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Start starts the authority, with keys and a memory that are new each time.
func (p *Pebble) Start() {
	p.t.Helper()
	p.process = exec.Command(program(p.t), "-config", p.config, "-dnsserver", p.dns, "-strict")
	p.process.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=15", "PEBBLE_AUTHZREUSE=0")
	p.process.Stdout, p.process.Stderr = &p.output, &p.output
	p.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.process.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	process := p.process
	go func() {
		defer close(ended)
		if err := process.Wait(); err != nil && !strings.Contains(err.Error(), "signal:") {
			p.t.Logf("pebble: %v", err)
		}
	}()
	p.t.Cleanup(p.Stop)
	deadline := time.Now().Add(startTimeout)
	for {
		resp, err := p.client.Get(p.Directory)
		if err == nil {
			if err := resp.Body.Close(); err != nil {
				p.t.Fatal(err)
			}
			return
		}
		select {
		case <-ended:
			p.t.Fatalf("pebble ended:\n%s", p.output.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("pebble does not answer: %v", err)
		}
	}
}

// Stop ends the authority at once.
func (p *Pebble) Stop() {
	if p.process == nil {
		return
	}
	if err := p.process.Process.Kill(); err != nil && !strings.Contains(err.Error(), "finished") {
		p.t.Error(err)
	}
	<-p.ended
	p.process = nil
}

var added = regexp.MustCompile(`Added order "`)

// Orders is how many orders were made since the first start.
func (p *Pebble) Orders() int { return len(added.FindAllString(p.output.String(), -1)) }

// Accounts is how many accounts were made since the first start.
func (p *Pebble) Accounts() int { return strings.Count(p.output.String(), "accounts in memory") }

// Log is what the authority said.
func (p *Pebble) Log() string { return p.output.String() }

// Roots are the authority's roots: whom a browser would have to trust.
func (p *Pebble) Roots() *x509.CertPool {
	p.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.RootPEM()) {
		p.t.Fatal("pebble's root is no certificate")
	}
	return pool
}

// RootPEM is the authority's root.
func (p *Pebble) RootPEM() []byte {
	p.t.Helper()
	return p.get(p.management + "/roots/0")
}

// SuggestRenewal has the authority say that a certificate should be renewed in a
// window (RFC 9773).
func (p *Pebble) SuggestRenewal(leaf *x509.Certificate, start, end time.Time) {
	p.t.Helper()
	info, err := json.Marshal(map[string]any{"suggestedWindow": map[string]time.Time{"start": start, "end": end}})
	if err != nil {
		p.t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})), "ariResponse": string(info),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := p.client.Post(p.management+"/set-renewal-info/", "application/json", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			p.t.Error(err)
		}
	}()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		p.t.Fatalf("setting the renewal info: %s %s", resp.Status, text)
	}
}

// Intermediate is what signs the certificates, and its key, both PEM.
func (p *Pebble) Intermediate() (certificate, key []byte) {
	p.t.Helper()
	return p.get(p.management + "/intermediates/0"), p.get(p.management + "/intermediate-keys/0")
}

func (p *Pebble) get(address string) []byte {
	p.t.Helper()
	resp, err := p.client.Get(address)
	if err != nil {
		p.t.Fatal(err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		p.t.Fatal(err)
	}
	return data
}

// issueServerCertificate makes the certificate of the authority's own server, and the roots file for it.
func (p *Pebble) issueServerCertificate(dir string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "pebble"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"localhost"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		p.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, data := range map[string][]byte{
		filepath.Join(dir, "server.crt"): certificate, p.RootsFile: certificate,
		filepath.Join(dir, "server.key"): pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}
	p.client = &http.Client{Transport: transport, Timeout: startTimeout}
}

// Trusted are whom to trust as the authority's own server.
func (p *Pebble) Trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	data, err := os.ReadFile(p.RootsFile)
	if err != nil {
		p.t.Fatal(err)
	}
	pool.AppendCertsFromPEM(data)
	return pool
}

// built is Pebble's executable, built once a test process.
var built = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/viloforge/vilogate").Output()
	if err != nil {
		return "", err
	}
	modfile := filepath.Join(strings.TrimSpace(string(root)), "deploy", "tools", "go.mod")
	path, err := exec.Command("go", "tool", "-modfile="+modfile, "-n", "github.com/letsencrypt/pebble/v2/cmd/pebble").Output()
	return strings.TrimSpace(string(path)), err
})

func program(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatalf("building Pebble from deploy/tools: %v", err)
	}
	return path
}

// lastPort counts the ports handed out, so that no two tests of this process are given the same one.
var lastPort atomic.Int32

// freePorts are addresses on loopback that nobody listens on. They lie below the range from which the kernel serves port 0, so
// that no connection is given one before Pebble takes it, and apart from those of other tests' servers.
func freePorts(t testing.TB, count int) (addresses []string) {
	t.Helper()
	for range 1000 {
		port := 10000 + (os.Getpid()*41+int(lastPort.Add(1)))%6000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // somebody else's
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if addresses = append(addresses, l.Addr().String()); len(addresses) == count {
			return addresses
		}
	}
	t.Fatal("no free ports between 10000 and 16000")
	return nil
}

func portOf(t testing.TB, address string) int {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return at.Port
}

// output keeps what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
