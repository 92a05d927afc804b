package acme

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// An issuance is one attempt to get one certificate. certmagic takes the lock,
// looks whether somebody else has done it meanwhile, asks this for a key and then
// for the certificate, and stores both. It is used by one goroutine.
type issuance struct {
	*Manager
	name    string
	force   bool              // due or not
	current *x509.Certificate // stored now; nil where there is none that can be read
	pending *pending          // the order under way
}

// attempt makes one attempt for name. With force, a certificate that is not due
// is replaced too.
func (m *Manager) attempt(ctx context.Context, name string, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, m.o.PropagationTimeout+attemptTime)
	defer cancel()
	i := &issuance{Manager: m, name: name, force: force}
	c := certmagic.New(m.cache, certmagic.Config{
		Storage: m.o.Storage, KeySource: i, Issuers: []certmagic.Issuer{i}, OnEvent: i.begin, Logger: zap.NewNop(),
		OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	_, err := load(ctx, m.o.Storage, m.issuer, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = c.ObtainCertSync(ctx, name)
	case err == nil:
		err = c.RenewCertSync(ctx, name, true) // begin knows whether it is due
	}
	if err != nil && !errors.Is(err, errDone) {
		return err
	}
	return m.settleOrder(ctx, name)
}

// errDone says that somebody else has done the work while we waited for the lock.
var errDone = errors.New("acme: another process has obtained it")

// begin is told by certmagic, which has the lock, that the work begins, and ends
// it where there is none to do any more.
func (i *issuance) begin(ctx context.Context, event string, _ map[string]any) error {
	if event != "cert_obtaining" || i.force {
		return nil
	}
	stored, err := load(ctx, i.o.Storage, i.issuer, i.name)
	if err != nil {
		return nil // there is something to do
	}
	pair, err := stored.pair()
	if err == nil && i.o.Now().Before(renewAt(pair.Leaf, stored.renewalInfo())) {
		return errDone
	}
	return nil
}

// attemptTime is how long an attempt may take besides the propagation of the
// record, and any step of it that is one request.
const (
	attemptTime = 4 * time.Minute
	requestTime = 20 * time.Second
)

// GenerateKey implements certmagic.KeyGenerator: the key of the order under way,
// else a new one. certmagic holds the lock of the name.
func (i *issuance) GenerateKey() (crypto.PrivateKey, error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	if stored, err := load(ctx, i.o.Storage, i.issuer, i.name); err == nil {
		i.current = leafOf(stored.Chain)
	}
	var order pending
	found, err := read(ctx, i.o.Storage, pendingKey(i.issuer, i.name), &order)
	if err != nil {
		return nil, err
	}
	if found {
		key, err := certmagic.PEMDecodePrivateKey(order.Key)
		switch {
		case err != nil || i.hasKey(key):
			// It cannot be gone on with, or has led to what is stored already.
			if err := i.abandon(ctx, &order); err != nil {
				return nil, err
			}
		default:
			i.pending = &order
			return key, nil
		}
	}
	key, err := certmagic.StandardKeyGenerator{KeyType: certmagic.P256}.GenerateKey()
	if err != nil {
		return nil, err
	}
	encoded, err := certmagic.PEMEncodePrivateKey(key.(crypto.Signer))
	i.pending = &pending{Key: encoded}
	return key, err
}

// hasKey reports whether the current certificate is for key.
func (i *issuance) hasKey(key crypto.Signer) bool {
	if i.current == nil {
		return false
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(i.current.PublicKey)
}

// IssuerKey implements certmagic.Issuer.
func (i *issuance) IssuerKey() string { return i.issuer }

// Issue implements certmagic.Issuer. It goes the way of RFC 8555, section 7.1:
// account, order, authorizations, finalization, download.
func (i *issuance) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := i.reach(ctx); err != nil {
		return nil, err
	}
	for again := false; ; again = true {
		account, err := i.account(ctx)
		if err != nil {
			return nil, err
		}
		chain, err := i.issue(ctx, account, csr)
		var said acmez.Problem
		if !again && errors.As(err, &said) && said.Type == acmez.ProblemTypeAccountDoesNotExist {
			if err := i.forgetAccount(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		return &certmagic.IssuedCertificate{Certificate: chain.ChainPEM, Metadata: chain}, nil
	}
}

// reach makes sure, before anything is ordered, that the authority answers, and
// that our clock and its agree.
func (i *issuance) reach(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	doing := "asking the authority for its directory"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.o.Directory, nil)
	if err != nil {
		return i.ofAuthority(doing, err)
	}
	resp, err := i.client.HTTPClient.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return i.ofAuthority(doing, err)
	}
	if err := resp.Body.Close(); err != nil {
		return i.ofAuthority(doing, err)
	}
	if resp.StatusCode != http.StatusOK {
		return i.ofAuthority(doing, acmez.Problem{Status: resp.StatusCode, Detail: "it answered " + resp.Status})
	}
	return i.clock.check()
}

// issue orders a certificate, or goes on with the order under way.
func (i *issuance) issue(ctx context.Context, account acmez.Account, csr *x509.CertificateRequest) (chain acmez.Certificate, err error) {
	order, err := i.order(ctx, account)
	if err != nil {
		return chain, err
	}
	if order.Status == acmez.StatusPending || order.Status == acmez.StatusReady {
		if err := i.authorize(ctx, account, order); err != nil {
			return chain, err
		}
	}
	if len(i.pending.TXT) > 0 {
		i.takeBack(ctx) // of a process that ended before it could
	}
	if order.Status != acmez.StatusValid {
		if order, err = i.client.FinalizeOrder(ctx, account, order, csr.Raw); err != nil {
			return chain, i.ofAuthority("asking the authority to sign the certificate for "+i.name, err)
		}
	}
	chains, err := i.client.GetCertificateChain(ctx, account, order.Certificate)
	switch {
	case err != nil:
		return chain, i.ofAuthority("fetching the certificate for "+i.name, err)
	case len(chains) == 0:
		return chain, i.ofAuthority("fetching the certificate for "+i.name, errors.New("the authority sent none"))
	}
	return chains[0], i.checkIssued(chains[0], csr)
}

// checkIssued makes sure that what came is what was asked for, and good now.
func (i *issuance) checkIssued(chain acmez.Certificate, csr *x509.CertificateRequest) error {
	doing := "looking at the certificate that the authority sent for " + i.name
	leaf := leafOf(chain.ChainPEM)
	key, ok := csr.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	switch now := i.o.Now(); {
	case leaf == nil:
		return i.ofAuthority(doing, errors.New("it is no certificate"))
	case !ok || !key.Equal(leaf.PublicKey):
		return i.ofAuthority(doing, errors.New("certificate and key do not match: it is for another key"))
	case len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != i.name:
		return i.ofAuthority(doing, fmt.Errorf("it is for %s", strings.Join(leaf.DNSNames, ", ")))
	case now.Before(leaf.NotBefore.Add(-mostSkew)) || now.After(leaf.NotAfter):
		return &Problem{
			Doing: doing, Counted: true,
			Err: fmt.Errorf("it is good from %s to %s, and this machine's clock says %s",
				leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339)),
			Advice: "set the clock (NTP)",
		}
	}
	return nil
}

// leafOf is the first certificate of a PEM chain; nil where there is none.
func leafOf(chain []byte) *x509.Certificate {
	block, _ := pem.Decode(bytes.TrimSpace(chain))
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}

// issuerKey names an authority in the storage, by its directory, as certmagic does.
func issuerKey(directory string) string {
	return (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
}
