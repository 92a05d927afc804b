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
	// interval is the time between two looks at a key set: how long a key that
	// was withdrawn may still be believed.
	interval = 5 * time.Minute

	// minRefresh is the shortest time between two looks, however many
	// assertions name a key that is unknown.
	minRefresh = 30 * time.Second

	// patience is how long a request may wait for a look that its unknown key
	// has caused, and glance how often it asks whether that look has ended.
	patience = time.Second
	glance   = 20 * time.Millisecond

	fetchTimeout = 10 * time.Second
)

// source is where keys come from. Safe for concurrent use.
type source interface {
	token.KeySource

	// run keeps the keys current until ctx ends, and returns ctx's error.
	run(ctx context.Context) error

	// again looks for new keys, if the last look was long enough ago, and
	// returns within patience, whether or not there are any.
	again(ctx context.Context)
}

func newSource(c Config) (source, error) {
	switch {
	case c.Keys != nil:
		return given{c.Keys}, nil
	case strings.HasPrefix(c.JWKS, "http://"), strings.HasPrefix(c.JWKS, "https://"):
		return newPublished(c)
	default:
		return newFile(c.JWKS, c.Now, c.Log)
	}
}

// given are keys that somebody else keeps current.
type given struct{ token.KeySource }

func (given) run(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (given) again(context.Context) {}

// published are keys at an address.
type published struct {
	*jwks.Remote
	now func() time.Time
}

func newPublished(c Config) (published, error) {
	client := c.Client
	if client == nil {
		client = &http.Client{Timeout: fetchTimeout, Transport: &http.Transport{TLSHandshakeTimeout: fetchTimeout, ForceAttemptHTTP2: true}}
	}
	remote, err := jwks.NewRemote(jwks.RemoteConfig{
		URL: c.JWKS, Client: client, Interval: interval, MinRefresh: minRefresh, Timeout: fetchTimeout, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return published{}, err
	}
	return published{remote, c.Now}, nil
}

func (p published) run(ctx context.Context) error { return p.Run(ctx) }

// again waits for the fetch that asking for an unknown key has already caused.
func (p published) again(ctx context.Context) {
	before := p.Status().LastGood
	if p.now().Sub(before) < minRefresh {
		return // there is none
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for p.Status().LastGood.Equal(before) {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// file are keys in a file, which may be replaced at any time.
type file struct {
	path string
	now  func() time.Time
	log  *slog.Logger
	set  atomic.Pointer[jwks.Set]

	mu   sync.Mutex
	read time.Time // guarded by mu: when the file was last looked at
}

func newFile(path string, now func() time.Time, log *slog.Logger) (*file, error) {
	set, err := jwks.File(path)
	if err != nil {
		return nil, err
	}
	f := &file{path: path, now: now, log: log, read: now()}
	f.set.Store(set)
	return f, nil
}

// Key implements [token.KeySource].
func (f *file) Key(kid string, now time.Time) (token.PublicKey, error) {
	return f.set.Load().Key(kid, now)
}

func (f *file) run(ctx context.Context) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			f.again(ctx)
		}
	}
}

// again reads the file. One that cannot be read, or holds no keys, changes nothing.
func (f *file) again(context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if now.Sub(f.read) < minRefresh {
		return
	}
	f.read = now
	set, err := jwks.File(f.path)
	if err != nil {
		f.log.Warn("keys not read, the last good ones stay", "error", err)
		return
	}
	f.set.Store(set)
}
