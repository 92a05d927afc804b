// Package stores opens what a process keeps: the embedded database in the state folder where it needs one, the revocation
// list over Redis or that database, and the keys of the state folder. A server has them, and so has a command that does
// without a server what it would ask one for.
package stores

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// Stores are what a process keeps: the embedded database where it needs one, and the revocation list.
type Stores struct {
	Redis *revocation.Redis // nil without Redis
	List  *revocation.List

	mu       sync.Mutex
	db       *database.DB // nil until it is needed; guarded by mu
	path     string       // of the database
	database database.Options
}

// Database is the embedded database. It is opened here where nothing has needed it before.
func (s *Stores) Database(ctx context.Context) (*database.DB, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		return s.db, nil
	}
	var err error
	s.db, err = database.Open(ctx, s.path, s.database)
	return s.db, err
}

// Embedded reports whether the embedded database is open: no other process may have it meanwhile.
func (s *Stores) Embedded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.db != nil
}

// Options say how stores are opened.
type Options struct {
	Demo   bool         // the users are demo users
	Failed chan<- error // is sent every failure to follow the revocation list, without blocking; may be nil
	Log    *slog.Logger
}

// Open opens what the configuration asks for.
func Open(ctx context.Context, c *config.Config, st *state.Folder, o Options) (s *Stores, err error) {
	s = &Stores{path: st.Path(state.Database), database: database.Options{Demo: o.Demo, Log: o.Log}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	var db *database.DB
	if c.IDP != nil || c.Redis == nil {
		if db, err = s.Database(ctx); err != nil {
			return s, err
		}
	}
	var kept revocation.Log
	if c.Redis != nil {
		if s.Redis, err = OpenRedis(c, o.Log); err != nil {
			return s, err
		}
	}
	switch {
	case s.Redis == nil:
		kept, err = revocation.OpenSQL(db.SQL())
	case db != nil:
		kept, err = revocation.Keep(s.Redis, db.SQL())
	default:
		kept = s.Redis
	}
	if err != nil {
		return s, err
	}
	s.List = revocation.NewList(watchedLog{kept, o.Failed}, revocation.Options{MaxStaleness: c.Revocation.MaxStaleness.Std(), Log: o.Log})
	return s, nil
}

// OpenRedis connects to nothing yet.
func OpenRedis(c *config.Config, log *slog.Logger) (*revocation.Redis, error) {
	r := c.Redis
	redis, err := revocation.OpenRedis(revocation.RedisOptions{
		URL: r.URL, Cluster: r.Cluster,
		Sentinel: revocation.Sentinel{
			Master: r.Sentinel.Master, Addresses: r.Sentinel.Addresses,
			User: r.Sentinel.User, Password: r.Sentinel.Password,
		},
		User: r.User, Password: r.Password, TLS: r.UsesTLS(), CAPEM: r.CAPEM,
		Secret: []byte(c.Secret),
		Log:    log,
		// Our own IdP, in another process, has what Redis may have lost.
		AwaitRestore: c.IDP == nil && c.UsesOwnIDP(),
	})
	return redis, config.Placed(c.Places.Of("redis"), err)
}

// Revoked asks the list about a token that was verified.
func (s *Stores) Revoked(c *token.Claims) bool {
	return s.List.Revoked(c.IssuerName(), c.ID(), c.Session(), c.Subject(), c.IssuedAt())
}

// Close gives them up.
func (s *Stores) Close() error {
	var err error
	if s.Redis != nil {
		err = s.Redis.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// watchedLog is a revocation log that reports when following it fails.
type watchedLog struct {
	revocation.Log
	failed chan<- error
}

func (w watchedLog) Follow(ctx context.Context, to revocation.Sink) error {
	err := w.Log.Follow(ctx, to)
	select {
	case w.failed <- err:
	default:
	}
	return err
}

// SealKey is what the IdP's signing keys are sealed with: a key of the state folder, or one derived from the secret.
// A folder that has a key of its own keeps it, so that a secret given later opens what was sealed before.
func SealKey(c *config.Config, st *state.Folder) (key [32]byte, err error) {
	_, err = os.Stat(st.Path(state.SealKey))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return key, err
	case err != nil && c.Secret != "":
		derived, err := hkdf.Key(sha256.New, []byte(c.Secret), nil, "vilogate seal v1", len(key))
		copy(key[:], derived)
		return key, err
	}
	data, err := st.ReadOrCreate(state.SealKey, func() ([]byte, error) {
		fresh := make([]byte, len(key))
		_, err := rand.Read(fresh)
		return fresh, err
	})
	if err == nil && len(data) != len(key) {
		err = fmt.Errorf("%s is no key: it has %d bytes", st.Path(state.SealKey), len(data))
	}
	copy(key[:], data)
	return key, err
}

// AssertionKey is the key with which this gateway, and nobody else, signs what it tells backends.
func AssertionKey(st *state.Folder) (*token.PrivateKey, error) {
	data, err := st.ReadOrCreate(state.AssertionKey, func() ([]byte, error) {
		key, err := token.GenerateKey()
		if err != nil {
			return nil, err
		}
		return key.Marshal()
	})
	if err != nil {
		return nil, err
	}
	key, err := token.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", st.Path(state.AssertionKey), err)
	}
	return key, nil
}
