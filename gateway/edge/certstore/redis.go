package certstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/redis/go-redis/v9"
)

// The keys in Redis. They share one hash tag with the rest of the fleet's.
const (
	keyValues  = "vilogate:{fleet}:certificates"
	keyLock    = "vilogate:{fleet}:certificates:lock:"
	keyTickets = "vilogate:{fleet}:tickets:"
)

// maxValue bounds a value, in bytes. A chain with its key has a few thousand.
const maxValue = 1 << 20

// commandTimeout bounds a command, so that a Redis that does not answer is noticed.
const commandTimeout = 3 * time.Second

// Redis keeps everything in one hash, and locks beside it. Safe for concurrent
// use, in several processes too. The client stays the caller's.
type Redis struct {
	client  redis.UniversalClient
	label   string
	lease   time.Duration
	timeout time.Duration // of one command
	now     func() time.Time

	mu   sync.Mutex
	held map[string]*lock // by name; guarded by mu
}

// NewRedis keeps certificates in the Redis of a client; label says for people
// where that is.
func NewRedis(client redis.UniversalClient, label string) *Redis {
	return &Redis{client: client, label: label, lease: lease, timeout: commandTimeout, now: time.Now, held: map[string]*lock{}}
}

// String says where it is, for people.
func (r *Redis) String() string { return "redis " + r.label }

// withTimeout bounds one command of Redis.
func (r *Redis) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, r.timeout)
}

func (r *Redis) wrap(doing, key string, err error) error {
	return fmt.Errorf("redis %s: %s %s: %w", r.label, doing, key, err)
}

// timestampSize is the length of the timestamp before a value: when it was
// written, in milliseconds since 1970.
const timestampSize = 8

// Store implements certmagic.Storage.
func (r *Redis) Store(ctx context.Context, key string, value []byte) error {
	if len(value) > maxValue {
		return fmt.Errorf("storing %s: %d bytes are more than %d", key, len(value), maxValue)
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	timestamped := binary.BigEndian.AppendUint64(make([]byte, 0, timestampSize+len(value)), uint64(r.now().UnixMilli()))
	if err := r.client.HSet(ctx, keyValues, key, append(timestamped, value...)).Err(); err != nil {
		return r.wrap("storing", key, err)
	}
	return nil
}

// Load implements certmagic.Storage.
func (r *Redis) Load(ctx context.Context, key string) ([]byte, error) {
	value, _, err := r.load(ctx, key)
	return value, err
}

func (r *Redis) load(ctx context.Context, key string) ([]byte, time.Time, error) {
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	timestamped, err := r.client.HGet(ctx, keyValues, key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, time.Time{}, r.wrap("loading", key, fs.ErrNotExist)
	case err != nil:
		return nil, time.Time{}, r.wrap("loading", key, err)
	case len(timestamped) < timestampSize:
		return nil, time.Time{}, r.wrap("loading", key, errors.New("corrupt value: no timestamp"))
	}
	return timestamped[timestampSize:], time.UnixMilli(int64(binary.BigEndian.Uint64(timestamped))), nil
}

// Delete implements certmagic.Storage.
func (r *Redis) Delete(ctx context.Context, key string) error {
	all, err := r.keysUnder(ctx, key)
	if err != nil {
		return err
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	if err := r.client.HDel(ctx, keyValues, append(all, key)...).Err(); err != nil {
		return r.wrap("deleting", key, err)
	}
	return nil
}

// Exists implements certmagic.Storage.
func (r *Redis) Exists(ctx context.Context, key string) bool {
	_, err := r.Stat(ctx, key)
	return err == nil
}

// List implements certmagic.Storage.
func (r *Redis) List(ctx context.Context, path string, recursive bool) ([]string, error) {
	below, err := r.keysUnder(ctx, path)
	if err != nil {
		return nil, err
	}
	if len(below) == 0 {
		return nil, r.wrap("listing", path, fs.ErrNotExist)
	}
	prefix := ""
	if path != "" {
		prefix = path + "/"
	}
	found := map[string]bool{}
	for _, key := range below {
		rest := strings.TrimPrefix(key, prefix)
		for at := 0; ; {
			next := strings.IndexByte(rest[at:], '/')
			if next < 0 {
				found[key] = true
				break
			}
			found[prefix+rest[:at+next]] = true
			if !recursive {
				break
			}
			at += next + 1
		}
	}
	keys := make([]string, 0, len(found))
	for key := range found {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, nil
}

// Stat implements certmagic.Storage.
func (r *Redis) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	value, written, err := r.load(ctx, key)
	if err == nil {
		return certmagic.KeyInfo{Key: key, Modified: written, Size: int64(len(value)), IsTerminal: true}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return certmagic.KeyInfo{}, err
	}
	below, listErr := r.keysUnder(ctx, key)
	if listErr != nil {
		return certmagic.KeyInfo{}, listErr
	}
	if len(below) == 0 {
		return certmagic.KeyInfo{}, err
	}
	return certmagic.KeyInfo{Key: key}, nil
}

// keysUnder are the keys under a path, all of them for "".
func (r *Redis) keysUnder(ctx context.Context, path string) ([]string, error) {
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	all, err := r.client.HKeys(ctx, keyValues).Result()
	if err != nil {
		return nil, r.wrap("listing", path, err)
	}
	if path == "" {
		return all, nil
	}
	return slices.DeleteFunc(all, func(key string) bool { return !strings.HasPrefix(key, path+"/") }), nil
}

var _ certmagic.Storage = (*Redis)(nil)

// lease is the TTL of a lock that is not renewed: what a process that dies with it
// costs the others. The holder renews it three times as often.
const lease = 15 * time.Second

// A lock is one that this process holds.
type lock struct {
	token string
	stop  context.CancelFunc
	done  chan struct{} // closed when renewLease has returned
}
