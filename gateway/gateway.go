package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/gateway/internal/renewals"
	"github.com/viloforge/vilogate/gateway/internal/resolve"
	"github.com/viloforge/vilogate/gateway/internal/streams"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// Revocations is what the gateway needs of the revocation list. Verification
// consults the list through its verifier; the gateway itself asks whether the
// view can be believed, and writes logouts. Safe for concurrent use.
type Revocations interface {
	// AwaitSync waits a moment for a view that was not confirmed lately; it is to be called before Stale.
	AwaitSync(now time.Time)
	// Stale reports whether the view is older than it may be.
	Stale(now time.Time) bool
	// Revoked reports whether a token is revoked, of which these are the claims.
	Revoked(issuer, jti, sid, sub string, iat time.Time) bool
	// Publish returns nil only once the entries are durably written.
	Publish(ctx context.Context, entries ...revocation.Entry) error
	// HandleRevoked reports whether nothing of an expired token counts any more: itself, its session, or what its session was
	// issued when it was.
	HandleRevoked(issuer, jti, sid string, iat time.Time) bool
	// SessionRevoked reports whether a session is over.
	SessionRevoked(issuer, sid string) bool
}

// SessionStatus is what the gateway needs of our own identity provider for streams that outlive their token. Safe for
// concurrent use.
type SessionStatus interface {
	// SessionActive reports whether the session lives for whoever has a token with this iat, which may have run out,
	// and when to ask again. It is no use of the session. An error means that this is not known; ctx ends after 5 s.
	SessionActive(ctx context.Context, sid string, issued time.Time) (active bool, until time.Time, err error)
}

// Audit is what the gateway needs of the audit log. Safe for concurrent use.
type Audit interface {
	// Put records the decision to forward a request, which goes on only when
	// there is no error.
	Put(*audit.Record) error
	// PutBestEffort records a decision on which no request depends. It does not block.
	PutBestEffort(*audit.Record)
	// PutEventBestEffort records a sign-out. It does not block either.
	PutEventBestEffort(*audit.Event)
}

// Options are what a Gateway is made of for the whole life of its process.
// Whatever a reload can change is in a [Generation].
type Options struct {
	// AssertionKey signs identity assertions. It lives with this gateway only.
	AssertionKey *token.PrivateKey
	// AssertionKeys returns the JWK set that backends verify assertions with:
	// this gateway's public key and those of its peers.
	AssertionKeys func() []byte
	// Revocations is the process's revocation list.
	Revocations Revocations
	// Sessions is asked whether sessions live. Optional: streams of a token that has run out go on until it, its session
	// or its subject is revoked.
	Sessions SessionStatus
	// ConnectionAuth is how many connections to upstreams may be one client's alone, on
	// routes with connection_auth: allow; beyond that, and beyond a quarter
	// of it for one client network, such requests are 503. Optional: none may.
	ConnectionAuth int
	// Admission says what may be under way at all upstreams together. Optional: any number of requests.
	Admission Admission
	// BufferMemory is how many bytes of bodies are held in memory in all (Upstream.Buffer), of which one client network has a
	// quarter at most. Beyond it bodies stream. Optional: none are held.
	BufferMemory int64
	// ForwardAuth are the networks of proxies that may ask about the requests that they hold ([Gateway.ForwardAuth]), and are believed
	// about them. Optional: nobody may.
	ForwardAuth []netip.Prefix
	// BufferDisk is where bodies are that memory has no room for, of upstreams that want that (Upstream.Buffer). Optional: nowhere.
	BufferDisk BufferDisk
	// Limits counts requests where routes have a rate. Optional: one that limits
	// alone.
	Limits *limits.Limiter
	// Audit keeps a record of every decision. Optional.
	Audit Audit
	// Posts keeps the forms of people whose login has ended, until they have signed in again. Optional: none are kept.
	Posts *posts.Keeper
	// ClearSiteData is the header of that name in the answer to a sign-out. Optional: there is none.
	ClearSiteData string
	// Covers reports whether the certificate that a connection for serverName
	// was given covers host too. Optional: nil means that it always does.
	Covers func(serverName, host string) bool
	// Current returns the generation that a request begins with; nil before there
	// is one. [Gateway.Prepare] has seen it. Optional: what Swap was last given.
	Current func() *Generation
	// Observe receives every finished request. It must not block. Optional.
	Observe func(*Record)
	// Log receives one record a request, and what goes wrong.
	Log *slog.Logger
	// Now is the clock. Optional: time.Now.
	Now func() time.Time
}

// Gateway is an http.Handler that authenticates, authorises and forwards.
// Safe for concurrent use.
type Gateway struct {
	opts        Options
	generation  atomic.Pointer[Generation]
	connections connections
	addresses   *addresses
	own         ownConnections
	buffers     *buffers
	clients     *admission.Clients // what is under way of each
	renewals    *renewals.Renewals
	streams     *streams.Index
	keyTries    limits.Scope // of keys tried in vain, by the client's network

	refusedMessages sampler
}

