package edge

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// clientCA certifies clients.
type clientCA struct {
	pem  []byte
	leaf tls.Certificate
}

func newClientCA(t testing.TB, name string) clientCA {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caKey, key := newTestKey(t), newTestKey(t)
	root, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "client of " + name}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, client, authority, &key.PublicKey, caKey)
	if err != nil {
		t.Fatal(err)
	}
	return clientCA{
		pem:  pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}),
		leaf: tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key},
	}
}

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHostTLS(t testing.TB, minVersion uint16, pem []byte) *HostTLS {
	t.Helper()
	h, err := NewHostTLS(minVersion, pem)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// oneSession is a cache that offers every server the session of any other.
type oneSession struct {
	mu      sync.Mutex
	session *tls.ClientSessionState
}

func (c *oneSession) Get(string) (*tls.ClientSessionState, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session, c.session != nil
}

func (c *oneSession) Put(_ string, s *tls.ClientSessionState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = s
}

// handshake makes a connection, asks for something over it, and says how it was made; nil where it was refused.
func (s *site) handshake(serverName string, change func(*tls.Config)) *tls.ConnectionState {
	s.t.Helper()
	config := s.tls("http/1.1")
	config.ServerName = serverName + "." + domain
	if change != nil {
		change(config)
	}
	conn, err := tls.Dial("tcp", s.opts.HTTPS[0].Addr().String(), config)
	if err != nil {
		return nil
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+config.ServerName+"\r\nConnection: close\r\n\r\n"); err != nil {
		return nil
	}
	answer, err := io.ReadAll(conn) // TLS 1.3 says only now that a certificate was missing
	if err != nil || !strings.Contains(string(answer), "200 OK") {
		return nil
	}
	state := conn.ConnectionState()
	return &state
}

func TestAHostAsksForMoreThanACertificate(t *testing.T) {
	t.Parallel()
	ours, theirs := newClientCA(t, "ours"), newClientCA(t, "theirs")
	hosts := map[string]*HostTLS{
		"new." + domain:  newHostTLS(t, tls.VersionTLS13, nil),
		"mtls." + domain: newHostTLS(t, 0, ours.pem),
	}
	s := start(t, func(http.ResponseWriter, *http.Request) {}, func(o *Options) {
		o.HostTLS = func(name string) *HostTLS { return hosts[name] }
	})
	old := func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }
	with := func(ca clientCA, version uint16) func(*tls.Config) {
		return func(c *tls.Config) { c.Certificates, c.MaxVersion = []tls.Certificate{ca.leaf}, version }
	}
	for _, c := range []struct {
		what, host string
		change     func(*tls.Config)
		admitted   bool
	}{
		{"an old client at an ordinary host", "www", old, true},
		{"an old client at a host that asks for TLS 1.3", "new", old, false},
		{"a new one", "new", nil, true},
		{"no certificate", "mtls", nil, false},
		{"no certificate, TLS 1.2", "mtls", old, false},
		{"a certificate of ours", "mtls", with(ours, tls.VersionTLS13), true},
		{"a certificate of ours, TLS 1.2", "mtls", with(ours, tls.VersionTLS12), true},
		{"a certificate of somebody else", "mtls", with(theirs, tls.VersionTLS13), false},
		{"a certificate where none is asked for", "www", with(theirs, tls.VersionTLS13), true},
	} {
		if got := s.handshake(c.host, c.change) != nil; got != c.admitted {
			t.Errorf("%s: admitted is %v", c.what, got)
		}
	}
}

