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
	pending *pending // written down whenever it changes
	key     crypto.Signer
	resumed bool // the order was there before
}

// run goes all the way, and starts over where what it built on turns out to be
// gone: the account at the authority, or the use of the order under way.
func (i *issuance) run(ctx context.Context) (*certificate, error) {
	if err := i.reach(ctx); err != nil {
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
		var said acmez.Problem
		switch {
		case errors.As(err, &said) && said.Type == acmez.ProblemTypeAccountDoesNotExist:
			if err := i.forgetAccount(ctx); err != nil {
				return nil, err
			}
		case errors.Is(err, errUseless) && i.resumed:
			i.o.Log.Warn("the order under way has led to nothing of use, and another is made", "name", i.name, "error", err)
			if err := i.abandon(ctx); err != nil {
				return nil, err
			}
		default:
			return c, err
		}
	}
	return c, err
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
		return i.ofAuthority(doing, fmt.Errorf("it answered %s", resp.Status))
	}
	return i.clock.check()
}

// resume goes on with the order under way, if there is one: its key is ours. Else
// a new key is written down, which shows too that there is something to write to.
func (i *issuance) resume(ctx context.Context) error {
	i.pending = &pending{}
	if _, err := readOrNot(ctx, i.o.Storage, key(kindPending, i.issuer, i.name), i.pending, i.o.Log); err != nil {
		return err
	}
	private, err := certmagic.PEMDecodePrivateKey(i.pending.Key)
	if err != nil || i.current != nil && isFor(i.current.leaf(), private.Public()) {
		// There is none, or it has led to what is there already.
		return i.abandon(ctx)
	}
	i.key, i.resumed = private, i.pending.Order != ""
	return nil
}

// isFor reports whether a certificate is for a key.
func isFor(leaf *x509.Certificate, public crypto.PublicKey) bool {
	comparable, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(leaf.PublicKey)
}

// forgetAfter is when a record that may have been left behind is forgotten: it
// does no harm, and may be in a zone that is out of reach by now.
const forgetAfter = 7 * 24 * time.Hour

// abandon gives the order under way up, and begins anew with another key. The
// records that may have been left behind stay noted.
func (i *issuance) abandon(ctx context.Context) (err error) {
	since := i.o.Now().Add(-forgetAfter)
	fresh := &pending{TXT: slices.DeleteFunc(i.pending.TXT, func(t txt) bool { return t.Since.Before(since) })}
	if i.key, fresh.Key, err = newKey(); err != nil {
		return err
	}
	i.pending, i.resumed = fresh, false
	return i.remember(ctx)
}

// remember writes the order under way down.
func (i *issuance) remember(ctx context.Context) error {
	return write(ctx, i.o.Storage, key(kindPending, i.issuer, i.name), i.pending)
}

// settle forgets the order, which is done, but for records that may have been left
// behind.
func (i *issuance) settle(ctx context.Context) error {
	if len(i.pending.TXT) > 0 {
		i.pending = &pending{TXT: i.pending.TXT}
		return i.remember(ctx)
	}
	return i.o.Storage.Delete(ctx, key(kindPending, i.issuer, i.name))
}

// errUseless says that what an order has led to cannot be used.
var errUseless = errors.New("it is of no use")

// issue makes an order, or goes on with the one under way, to its end.
func (i *issuance) issue(ctx context.Context, account acmez.Account) (*certificate, error) {
	order, err := i.order(ctx, account)
	if err != nil {
		return nil, err
	}
	if order.Status == acmez.StatusPending || order.Status == acmez.StatusReady {
		if err := i.authorize(ctx, account, order); err != nil {
			return nil, err
		}
	}
	if len(i.pending.TXT) > 0 {
		i.takeBack(ctx) // of a process that ended before it could
	}
	if order.Status != acmez.StatusValid {
		request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{i.name}}, i.key)
		if err != nil {
			return nil, err
		}
		if order, err = i.client.FinalizeOrder(ctx, account, order, request); err != nil {
			return nil, i.ofAuthority("asking the authority to sign the certificate for "+i.name, err)
		}
	}
	doing := "fetching the certificate for " + i.name
	chains, err := i.client.GetCertificateChain(ctx, account, order.Certificate)
	switch {
	case err != nil:
		return nil, i.ofAuthority(doing, err)
	case len(chains) == 0:
		return nil, i.ofAuthority(doing, errors.New("the authority sent none"))
	}
	return i.check(chains[0].ChainPEM)
}

// check makes sure that what came is what was asked for, and good now.
func (i *issuance) check(chain []byte) (*certificate, error) {
	p := &Problem{
		Doing: "looking at the certificate that the authority sent for " + i.name, Counted: true,
		Advice: "what is served stays, and another is ordered by itself",
	}
	encoded, err := certmagic.PEMEncodePrivateKey(i.key)
	if err != nil {
		return nil, err
	}
	now := i.o.Now().UTC()
	leaf := leafOf(chain)
	switch {
	case leaf == nil:
		p.Err = fmt.Errorf("%w: it is no certificate", errUseless)
		return nil, p
	case !isFor(leaf, i.key.Public()):
		p.Err = fmt.Errorf("%w: certificate and key do not match", errUseless)
		return nil, p
	case len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != i.name:
		p.Err = fmt.Errorf("%w: it is for %s", errUseless, strings.Join(leaf.DNSNames, ", "))
		return nil, p
	case now.Before(leaf.NotBefore.Add(-mostSkew)) || now.After(leaf.NotAfter):
		p.Err = fmt.Errorf("%w: it is good from %s to %s, and this machine's clock says %s",
			errUseless, leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.Format(time.RFC3339))
		p.Advice = "if the clock is wrong, set it (NTP)"
		return nil, p
	}
	return (&record{Chain: chain, Key: encoded, Obtained: now}).certificate(i.name)
}
