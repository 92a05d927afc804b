package jwks

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// What a RemoteConfig leaves out.
const (
	defaultInterval   = 5 * time.Minute
	defaultMinRefresh = 30 * time.Second
	defaultTimeout    = 10 * time.Second

	// minBackoff is how soon a first fetch that failed is tried again; the wait
	// doubles up to MinRefresh. Only while there are no keys at all.
	minBackoff = time.Second
)

// RemoteConfig says where an issuer publishes its keys.
type RemoteConfig struct {
	// URL is the address of the key set. Either URL or DiscoveryIssuer.
	URL string

	// DiscoveryIssuer is the issuer whose /.well-known/openid-configuration
	// names the address. It must name this very issuer too.
	DiscoveryIssuer string

	// Host is sent as the Host of the request, where it is not the URL's. Optional.
	Host string

	// Client does the fetching. Redirects are not followed.
	Client *http.Client

	// FollowRedirect has one redirect of the key set followed all the same, where it
	// is from https to https. Optional.
	FollowRedirect bool

	// Interval is the time between two fetches. Optional: 5m.
	Interval time.Duration

	// MinRefresh is the shortest time between two fetches, whoever asks for
	// them. Optional: 30s.
	MinRefresh time.Duration

	// MaxBytes bounds an answer. Optional: 256 KiB, which is the most.
	MaxBytes int64

	// Timeout bounds a fetch as a whole, discovery included. Optional: 10s.
	Timeout time.Duration

	Log *slog.Logger
	Now func() time.Time // Optional: time.Now. Only for Status.
}

// Remote is a set of keys that is kept current. It is safe for concurrent use.
type Remote struct {
	config           RemoteConfig
	client           http.Client // of the metadata
	keysClient       http.Client
	keys             atomic.Pointer[Set]
	status           atomic.Pointer[Status]
	unknown          unknownKids
	refreshRequested chan struct{} // holds one request for a refresh; written by Keys and KeyNotFound, read by Run
}

// Status is how a Remote is doing.
type Status struct {
	Keys        int
	Malformed   int       // keys that the last good fetch left out
	LastSuccess time.Time // zero before the first good fetch
	Err         error     // of the last fetch; nil when it was good
}

// NewRemote checks the configuration. Nothing is fetched before Run.
func NewRemote(c RemoteConfig) (*Remote, error) {
	if (c.URL == "") == (c.DiscoveryIssuer == "") {
		return nil, errors.New("jwks: either a URL or an issuer")
	}
	if err := checkURL(c.URL + c.DiscoveryIssuer); err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	if c.Client == nil || c.Log == nil {
		return nil, errors.New("jwks: a client and a log are required")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Interval <= 0 {
		c.Interval = defaultInterval
	}
	if c.MinRefresh <= 0 {
		c.MinRefresh = defaultMinRefresh
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.MaxBytes <= 0 || c.MaxBytes > maxBytes {
		c.MaxBytes = maxBytes
	}
	r := &Remote{config: c, client: *c.Client, keysClient: *c.Client, refreshRequested: make(chan struct{}, 1)}
	r.client.CheckRedirect, r.keysClient.CheckRedirect = followNone, followNone
	if c.FollowRedirect {
		r.keysClient.CheckRedirect = followOne
	}
	r.status.Store(&Status{})
	return r, nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not an http or https address", s)
	}
	return nil
}

// Key implements [token.KeySource].
func (r *Remote) Key(kid string, now time.Time) (token.PublicKey, error) {
	return first(r.Keys(kid, now))
}

// Keys implements [token.KeySet]. For a kid that it does not know it leaves a
// request for a refresh, and answers at once: [token.ErrKeyPending] until a fetch
// that began after the kid was first seen has ended, then [token.ErrUnknownKey].
func (r *Remote) Keys(kid string, now time.Time) ([]token.PublicKey, error) {
	set := r.keys.Load()
	if set == nil {
		return nil, token.ErrKeysNotLoaded
	}
	keys, err := set.Keys(kid, now)
	if err != nil {
		return nil, r.miss(kid)
	}
	return keys, nil
}

// KeyNotFound implements [token.KeySet]. A kid that no key has, beside keys without
// one, is as unknown as any other. A token without a kid has none to remember: it
// has the keys fetched again, and is not good meanwhile.
func (r *Remote) KeyNotFound(kid string) error {
	set := r.keys.Load()
	switch {
	case set == nil:
		return token.ErrKeysNotLoaded
	case kid == "":
		r.requestRefresh()
		return nil
	case len(set.byID[kid]) > 0:
		return nil
	}
	return r.miss(kid)
}

// miss answers for a kid that no key has, and has the keys fetched again.
func (r *Remote) miss(kid string) error {
	err := r.unknown.see(kid) // first, so that the fetch asked for begins after it
	r.requestRefresh()
	return err
}

func (r *Remote) requestRefresh() {
	select {
	case r.refreshRequested <- struct{}{}:
	default: // one is pending already
	}
}

// Unknown counts the tokens whose kid no key has.
func (r *Remote) Unknown() UnknownStats { return r.unknown.snapshot() }

// Ready reports whether there are keys.
func (r *Remote) Ready() bool { return r.keys.Load() != nil }

// Status is for metrics and the readiness page.
func (r *Remote) Status() Status { return *r.status.Load() }

func (r *Remote) source() string { return r.config.URL + r.config.DiscoveryIssuer }
