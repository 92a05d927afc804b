package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// Options are what a Manager is made of.
type Options struct {
	// Names get a certificate each: "viloforge.com", "*.viloforge.com".
	Names []string
	// Directory is the authority's (RFC 8555, section 7.1.1), an https address.
	Directory string
	// Roots are trusted as the authority's. Optional: the system's.
	Roots *x509.CertPool
	// Email is told to the authority. Optional.
	Email string
	// EAB binds the account to one that the authority knows. Optional.
	EAB *EAB
	// APIToken is Cloudflare's, with the permissions Zone:Read and DNS:Edit.
	APIToken string
	// APIBase is where Cloudflare's API is. Optional: [CloudflareAPI].
	APIBase string
	// ChallengeDomain is where the names of the challenges are aliases of: the
	// TXT record is written there. Optional: it is written where it is asked for.
	ChallengeDomain string
	// Resolvers are asked about DNS, as host:port. Optional: the system's, and the
	// zone's own name servers.
	Resolvers []string
	// PropagationTimeout is how long a TXT record may take to be seen. Optional: 2m.
	PropagationTimeout time.Duration
	// Storage holds certificates, keys, account and locks; a fleet shares it.
	Storage certmagic.Storage
	// Copy holds what is served once more, where nobody else has to be asked. It
	// may be Storage.
	Copy certmagic.Storage
	// Serve is given all certificates there are, whenever they change, in the order
	// of Names. It is called by one goroutine at a time.
	Serve func([]*tls.Certificate)
	// Look is how often the storage is looked at for what others obtained.
	// Optional: 30s.
	Look time.Duration
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Log is told what is obtained, and what is not.
	Log *slog.Logger
}

// A Manager obtains and renews certificates. Run does the work; the other methods
// are safe for concurrent use.
type Manager struct {
	o      Options
	issuer string // names the authority in the storage
	client *acmez.Client
	plain  *http.Client // to everybody but the authority
	clock  *clock
	solver *solver
	cache  *certmagic.Cache // of no use but that certmagic wants one
	asked  chan demand

	mu    sync.Mutex
	names []*managed // what they point to is guarded by mu, and written by Run alone
}

// managed is a name and its certificate.
type managed struct {
	name     string
	resource *resource        // of this authority; nil as long as there is none
	pair     *tls.Certificate // what is served: of resource, or of an authority before this one; nil for nothing
	info     acmez.RenewalInfo
	askedAt  time.Time // for the renewal information, last
	failed   *failure  // the last attempt, where it failed
	trouble  string    // of looking into the storage; "" where there is none
	broken   bool      // what is stored cannot be used, or was revoked, and has to be replaced
	stapleAt time.Time // when its OCSP answer is next asked for
}

// demand asks for an attempt now.
type demand struct {
	ctx   context.Context
	name  string // "" for all
	reply chan error
}

// New verifies the options, and serves what was served before.
func New(ctx context.Context, o Options) (*Manager, error) {
	switch {
	case len(o.Names) == 0 || o.Directory == "" || o.APIToken == "":
		return nil, errors.New("acme: names, an authority and an API token are needed")
	case o.Storage == nil || o.Copy == nil || o.Serve == nil || o.Log == nil:
		return nil, errors.New("acme: a storage, a place for copies, somebody who serves and a log are needed")
	}
	if o.PropagationTimeout <= 0 {
		o.PropagationTimeout = 2 * time.Minute
	}
	if o.Look <= 0 {
		o.Look = 30 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Manager{o: o, issuer: issuerKey(o.Directory), asked: make(chan demand)}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 256 << 10,
	}
	var err error
	m.plain = &http.Client{Transport: transport, Timeout: requestTime}
	if m.solver, err = newSolver(&o, m.plain); err != nil {
		return nil, err
	}
	toAuthority := transport.Clone()
	toAuthority.TLSClientConfig = &tls.Config{RootCAs: o.Roots}
	m.clock = &clock{next: toAuthority, now: o.Now}
	m.client = &acmez.Client{
		Directory: o.Directory, UserAgent: "vilogate", PollTimeout: 2 * time.Minute,
		HTTPClient: &http.Client{Transport: m.clock, Timeout: requestTime},
	}
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) {
			return nil, errors.New("nothing is cached here")
		},
		RenewCheckInterval: time.Second, // what is due is up to us
		Logger:             zap.NewNop(),
	})
	m.cache.Stop() // its maintenance would renew by a schedule of its own, which no restart survives
	for _, name := range o.Names {
		m.names = append(m.names, &managed{name: name})
	}
	m.serveCopies(ctx)
	return m, nil
}

// Run looks after the certificates until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		for _, n := range m.names {
			m.look(ctx, n)
		}
		for _, n := range m.names {
			m.staple(ctx, n)
			if m.refreshInfo(ctx, n); m.due(n) {
				_ = m.tend(ctx, n, n.broken) // it has been said, and is tried again
			}
		}
		timer := time.NewTimer(m.pause())
		select {
		case <-ctx.Done():
		case <-timer.C:
		case d := <-m.asked:
			d.reply <- m.comply(ctx, d)
		}
		timer.Stop()
	}
	return nil
}

