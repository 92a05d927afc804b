package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	// Cache holds what is served on this machine, readable without the network.
	// Optional: Storage itself is local.
	Cache certmagic.Storage
	// Serve is given all certificates there are, whenever they change, in the order
	// of Names. It is called by one goroutine at a time.
	Serve func([]*tls.Certificate)
	// PollInterval is how often the storage is polled for what others obtained.
	// Optional: 30s.
	PollInterval time.Duration
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
	// Log is told what is obtained, and what is not.
	Log *slog.Logger
}

// requestTimeout bounds whatever is one request.
const requestTimeout = 20 * time.Second

// A Manager obtains and renews certificates. Run does the work; [Manager.Status],
// [Manager.Ready], [Manager.Overdue] and [Manager.Renew] are safe for concurrent
// use.
type Manager struct {
	opts           Options
	issuer         string // names the authority in the storage
	settingsDigest string // digest of the settings that an attempt may fail by
	client         *acmez.Client
	clock          *skewTransport
	httpClient     *http.Client // for everything but ACME
	cloudflare     *cloudflareAPI
	renewRequests  chan renewRequest

	mu    sync.Mutex
	names []*managed
}

// managed is a name and its certificate. Who runs the manager alone writes it, and
// holds mu while it does; others hold mu to read.
type managed struct {
	name         string
	issued       *certificate     // of this authority; nil as long as there is none
	served       *tls.Certificate // what is served: issued, or what an authority before this one signed; nil for nothing
	ari          renewalInfo      // ACME Renewal Information (RFC 9773) of issued; zero where there is none
	revoked      bool             // issued is, by OCSP
	lastFailure  *failure         // the last attempt, where it failed
	storageError string           // of the last poll of the storage; "" where it succeeded

	nextOCSP time.Time // when the OCSP response is next requested; only Run reads it
}

// renewRequest asks Run for an attempt now, for a name or for all ("").
type renewRequest struct {
	ctx       context.Context
	name      string
	replacing map[string]*certificate // what was in force when it was requested
	reply     chan error
}

// renewal is when the certificate of this authority is due; zero without one.
func (n *managed) renewal() time.Time {
	if n.issued == nil {
		return time.Time{}
	}
	if n.revoked {
		return earliestRenewal(n.issued)
	}
	return renewAt(n.issued, n.ari.Info)
}

// dueAt is when the next attempt is made.
func (n *managed) dueAt(now time.Time) time.Time {
	at := n.renewal()
	if n.lastFailure.active(now) && n.lastFailure.NotBefore.After(at) {
		at = n.lastFailure.NotBefore
	}
	return at
}

func (m *Manager) due(n *managed) bool {
	now := m.opts.Now()
	return !now.Before(n.dueAt(now))
}

// active reports whether there is a failure that is not from the future: a clock that was wrong does not count.
func (f *failure) active(now time.Time) bool {
	return f != nil && !f.At.After(now.Add(maxSkew))
}

// EAB binds the account to one that the authority knows already (RFC 8555,
// section 7.3.4).
type EAB struct{ KeyID, MACKey string }
