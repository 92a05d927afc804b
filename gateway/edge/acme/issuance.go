package acme

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// An issuance is one attempt to get one certificate, the way of RFC 8555, section
// 7.1. It belongs to the goroutine that holds the lock of the name.
type issuance struct {
	*Manager
	name    string
	current *certificate // to be replaced; nil where there is none
	solver  *solver
	pending *pendingOrder // stored whenever it changes
	key     crypto.Signer
	resumed bool // the order is one of a process before this one
}

// run obtains the certificate, and starts over where the account does not exist any
// more (accountDoesNotExist), or the pending order is unusable.
func (i *issuance) run(ctx context.Context) (*certificate, error) {
	if err := i.checkAuthority(ctx); err != nil {
		return nil, err
	}
	if err := i.solver.checkDelegation(ctx, i.name); err != nil {
		return nil, err
	}
	if err := i.resume(ctx); err != nil {
		return nil, err
	}
	var account acmez.Account
	var c *certificate
	var err error
	for range 3 {
		if account, err = i.account(ctx); err != nil {
			return nil, err
		}
		c, err = i.issue(ctx, account)
		var acmeErr acmez.Problem
		switch {
		case errors.As(err, &acmeErr) && acmeErr.Type == acmez.ProblemTypeAccountDoesNotExist:
			if err := i.unregister(ctx); err != nil {
				return nil, err
			}
		case errors.Is(err, errUnusable) && i.resumed:
			i.opts.Log.Warn("pending order is unusable, making a new order", "name", i.name, "error", err)
			if err := i.abandon(ctx); err != nil {
				return nil, err
			}
		default:
			return c, err
		}
	}
	return c, err
}

// checkAuthority makes sure, before anything is ordered, that the directory can be
// fetched, and that the clock skew is small.
func (i *issuance) checkAuthority(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	op := "asking the authority for its directory"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.opts.Directory, nil)
	if err != nil {
		return i.authorityProblem(op, err)
	}
	resp, err := i.client.HTTPClient.Do(request)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err
		}
		return i.authorityProblem(op, err)
	}
	if err := resp.Body.Close(); err != nil {
		return i.authorityProblem(op, err)
	}
	if resp.StatusCode != http.StatusOK {
		return i.authorityProblem(op, fmt.Errorf("it answered %s", resp.Status))
	}
	return i.clock.checkSkew()
}

// resume loads the pending order with its key, if there is one. Else a new key is
// stored, which shows too that the storage is writable.
func (i *issuance) resume(ctx context.Context) error {
	i.pending = &pendingOrder{}
	if _, err := readOrNot(ctx, i.opts.Storage, key(kindPending, i.issuer, i.name), i.pending, i.opts.Log); err != nil {
		return err
	}
	private, err := certmagic.PEMDecodePrivateKey(i.pending.Key)
	if err != nil || i.current != nil && matchesKey(i.current.leaf(), private.Public()) {
		// There is none, or it has led to what is there already.
		return i.abandon(ctx)
	}
	i.key, i.resumed = private, i.pending.Order != ""
	return nil
}

// matchesKey reports whether a certificate is for a key.
func matchesKey(leaf *x509.Certificate, public crypto.PublicKey) bool {
	comparable, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(leaf.PublicKey)
}

// txtRetention is how long the cleanup of a leftover TXT record is retried: it does
// no harm, and may be in a zone that is out of reach by now.
const txtRetention = 7 * 24 * time.Hour

// abandon drops the pending order, and starts over with a new key. TXT records that
// may have been left behind stay listed for cleanup.
func (i *issuance) abandon(ctx context.Context) (err error) {
	since := i.opts.Now().Add(-txtRetention)
	fresh := &pendingOrder{TXT: slices.DeleteFunc(i.pending.TXT, func(t txt) bool { return t.Since.Before(since) })}
	if i.key, fresh.Key, err = newKey(); err != nil {
		return err
	}
	i.pending, i.resumed = fresh, false
	return i.savePending(ctx)
}

// savePending stores the pending order.
func (i *issuance) savePending(ctx context.Context) error {
	return write(ctx, i.opts.Storage, key(kindPending, i.issuer, i.name), i.pending)
}

// clearPending deletes the finished order, but for TXT records that may have been
// left behind.
func (i *issuance) clearPending(ctx context.Context) error {
	if len(i.pending.TXT) > 0 {
		i.pending = &pendingOrder{TXT: i.pending.TXT}
		return i.savePending(ctx)
	}
	return i.opts.Storage.Delete(ctx, key(kindPending, i.issuer, i.name))
}

// errUnusable says that the certificate of an order cannot be used.
var errUnusable = errors.New("unusable certificate")

// issue creates an order, or resumes the pending one, up to the certificate.
func (i *issuance) issue(ctx context.Context, account acmez.Account) (*certificate, error) {
	order, err := i.order(ctx, account)
	if err != nil {
		return nil, err
	}
	if order.Status == acmez.StatusPending || order.Status == acmez.StatusReady {
		if err := i.authorise(ctx, account, order); err != nil {
			return nil, err
		}
	}
	if len(i.pending.TXT) > 0 {
		i.cleanup(ctx) // left by a process that was interrupted
	}
	if order.Status != acmez.StatusValid {
		request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{i.name}}, i.key)
		if err != nil {
			return nil, err
		}
		if order, err = i.client.FinalizeOrder(ctx, account, order, request); err != nil {
			return nil, i.authorityProblem("asking the authority to sign the certificate for "+i.name, err)
		}
	}
	op := "fetching the certificate for " + i.name
	chains, err := i.client.GetCertificateChain(ctx, account, order.Certificate)
	switch {
	case err != nil:
		return nil, i.authorityProblem(op, err)
	case len(chains) == 0:
		return nil, i.authorityProblem(op, errors.New("the authority sent none"))
	}
	return i.checkChain(chains[0].ChainPEM)
}

// checkChain makes sure that the certificate is for our key and name, and valid now.
func (i *issuance) checkChain(chain []byte) (*certificate, error) {
	p := &Problem{
		Op: "looking at the certificate that the authority sent for " + i.name, Counted: true,
		Advice: "what is served stays, and another is ordered by itself",
	}
	encoded, err := certmagic.PEMEncodePrivateKey(i.key)
	if err != nil {
		return nil, err
	}
	now := i.opts.Now().UTC()
	leaf := leafOf(chain)
	switch {
	case leaf == nil:
		p.Err = fmt.Errorf("%w: it is no certificate", errUnusable)
		return nil, p
	case !matchesKey(leaf, i.key.Public()):
		p.Err = fmt.Errorf("%w: certificate and key do not match", errUnusable)
		return nil, p
	case len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != i.name:
		p.Err = fmt.Errorf("%w: it is for %s", errUnusable, strings.Join(leaf.DNSNames, ", "))
		return nil, p
	case now.Before(leaf.NotBefore.Add(-maxSkew)) || now.After(leaf.NotAfter):
		p.Err = fmt.Errorf("%w: it is good from %s to %s, and this machine's clock says %s",
			errUnusable, leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))
		p.Advice = "if the clock is wrong, set it (NTP)"
		return nil, p
	}
	return (&record{Chain: chain, Key: encoded, Obtained: now}).certificate(i.name)
}
