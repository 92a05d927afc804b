package acme

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
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
	// Copy holds what is served once more, where nobody else has to be asked.
	// Optional: Storage is such a place itself.
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

// A Manager obtains and renews certificates. Run does the work; [Manager.Status],
// [Manager.Ready], [Manager.Trouble] and [Manager.Renew] are safe for concurrent
// use.
type Manager struct {
	o        Options
	issuer   string // names the authority in the storage
	settings string // a digest of what an attempt may fail by
	client   *acmez.Client
	clock    *clock
	plain    *http.Client // to everybody but the authority
	api      *cloudflareAPI
	asked    chan demand

	mu    sync.Mutex
	names []*managed
}

// managed is a name and its certificate. Who runs the manager alone writes it, and
// holds mu while it does; others hold mu to read.
type managed struct {
	name    string
	own     *certificate     // of this authority; nil as long as there is none
	pair    *tls.Certificate // what is served: own, or what an authority before this one signed; nil for nothing
	info    renewalInfo      // about own; zero where the authority said nothing
	revoked bool             // own is, says its authority
	failed  *failure         // the last attempt, where it failed
	trouble string           // of looking into the storage; "" where there is none

	stapleAt time.Time // when the OCSP answer is next asked for; nobody else reads it
}

// demand asks for an attempt now, for a name or for all ("").
type demand struct {
	ctx     context.Context
	name    string
	instead map[string]*certificate // what there was when it was asked for
	reply   chan error
}

// New verifies the options, and serves what was served before.
func New(ctx context.Context, o Options) (*Manager, error) {
	switch {
	case len(o.Names) == 0 || o.Directory == "" || o.APIToken == "":
		return nil, errors.New("acme: names, an authority and an API token are needed")
	case o.Storage == nil || o.Serve == nil || o.Log == nil:
		return nil, errors.New("acme: a storage, somebody who serves and a log are needed")
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
	digest := sha256.Sum256(fmt.Appendf(nil, "%q", []any{o.Email, o.EAB, o.APIToken, o.APIBase, o.ChallengeDomain, o.Resolvers, o.PropagationTimeout}))
	m.settings = fmt.Sprintf("%x", digest[:8])
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 256 << 10,
	}
	m.plain = &http.Client{Transport: transport, Timeout: requestTime}
	var err error
	if m.api, err = newCloudflareAPI(o.APIBase, m.plain); err != nil {
		return nil, err
	}
	toAuthority := transport.Clone()
	toAuthority.TLSClientConfig = &tls.Config{RootCAs: o.Roots}
	m.clock = &clock{next: toAuthority, now: o.Now}
	m.client = &acmez.Client{
		Directory: o.Directory, UserAgent: "vilogate", PollTimeout: 2 * time.Minute,
		HTTPClient: &http.Client{Transport: m.clock, Timeout: requestTime},
	}
	for _, name := range o.Names {
		m.names = append(m.names, &managed{name: name})
	}
	m.serveLocal(ctx)
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
				_ = m.tend(ctx, n, false, nil) // it has been said, and is tried again
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

// renewal is when the certificate of this authority is due; zero without one.
func (n *managed) renewal() time.Time {
	if n.own == nil {
		return time.Time{}
	}
	if n.revoked {
		return calmUntil(n.own)
	}
	return renewAt(n.own, n.info.Info)
}

// dueAt is when the next attempt is made.
func (n *managed) dueAt(now time.Time) time.Time {
	at := n.renewal()
	if n.failed.holds(now) && n.failed.NotBefore.After(at) {
		at = n.failed.NotBefore
	}
	return at
}

func (m *Manager) due(n *managed) bool {
	now := m.o.Now()
	return !now.Before(n.dueAt(now))
}

// holds reports whether there was a failure, by a clock that can be believed.
func (f *failure) holds(now time.Time) bool {
	return f != nil && !f.At.After(now.Add(mostSkew))
}

// pause is how long nothing has to be done.
func (m *Manager) pause() time.Duration {
	pause, now := m.o.Look, m.o.Now()
	for _, n := range m.names {
		if at := n.dueAt(now); at.After(now) {
			pause = min(pause, at.Sub(now))
		}
		switch {
		case n.own == nil:
			pause = min(pause, time.Second) // another process may obtain it this moment
		case now.Before(n.own.leaf().NotAfter):
			pause = min(pause, n.nextInfo().Sub(now))
		}
	}
	return max(pause, 100*time.Millisecond)
}