// New verifies the options and returns a gateway that answers 503 until there is
// a generation.
func New(o Options) (*Gateway, error) {
	switch {
	case o.AssertionKey == nil:
		return nil, errors.New("gateway: no key to sign assertions with")
	case o.AssertionKeys == nil:
		return nil, errors.New("gateway: no set of assertion keys")
	case o.Revocations == nil:
		return nil, errors.New("gateway: no revocation list")
	case o.Log == nil:
		return nil, errors.New("gateway: no log")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limits == nil {
		var err error
		if o.Limits, err = limits.New(limits.Options{Now: o.Now}); err != nil {
			return nil, fmt.Errorf("gateway: %w", err)
		}
	}
	g := &Gateway{opts: o, keyTries: limits.NewScope("key-tries"), connections: newConnections(o.Admission.IdleConnections), buffers: newBuffers(o.BufferMemory, o.BufferDisk, o.Log)}
	g.own.most = o.ConnectionAuth
	g.clients = admission.NewClients(o.Admission.Requests, o.Admission.PerClient)
	g.addresses = newAddresses(o.Now, o.Log)
	g.addresses.connections, g.addresses.clients, g.addresses.loginRequests = g.connections, g.clients, o.Admission.LoginRequests
	g.renewals = renewals.New(o.Log)
	g.streams = streams.New(streams.Options{Now: o.Now, Sessions: o.Sessions, Revoked: func(who *streams.Owner) bool {
		return o.Revocations.Revoked(who.Issuer, who.Token, who.Session, who.Subject, who.IssuedAt)
	}})
	if o.Current == nil {
		g.opts.Current = g.generation.Load
	}
	return g, nil
}

// Swap makes next the generation of every request that begins from now on.
// Requests under way keep theirs; no connection is dropped.
func (g *Gateway) Swap(next *Generation) {
	g.Prepare(next)
	g.generation.Store(next)
	g.Retire(next)
}

// Prepare makes what next needs to serve; for who has Current return it then. Where it has names that are new, it waits for their
// addresses, 2 s at most.
func (g *Gateway) Prepare(next *Generation) {
	g.addresses.prepare(next)
}

// Retire drops what only generations before current needed, once current is what
// requests begin with. Requests under way keep theirs. The health checks of current
// begin, where they are not under way, and end with [Gateway.Close].
func (g *Gateway) Retire(current *Generation) {
	g.addresses.retire(current)
	g.streams.Recheck()
}

// Run ends streams when they are to end, until ctx ends, and then returns nil. It is to be called once.
func (g *Gateway) Run(ctx context.Context) error {
	g.streams.Run(ctx)
	return nil
}

// Revoke ends the streams that an entry of the revocation list is about, which is in the list already. It returns at once.
func (g *Gateway) Revoke(e revocation.Entry) { g.streams.Revoke(e) }

// Drain waits for the streams until ctx ends, and ends them then: WebSockets with the code 1001. Run goes on meanwhile.
func (g *Gateway) Drain(ctx context.Context) { g.streams.Drain(ctx) }

// OpenStreams is how many requests are under way for more than a moment, WebSockets included.
func (g *Gateway) OpenStreams() int { return g.streams.Len() }

// ConnContext gives a client's connection of HTTP/1 what it needs to have connections
// to upstreams of its own, and to be ended: the context of its requests, and what is to be called when it
// is closed, or speaks HTTP no longer. Without it nobody logs in by connection.
func (g *Gateway) ConnContext(ctx context.Context) (context.Context, func()) {
	c := &clientConn{all: &g.own}
	ctx, c.cancel = context.WithCancel(ctx)
	return context.WithValue(ctx, clientConnKey{}, c), c.close
}

// Close ends the health checks and what the identity provider is asked, and drops the idle connections to the upstreams.
func (g *Gateway) Close() {
	g.renewals.Close()
	g.addresses.close()
	g.connections.close()
}

// AddressStatus is what is known of an upstream's address.
type AddressStatus = balancer.Status

// AddressStates are what the state of an address can be.
func AddressStates() []string { return balancer.States[:] }

// Addresses tells the state of each address of each upstream, by their names.
func (g *Gateway) Addresses() []AddressStatus { return g.addresses.table.Statuses() }

// NameStatus is what is known of a name in the addresses of upstreams.
type NameStatus = resolve.Status

// Names tells what the names in the addresses of upstreams are resolved to.
func (g *Gateway) Names() []NameStatus { return g.addresses.names.Statuses() }

// Renewals are how often the identity provider was asked about sessions, by its answer.
func (g *Gateway) Renewals() map[string]uint64 { return g.renewals.Stats() }

// RenewalFailure says that our own identity provider does not answer about sessions; nil while it does.
func (g *Gateway) RenewalFailure() error { return g.renewals.Failure() }

// Buffered is how many bytes are held for bodies of slow clients, and how many bodies streamed because there was no memory left.
func (g *Gateway) Buffered() (held int64, full uint64) {
	return g.buffers.memory.Used(), g.buffers.full.Load()
}

// BufferedOnDisk is how many bytes files have room for that bodies of slow clients are in.
func (g *Gateway) BufferedOnDisk() int64 { return g.buffers.disk.Used() }

// Retries are how many requests went to another address of their upstream, by its name.
func (g *Gateway) Retries() map[string]uint64 { return g.addresses.table.Retries() }
