package main

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

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
)

// Files of the state folder.
const (
	databaseFile     = "vilogate.db"
	sealKeyFile      = "seal.key"
	assertionKeyFile = "assertion.key"
	addressesFile    = "addresses.json"
	configFile       = "config" // the path of the configuration that the last server used
)

// stores are what a process keeps: the embedded database where it needs one, and the revocation list.
type stores struct {
	db    *database.DB      // nil in a gateway that has Redis
	redis *revocation.Redis // nil without Redis
	list  *revocation.List
}

// storeOptions say how stores are opened.
type storeOptions struct {
	demo   bool         // the users are demo users
	failed chan<- error // told of every failure to follow the revocation list, if it can take it; nil for nobody
	log    *slog.Logger
}

// openStores opens what the configuration asks for.
func openStores(ctx context.Context, c *config.Config, st *state, o storeOptions) (s *stores, err error) {
	s = &stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if c.IDP != nil || c.Redis == nil {
		if s.db, err = database.Open(ctx, st.path(databaseFile), database.Options{Demo: o.demo, Log: o.log}); err != nil {
			return s, err
		}
	}
	var kept revocation.Log
	if c.Redis != nil {
		s.redis, err = openRedis(c, o.log)
		kept = s.redis
	} else {
		kept, err = revocation.OpenSQL(s.db.SQL())
	}
	if err != nil {
		return s, err
	}
	s.list = revocation.NewList(watchedLog{kept, o.failed}, revocation.Options{MaxStaleness: c.Revocation.MaxStaleness.Std(), Log: o.log})
	return s, nil
}

// openRedis connects to nothing yet.
func openRedis(c *config.Config, log *slog.Logger) (*revocation.Redis, error) {
	redis, err := revocation.OpenRedis(revocation.RedisOptions{
		URL:      c.Redis.URL,
		Sentinel: revocation.Sentinel{Master: c.Redis.Sentinel.Master, Addresses: c.Redis.Sentinel.Addresses},
		Cluster:  c.Redis.Cluster,
		Secret:   []byte(c.Secret),
		Log:      log,
	})
	return redis, placed(c.Places.Of("redis"), err)
}

// revoked asks the list about a token that was verified.
func (s *stores) revoked(c *token.Claims) bool {
	return s.list.Revoked(c.IssuerName(), c.ID(), c.Session(), c.Subject(), c.IssuedAt())
}

func (s *stores) close() error {
	var err error
	if s.redis != nil {
		err = s.redis.Close()
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return err
}

// watchedLog is a log of revocations that tells when it could not be followed.
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

// sealKey is what the IdP's signing keys are sealed with: a key of the state folder, or one derived from the secret.
// A folder that has a key of its own keeps it, so that a secret given later opens what was sealed before.
func sealKey(c *config.Config, st *state) (key [32]byte, err error) {
	_, err = os.Stat(st.path(sealKeyFile))
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return key, err
	case err != nil && c.Secret != "":
		derived, err := hkdf.Key(sha256.New, []byte(c.Secret), nil, "vilogate seal v1", len(key))
		copy(key[:], derived)
		return key, err
	}
	data, err := st.readOrMake(sealKeyFile, func() ([]byte, error) {
		fresh := make([]byte, len(key))
		_, err := rand.Read(fresh)
		return fresh, err
	})
	if err == nil && len(data) != len(key) {
		err = fmt.Errorf("%s is no key: it has %d bytes", st.path(sealKeyFile), len(data))
	}
	copy(key[:], data)
	return key, err
}

// assertionKey is the key with which this gateway, and nobody else, signs what it tells backends.
func assertionKey(st *state) (*token.PrivateKey, error) {
	data, err := st.readOrMake(assertionKeyFile, func() ([]byte, error) {
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
		return nil, fmt.Errorf("%s: %w", st.path(assertionKeyFile), err)
	}
	return key, nil
}
