package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestClientCertificate(t *testing.T) {
	uri, err := url.Parse("spiffe://example.test/a;b,c=d")
	if err != nil {
		t.Fatal(err)
	}
	certificate := &x509.Certificate{
		Raw: []byte("certificate"), Subject: pkix.Name{CommonName: "Jürgen \"J\" O\\;\r\nX: y", Organization: []string{"ACME, Inc."}},
		URIs: []*url.URL{uri}, DNSNames: []string{"a.example.test", `b";Hash=0`},
	}
	verified := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}, VerifiedChains: [][]*x509.Certificate{{certificate}}}
	got := clientCertificate(verified)
	if !strings.HasPrefix(got, "Hash=") || !strings.HasSuffix(got, `";URI="spiffe://example.test/a;b,c=d";DNS="a.example.test";DNS="b\";Hash=0"`) {
		t.Errorf("%s", got)
	}
	if strings.ContainsAny(got, "\r\nü") {
		t.Errorf("%q cannot be a field's value everywhere", got)
	}
	certificate.DNSNames = slices.Repeat(certificate.DNSNames, 1000)
	if n := len(clientCertificate(verified)); n > maxClientCertificate || n < maxClientCertificate/2 {
		t.Errorf("%d bytes of many names", n)
	}
	for _, state := range []*tls.ConnectionState{nil, {}, {PeerCertificates: []*x509.Certificate{certificate}}} {
		if got := clientCertificate(state); got != "" {
			t.Errorf("%s of a certificate that nobody has verified", got)
		}
	}
}
