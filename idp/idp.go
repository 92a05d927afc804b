package idp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/julienschmidt/httprouter"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/internal/attempts"
	"github.com/viloforge/vilogate/idp/internal/password"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// purgeEvery is how often sessions that are over are removed.
const purgeEvery = time.Hour

// defaultRenewalGrace is longer than an answer takes that people wait for.
const defaultRenewalGrace = 2 * time.Minute

// Options are what an identity provider is made of. What is not said to be optional is required.
type Options struct {
	// DB keeps users, sessions and keys.
	DB *database.DB
	// Revocations is the list that the gateways follow.
	Revocations Revocations
	// Domain is the parent domain of the SSO cookie.
	Domain string
	// LoginHost is the host that the pages are served on.
	LoginHost string
	// PublicPort is the port that people see.
	PublicPort int
	// CookieName is the name of the SSO cookie.
	CookieName string
	// Audience is what tokens are for.
	Audience string
	// AccessTTL is how long an access token holds.
	AccessTTL time.Duration
	// SessionIdle is the idle timeout of a session; SessionMax its absolute timeout, 90 days at most.
	SessionIdle, SessionMax time.Duration
	// RenewalGrace is how long a token counts after the one in its place was delivered. Optional: 2 minutes.
	RenewalGrace time.Duration
	// RenewalMax is how long a session is renewed without its browser being seen at the login host. Optional: SessionIdle.
	RenewalMax time.Duration
	// RedirectPolicy says where a login may return to. A request keeps what it was told when it began.
	RedirectPolicy func() *RedirectPolicy
	// LoginLimits slow failed logins down.
	LoginLimits LoginLimits
	// SealKey seals the signing keys in the database, and binds forms to browsers.
	SealKey [32]byte
	// TrustedProxies are the gateways' networks, which are believed about who asks, and whose X-Request-Id is kept, when the
	// handler listens by itself. Optional: none, when a gateway in this process hands requests over with the client's address
	// in RemoteAddr.
	TrustedProxies []netip.Prefix
	// ClientIPHeaders are the headers in which they say who asks, by their canonical names; the first that is there counts.
	// Optional: X-Forwarded-For.
	ClientIPHeaders []string
	// UseForwarded has Forwarded (RFC 7239) count instead of X-Forwarded-For.
	UseForwarded bool
	// ClearSiteData is the header of that name in the answer to a sign-out. Optional: there is none.
	ClearSiteData string
	// PasswordCost is what hashing a password costs. Optional: password.DefaultCost.
	PasswordCost password.Cost
	// Now is the clock.
	Now func() time.Time
	// Log is told who signed in and out, never with what.
	Log *slog.Logger
	// Audit keeps records of the same. Optional: nobody does.
	Audit Audit
}

// LoginLimits are rates of logins: of failed ones from browsers that the account does not know, and of those that succeed.
type LoginLimits struct {
	// PerAccount counts by account, however its name is spelt: so many at once, then one a minute or as slowly as it says.
	PerAccount gcra.Rate
	// PerAddress counts by client address, of IPv6 by /64.
	PerAddress gcra.Rate
	// Successes counts logins that succeed, by account and client address together. Optional: 60 a minute.
	Successes gcra.Rate
}

// IDP is the identity provider. It is an http.Handler for the login host, and safe for concurrent use.
type IDP struct {
	o          Options
	directory  *directory
	issuer     *issuer
	verifier   *token.Verifier // of our own access tokens, for signing out
	passwords  *password.Pool
	perAccount *attempts.Accounts
	perAddress *attempts.Limiter
	successes  *attempts.Limiter
	inFlight   *inFlight
	sessions   *Sessions
	csrfKey    []byte
	router     *httprouter.Router
	origin     string

	failures             failureSampler // of audit records
	logins, failedLogins atomic.Uint64
}

func (o *Options) check() error {
	switch {
	case o.DB == nil, o.Revocations == nil, o.RedirectPolicy == nil, o.Now == nil, o.Log == nil:
		return errors.New("a database, a revocation list, addresses to return to, a clock and a log are required")
	case !request.IsHostName(o.Domain) || !request.IsHostName(o.LoginHost):
		return fmt.Errorf("%q and %q are to be a domain and a host", o.Domain, o.LoginHost)
	case o.PublicPort < 1 || o.PublicPort > 65535:
		return fmt.Errorf("%d is no public port", o.PublicPort)
	case o.CookieName == "" || o.Audience == "":
		return errors.New("a cookie name and an audience are required")
	case o.AccessTTL < time.Second || o.SessionIdle < time.Second || o.SessionMax < time.Second || o.SessionMax > token.LongestSession:
		return fmt.Errorf("tokens and sessions last at least a second, and at most %d days", token.LongestSession/(24*time.Hour))
	default:
		return nil
	}
}

// Sessions returns who answers gateways about sessions.
func (p *IDP) Sessions() *Sessions { return p.sessions }

// Issuer is the iss of the access tokens.
func (p *IDP) Issuer() string { return p.origin }

// Keys verify the access tokens: what a gateway in this process uses.
func (p *IDP) Keys() token.KeySource { return p.issuer.keys }

// KeyReady reports whether there is a key to sign with.
func (p *IDP) KeyReady() bool { return p.issuer.keys.signing != nil }

// Admin administers the users while the identity provider runs.
func (p *IDP) Admin() *Admin {
	return &Admin{directory: p.directory, passwords: p.passwords, unlock: p.perAccount.Reset}
}

// Run removes sessions that are over, until ctx ends. It returns nil then.
func (p *IDP) Run(ctx context.Context) error {
	ticker, omitted := time.NewTicker(purgeEvery), time.NewTicker(failureWindow)
	defer ticker.Stop()
	defer omitted.Stop()
	purge := func() {
		if err := p.directory.purge(ctx); err != nil && ctx.Err() == nil {
			p.o.Log.ErrorContext(ctx, "purging expired sessions failed", "error", err)
		}
	}
	purge()
	for {
		select {
		case <-ticker.C:
			purge()
		case <-omitted.C:
			p.auditOmitted()
		case <-ctx.Done():
			return nil
		}
	}
}

// auditOmitted records how many failures were not recorded, where none came since that would say so.
func (p *IDP) auditOmitted() {
	now := p.o.Now()
	if omitted := p.failures.flush(now); omitted > 0 && p.o.Audit != nil {
		p.o.Audit.PutEventBestEffort(&audit.Event{
			Version: audit.Version, Time: now.UTC(), Event: audit.EventLogin, Result: audit.Failure, Reason: "not recorded one by one", Omitted: omitted,
		})
	}
}

// Stats are counts since the start.
type Stats struct {
	Logins       uint64 // that succeeded
	FailedLogins uint64 // attempts at a password that did not, for whatever reason
}

// Stats returns the counts.
func (p *IDP) Stats() Stats { return Stats{p.logins.Load(), p.failedLogins.Load()} }
