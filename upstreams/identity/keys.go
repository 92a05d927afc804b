package identity

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

const (
	// refreshInterval is the time between two refreshes of a JWK set: how long a
	// withdrawn key may still verify.
	refreshInterval = 5 * time.Minute

	// minRefresh is the shortest time between two refreshes, however many
	// assertions name an unknown kid.
	minRefresh = 30 * time.Second

	// refreshTimeout is how long a request may wait for the refresh that its
	// unknown kid has caused, pollInterval how often it polls for its end.
	refreshTimeout = time.Second
	pollInterval   = 20 * time.Millisecond

	fetchTimeout = 10 * time.Second
)

// keySource is where keys come from. Safe for concurrent use.
type keySource interface {
	token.KeySource

	// run keeps the keys current until ctx ends, and returns ctx's error.
	run(ctx context.Context) error

	// refresh fetches the keys again, if the last refresh was long enough ago,
	// and returns within refreshTimeout, whether or not there are new ones.
	refresh(ctx context.Context)
}

func newKeySource(c Config) (keySource, error) {
	switch {
	case c.Keys != nil:
		return externalKeys{c.Keys}, nil
	case strings.HasPrefix(c.JWKS, "http://"), strings.HasPrefix(c.JWKS, "https://"):
		return newRemoteKeys(c)
	default:
		return newFileKeys(c.JWKS, c.Now, c.Log)
	}
}

// externalKeys are keys that the caller keeps current.
type externalKeys struct{ token.KeySource }

func (externalKeys) run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (externalKeys) refresh(context.Context) {}

// remoteKeys are keys at a JWKS URL.
type remoteKeys struct {
	*jwks.Remote
	now func() time.Time
}

func newRemoteKeys(c Config) (remoteKeys, error) {
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: fetchTimeout, Transport: &http.Transport{TLSHandshakeTimeout: fetchTimeout, ForceAttemptHTTP2: true}}
	}
	remote, err := jwks.NewRemote(jwks.RemoteConfig{
		URL: c.JWKS, Client: client, Interval: refreshInterval, MinRefresh: minRefresh, Timeout: fetchTimeout, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return remoteKeys{}, err
	}
	return remoteKeys{remote, c.Now}, nil
}

func (p remoteKeys) run(ctx context.Context) error { return p.Run(ctx) }

// refresh waits for the fetch that looking up an unknown kid has already caused.
func (p remoteKeys) refresh(ctx context.Context) {
	before := p.Status().LastSuccess
	if p.now().Sub(before) < minRefresh {
		return // there is none
	}
	ctx, cancel := context.WithTimeout(ctx, refreshTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for p.Status().LastSuccess.Equal(before) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// fileKeys are keys in a file, which may be replaced at any time.
type fileKeys struct {
	path string
	now  func() time.Time
	log  *slog.Logger
	set  atomic.Pointer[jwks.Set]

	mu       sync.Mutex
	lastRead time.Time // guarded by mu: when the file was last read
}

func newFileKeys(path string, now func() time.Time, log *slog.Logger) (*fileKeys, error) {
	set, err := jwks.File(path)
	if err != nil {
		return nil, err
	}
	f := &fileKeys{path: path, now: now, log: log, lastRead: now()}
	f.set.Store(set)
	return f, nil
}

// Key implements [token.KeySource].
func (f *fileKeys) Key(kid string, now time.Time) (token.PublicKey, error) {
	return f.set.Load().Key(kid, now)
}

func (f *fileKeys) run(ctx context.Context) error {
	ticker := time.NewTicker(refreshInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			f.refresh(ctx)
		}
	}
}

// refresh reads the file. One that cannot be read, or holds no keys, changes nothing.
func (f *fileKeys) refresh(context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.lastRead) < minRefresh {
		return
	}
	f.lastRead = now
	set, err := jwks.File(f.path)
	if err != nil {
		f.log.Warn("JWKS reload failed, keeping the cached keys", "error", err)
		return
	}
	f.set.Store(set)
}
