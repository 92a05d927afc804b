package idp

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/idp/internal/attempts"
	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/idp/internal/renewal"
	"github.com/viloforge/vilogate/idp/token"
)

// New checks the options, unseals the signing keys, and makes the first one in a new database.
func New(ctx context.Context, o Options) (*IDP, error) {
	p, err := newIDP(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("identity provider: %w", err)
	}
	return p, nil
}

func newIDP(ctx context.Context, o Options) (*IDP, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.PasswordCost == (password.Cost{}) {
		o.PasswordCost = password.DefaultCost()
	}
	p := &IDP{o: o, directory: newDirectory(o.DB, o.Revocations, o.Now, o.SessionIdle)}
	if err := p.directory.prepare(ctx); err != nil {
		return nil, err
	}
	p.origin = "https://" + o.LoginHost
	if o.PublicPort != 443 {
		p.origin += ":" + strconv.Itoa(o.PublicPort)
	}
	keys, err := openKeyring(ctx, o.DB, o.SealKey, o.Now())
	if err != nil {
		return nil, err
	}
	p.issuer = &issuer{
		directory: p.directory, keys: keys, iss: p.origin, audience: o.Audience,
		times: renewal.Times{TTL: o.AccessTTL, Grace: cmp.Or(o.RenewalGrace, defaultRenewalGrace), Max: cmp.Or(o.RenewalMax, o.SessionIdle)},
	}
	if o.LoginLimits.Successes == (gcra.Rate{}) {
		o.LoginLimits.Successes = gcra.Rate{Events: 60, Per: time.Minute}
	}
	var errs [6]error
	p.verifier, errs[0] = token.NewVerifier(token.VerifierConfig{Issuers: []token.IssuerConfig{{
		Name: token.OwnIssuer, ISS: p.origin, Audiences: []string{o.Audience}, Keys: keys, Cookie: o.CookieName, Own: true,
	}}})
	p.csrfKey, errs[1] = hkdf.Key(sha256.New, o.SealKey[:], nil, "vilogate forms v1", sha256.Size)
	// Half of the processors: whoever is signed in already does not feel a flood of logins.
	workers := max(1, runtime.GOMAXPROCS(0)/2)
	p.passwords, errs[2] = password.NewPool(o.PasswordCost, workers, 32*workers) // some seconds of work
	p.inFlight = newInFlight(16 * workers)
	p.perAccount, errs[3] = attempts.NewAccounts(o.LoginLimits.PerAccount)
	p.perAddress, errs[4] = attempts.New(o.LoginLimits.PerAddress)
	p.successes, errs[5] = attempts.New(o.LoginLimits.Successes)
	p.sessions = &Sessions{directory: p.directory, issuer: p.issuer, verifier: p.verifier, log: o.Log, audit: o.Audit, replays: map[string]struct{}{}}
	p.router = p.routes()
	return p, errors.Join(errs[:]...)
}
