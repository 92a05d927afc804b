package acme

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

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