// TestASessionNeverGoesOnUnderOtherSettings: a ticket of one host opens no other that asks for more or less.
func TestASessionNeverGoesOnUnderOtherSettings(t *testing.T) {
	t.Parallel()
	ours := newClientCA(t, "ours")
	hosts := map[string]*HostTLS{"mtls." + domain: newHostTLS(t, 0, ours.pem)}
	s := start(t, func(http.ResponseWriter, *http.Request) {}, func(o *Options) {
		o.HostTLS = func(name string) *HostTLS { return hosts[name] }
	})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := &oneSession{}
		anybody := func(c *tls.Config) { c.ClientSessionCache, c.MaxVersion = cache, version }
		certified := func(c *tls.Config) {
			anybody(c)
			c.Certificates = []tls.Certificate{ours.leaf}
		}
		if first := s.handshake("www", anybody); first == nil || first.DidResume {
			t.Fatalf("%x: the first connection: %+v", version, first)
		}
		if again := s.handshake("www", anybody); again == nil || !again.DidResume {
			t.Errorf("%x: an ordinary host does not resume; this test shows nothing", version)
		}
		if state := s.handshake("mtls", anybody); state != nil {
			t.Errorf("%x: a session without a certificate was admitted: resumed %v", version, state.DidResume)
		}
		if state := s.handshake("mtls", certified); state == nil || state.DidResume {
			t.Errorf("%x: with a certificate: %+v", version, state)
		}
		cache.Put("", nil)
		if s.handshake("mtls", certified); cache.session != nil {
			t.Errorf("%x: a host that asks for certificates gives tickets away", version)
		}
	}
}

// TestAConnectionIsJudgedByWhatItIs: settings that a reload made stricter count for connections that are there already.
func TestAConnectionIsJudgedByWhatItIs(t *testing.T) {
	t.Parallel()
	ours, theirs := newClientCA(t, "ours"), newClientCA(t, "theirs")
	parse := func(ca clientCA) *x509.Certificate {
		block, _ := pem.Decode(ca.pem)
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	certified := func(ca clientCA) *tls.ConnectionState {
		return &tls.ConnectionState{Version: tls.VersionTLS12, VerifiedChains: [][]*x509.Certificate{{parse(ca), parse(ca)}}}
	}
	mtls, newer := newHostTLS(t, 0, ours.pem), newHostTLS(t, tls.VersionTLS13, nil)
	for what, ok := range map[string]bool{
		"no settings": (*HostTLS)(nil).Admits(&tls.ConnectionState{}), "ours": mtls.Admits(certified(ours)),
		"theirs": !mtls.Admits(certified(theirs)), "none": !mtls.Admits(&tls.ConnectionState{Version: tls.VersionTLS13}),
		"old": !newer.Admits(certified(ours)), "new": newer.Admits(&tls.ConnectionState{Version: tls.VersionTLS13}), "no TLS": !newer.Admits(nil),
		"same": mtls.Equal(newHostTLS(t, 0, ours.pem)) && (*HostTLS)(nil).Equal(nil),
		"1.2 is what every host asks": (*HostTLS)(nil).Equal(newHostTLS(t, tls.VersionTLS12, nil)) && newHostTLS(t, tls.VersionTLS12, nil).Equal(nil) &&
			newHostTLS(t, 0, nil).Equal(newHostTLS(t, tls.VersionTLS12, nil)) && mtls.Equal(newHostTLS(t, tls.VersionTLS12, ours.pem)),
		"differ": !mtls.Equal(nil) && !(*HostTLS)(nil).Equal(mtls) && !mtls.Equal(newer) && !mtls.Equal(newHostTLS(t, 0, theirs.pem)) &&
			!mtls.Equal(newHostTLS(t, tls.VersionTLS13, ours.pem)),
	} {
		if !ok {
			t.Error(what)
		}
	}
}

func TestWhatIsNoClientCAIsRefused(t *testing.T) {
	t.Parallel()
	block, _ := pem.Decode(newClientCA(t, "ours").pem)
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newClientCA(t, "ours").leaf.Certificate[0]})
	for want, text := range map[string]string{
		"no certificate in PEM":   "hello",
		"cannot be read":          "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
		"holds a PRIVATE KEY":     string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes})),
		"certification authority": string(leaf),
	} {
		if _, err := NewHostTLS(0, []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