// refreshInfo asks the authority when the certificate should be renewed, as
// often as the authority wants to be asked. An authority that says nothing
// changes nothing.
func (m *Manager) refreshInfo(ctx context.Context, n *managed) {
	now := m.o.Now()
	if n.resource == nil || !now.Before(n.pair.Leaf.NotAfter) || now.Before(n.nextInfo()) {
		return
	}
	n.askedAt = now
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	info, err := m.client.GetRenewalInfo(ctx, n.pair.Leaf)
	if err != nil {
		m.o.Log.Debug("the authority does not say when to renew", "name", n.name, "error", err)
		return
	}
	if info.SameWindow(n.info) && !n.info.SelectedTime.IsZero() {
		info.SelectedTime = n.info.SelectedTime // one choice for one window
	}
	meta, err := n.resource.withRenewalInfo(info)
	if err == nil {
		err = m.o.Storage.Store(ctx, keys.SiteMeta(m.issuer, n.name), meta)
	}
	if err != nil {
		m.o.Log.Warn("the authority's suggestion when to renew could not be stored", "name", n.name, "error", err)
	}
	m.mu.Lock()
	n.info = info
	n.resource = &resource{Chain: n.resource.Chain, Key: n.resource.Key, Meta: meta}
	m.mu.Unlock()
}

// askEvery is how often the authority is asked when to renew, where it does not
// say itself; never more often than leastAsk.
const (
	askEvery = 6 * time.Hour
	leastAsk = time.Minute
)

// nextInfo is when the authority is next asked when to renew.
func (n *managed) nextInfo() time.Time {
	next := n.askedAt.Add(askEvery)
	if n.info.RetryAfter != nil {
		next = *n.info.RetryAfter
	} else if n.askedAt.IsZero() {
		return time.Time{}
	}
	if least := n.askedAt.Add(leastAsk); next.Before(least) {
		next = least
	}
	return next
}

// dueAt is when the next attempt is made.
func (n *managed) dueAt() time.Time {
	var at time.Time
	if n.resource != nil && !n.broken {
		at = renewAt(n.pair.Leaf, n.info)
	}
	if n.failed != nil && n.failed.NotBefore.After(at) {
		at = n.failed.NotBefore
	}
	return at
}

func (m *Manager) due(n *managed) bool { return !m.o.Now().Before(n.dueAt()) }

// pause is how long nothing has to be done.
func (m *Manager) pause() time.Duration {
	pause, now := m.o.Look, m.o.Now()
	for _, n := range m.names {
		pause = min(pause, n.dueAt().Sub(now))
		if n.resource != nil && now.Before(n.pair.Leaf.NotAfter) {
			pause = min(pause, n.nextInfo().Sub(now))
		}
	}
	return max(pause, 100*time.Millisecond)
}

// tend makes an attempt, and takes over what came of it.
func (m *Manager) tend(ctx context.Context, n *managed, force bool) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m.o.Log.Info("obtaining a certificate", "name", n.name, "authority", m.o.Directory, "renewal", n.pair != nil)
	err := m.attempt(ctx, n.name, force)
	if err == nil {
		err = m.clearFailure(ctx, n)
	}
	if err == nil {
		if err = m.lookInto(ctx, n); err == nil && m.due(n) {
			err = errors.New("what was just stored is not there any more, or is due already")
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // somebody ends the process, or waits no longer: no failure
	}
	return m.fail(ctx, n, problemOf(err, "for "+n.name))
}

func (m *Manager) clearFailure(ctx context.Context, n *managed) error {
	m.mu.Lock()
	failed := n.failed
	n.failed = nil
	m.mu.Unlock()
	if failed == nil {
		return nil
	}
	return m.o.Storage.Delete(ctx, failureKey(m.issuer, n.name))
}

// fail writes a failure down, says so, and returns it.
func (m *Manager) fail(ctx context.Context, n *managed, p *Problem) error {
	now, count := m.o.Now(), 1
	if n.failed != nil {
		count += n.failed.Count
	}
	f := &failure{Count: count, At: now.UTC(), Text: p.Error(), Patience: p.NotBefore, NotBefore: retryAt(now, p, count, rand.Float64()).UTC()}
	m.mu.Lock()
	n.failed = f
	m.mu.Unlock()
	short, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if err := write(short, m.o.Storage, failureKey(m.issuer, n.name), f); err != nil {
		m.o.Log.Debug("a failure could not be written down", "error", err)
	}
	level, left := slog.LevelError, "none"
	if n.pair != nil {
		left = n.pair.Leaf.NotAfter.Sub(now).Round(time.Minute).String()
		if now.Before(warnAt(n.pair.Leaf, renewAt(n.pair.Leaf, n.info))) {
			level = slog.LevelWarn // there is time
		}
	}
	m.o.Log.Log(ctx, level, "no new certificate", "name", n.name, "problem", f.Text, "failures", count, "next_attempt", f.NotBefore, "current_ends_in", left)
	return p
}
