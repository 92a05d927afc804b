package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// The keys in Redis. They share a hash tag, so that a cluster keeps them on one
// node and a script may write them in one step.
const (
	streamKey = "{vilogate}:revocations:stream" // what was added, newest last
	indexKey  = "{vilogate}:revocations:index"  // every entry, by its end
	epochKey  = "{vilogate}:revocations:epoch"  // a random name of this Redis's memory
	keysKey   = "{vilogate}:gateway-keys"       // the gateways' public keys, by their end
)

// How the log in Redis is followed.
const (
	streamLength = 100_000 // entries kept in the stream, about
	page         = 1000    // entries read at once
	block        = 500 * time.Millisecond
	callTimeout  = 2 * time.Second // of one call to Redis
	reloadEvery  = time.Minute     // to put back what was forgotten unnoticed
)

// Sentinel names a Redis that Sentinels watch over.
type Sentinel struct {
	Master    string
	Addresses []string
}

// RedisOptions say which Redis to use: URL, Sentinel or Cluster.
type RedisOptions struct {
	URL      string // redis:// or rediss://
	Sentinel Sentinel
	Cluster  []string
	// Secret is what the fleet shares: at least 32 bytes.
	Secret []byte
	Log    *slog.Logger
	Now    func() time.Time // Optional: time.Now
}

// Redis is the log of a fleet.
type Redis struct {
	client  redis.UniversalClient
	tried   string // for errors: the addresses, without a password
	entries seal
	keys    seal
	now     func() time.Time
	log     *slog.Logger
}

// OpenRedis prepares the connections; nothing is sent yet.
func OpenRedis(o RedisOptions) (*Redis, error) {
	if len(o.Secret) < 32 {
		return nil, errors.New("revocation: the secret must have at least 32 bytes")
	}
	r := &Redis{now: o.Now, log: o.Log}
	if r.now == nil {
		r.now = time.Now
	}
	var err error
	if r.entries, err = newSeal(o.Secret, "vilogate revocation v1"); err != nil {
		return nil, err
	}
	if r.keys, err = newSeal(o.Secret, "vilogate gateway keys v1"); err != nil {
		return nil, err
	}
	u := &redis.UniversalOptions{
		DialTimeout: time.Second, ReadTimeout: callTimeout, WriteTimeout: time.Second,
		ContextTimeoutEnabled: true, MaxRetries: -1,
	}
	switch {
	case o.Sentinel.Master != "":
		u.MasterName, u.Addrs = o.Sentinel.Master, o.Sentinel.Addresses
	case len(o.Cluster) > 0:
		u.Addrs, u.IsClusterMode = o.Cluster, true
	default:
		parsed, err := redis.ParseURL(o.URL)
		if err != nil {
			return nil, errors.New("revocation: the address of Redis is not of the form redis://[user:password@]host:port/database")
		}
		u.Addrs, u.DB, u.TLSConfig = []string{parsed.Addr}, parsed.DB, parsed.TLSConfig
		u.Username, u.Password = parsed.Username, parsed.Password
	}
	r.tried = strings.Join(u.Addrs, ", ")
	r.client = redis.NewUniversalClient(u)
	return r, nil
}

// Close closes the connections.
func (r *Redis) Close() error { return r.client.Close() }

// failed says what was tried.
func (r *Redis) failed(doing string, err error) error {
	return fmt.Errorf("%s (Redis at %s): %w", doing, r.tried, err)
}

// call bounds one call.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// appendScript writes entries to the index and, those that the index did not
// have, to the stream, in one step; and drops what has expired.
// KEYS: index, stream. ARGV: now, the stream's length, then end and entry in turn.
var appendScript = redis.NewScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[1])
local added = 0
for i = 3, #ARGV, 2 do
  if redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i+1]) == 1 then
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[i+1])
    added = added + 1
  end
end
return added`)

// Append implements Log.
func (r *Redis) Append(ctx context.Context, entries []Entry) error {
	for len(entries) > 0 {
		n := min(len(entries), page)
		if err := r.append(ctx, entries[:n]); err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

func (r *Redis) append(ctx context.Context, entries []Entry) error {
	ctx, cancel := call(ctx)
	defer cancel()
	arguments := []any{r.now().Unix(), streamLength}
	for _, e := range entries {
		sealed, err := r.entries.closeEntry(e)
		if err != nil {
			return err
		}
		arguments = append(arguments, e.Expires.Unix(), sealed)
	}
	if err := appendScript.Run(ctx, r.client, []string{indexKey, streamKey}, arguments...).Err(); err != nil {
		return r.failed("writing revocations", err)
	}
	return nil
}

// follower is one life of Follow.
type follower struct {
	*Redis
	sink   Sink
	epoch  string
	last   string // the newest id of the stream that was read
	loaded time.Time
}

// Follow implements Log.
func (r *Redis) Follow(ctx context.Context, sink Sink) error {
	f := &follower{Redis: r, sink: sink}
	for ctx.Err() == nil {
		if f.epoch == "" || r.now().Sub(f.loaded) > reloadEvery {
			if err := f.load(ctx); err != nil {
				return err
			}
		}
		if err := f.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// load reads the whole index, and puts back what this process knows and Redis
// does not. The stream's position is taken first: what is added meanwhile is
// read twice, never missed.
func (f *follower) load(ctx context.Context) error {
	began := f.now()
	if err := f.position(ctx); err != nil {
		return err
	}
	had := map[key]mark{}
	for offset := int64(0); ; offset += page {
		sealed, err := f.readIndex(ctx, offset)
		if err != nil {
			return err
		}
		entries := f.opened(sealed)
		for _, e := range entries {
			had[e.key()] = e.mark().join(had[e.key()])
		}
		f.sink.Apply(entries)
		if len(sealed) < page {
			break
		}
	}
	var forgotten []Entry
	for _, e := range f.sink.Known() {
		if known, ok := had[e.key()]; !ok || known.join(e.mark()) != known {
			forgotten = append(forgotten, e)
		}
	}
	if len(forgotten) > 0 {
		f.log.Warn("Redis had forgotten revocations; they are put back", "entries", len(forgotten))
		if err := f.Append(ctx, forgotten); err != nil {
			return err
		}
	}
	f.loaded = began
	f.sink.Current(began)
	return nil
}

// position finds out which memory this is, and where its stream ends.
func (f *follower) position(ctx context.Context) error {
	ctx, cancel := call(ctx)
	defer cancel()
	epoch := strconv.FormatInt(f.now().UnixNano(), 36)
	if err := f.client.SetNX(ctx, epochKey, epoch, 0).Err(); err != nil {
		return f.failed("reading the revocations", err)
	}
	epoch, err := f.client.Get(ctx, epochKey).Result()
	if err != nil {
		return f.failed("reading the revocations", err)
	}
	newest, err := f.client.XRevRangeN(ctx, streamKey, "+", "-", 1).Result()
	if err != nil {
		return f.failed("reading the revocations", err)
	}
	f.epoch, f.last = epoch, "0-0"
	if len(newest) > 0 {
		f.last = newest[0].ID
	}
	return nil
}

func (f *follower) readIndex(ctx context.Context, offset int64) ([]string, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	sealed, err := f.client.ZRangeByScore(ctx, indexKey, &redis.ZRangeBy{
		Min: "(" + strconv.FormatInt(f.now().Unix(), 10), Max: "+inf", Offset: offset, Count: page,
	}).Result()
	if err != nil {
		return nil, f.failed("reading the revocations", err)
	}
	return sealed, nil
}

func (f *follower) opened(sealed []string) []Entry {
	entries := make([]Entry, 0, len(sealed))
	refused := 0
	for _, s := range sealed {
		if e, ok := f.entries.openEntry(s); ok {
			entries = append(entries, e)
		} else {
			refused++
		}
	}
	if refused > 0 {
		f.sink.Refused(refused)
	}
	return entries
}

// step waits for the next entries, and checks that the memory is still the one
// that was loaded: a flushed Redis, a failed-over one, and a stream that was
// trimmed past us are loaded anew.
func (f *follower) step(ctx context.Context) error {
	began := f.now()
	waiting, cancel := context.WithTimeout(ctx, block+callTimeout)
	defer cancel()
	streams, err := f.client.XRead(waiting, &redis.XReadArgs{Streams: []string{streamKey, f.last}, Count: page, Block: block}).Result()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return f.failed("following the revocations", err)
	}
	before := f.last
	for _, stream := range streams {
		sealed := make([]string, 0, len(stream.Messages))
		for _, message := range stream.Messages {
			text, _ := message.Values["e"].(string)
			sealed = append(sealed, text)
			f.last = message.ID
		}
		f.sink.Apply(f.opened(sealed))
	}
	same, err := f.sameMemory(ctx, before)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	if !same {
		f.epoch = ""
		return nil
	}
	f.sink.Current(began)
	return nil
}

// sameMemory reports whether nothing can have been missed since position
// before: the epoch is the same, the stream has not gone back, and its oldest
// entry is not newer than what was read.
func (f *follower) sameMemory(ctx context.Context, before string) (bool, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	epoch, err := f.client.Get(ctx, epochKey).Result()
	switch {
	case errors.Is(err, redis.Nil) || err == nil && epoch != f.epoch:
		return false, nil
	case err != nil:
		return false, f.failed("following the revocations", err)
	}
	newest, err := f.client.XRevRangeN(ctx, streamKey, "+", "-", 1).Result()
	if err != nil {
		return false, f.failed("following the revocations", err)
	}
	if len(newest) == 0 {
		return f.last == "0-0", nil
	}
	oldest, err := f.client.XRangeN(ctx, streamKey, "-", "+", 1).Result()
	if err != nil {
		return false, f.failed("following the revocations", err)
	}
	if olderID(newest[0].ID, f.last) {
		return false, nil
	}
	return before == "0-0" || len(oldest) == 0 || !olderID(before, oldest[0].ID) || before == f.last, nil
}

// olderID reports whether stream id a comes before b.
func olderID(a, b string) bool {
	aTime, aSequence := splitID(a)
	bTime, bSequence := splitID(b)
	return aTime < bTime || aTime == bTime && aSequence < bSequence
}

func splitID(id string) (ms, sequence uint64) {
	left, right, _ := strings.Cut(id, "-")
	// Redis writes ids as two decimal numbers; anything else sorts first.
	ms, err := strconv.ParseUint(left, 10, 64)
	if err != nil {
		return 0, 0
	}
	sequence, err = strconv.ParseUint(right, 10, 64)
	if err != nil {
		return ms, 0
	}
	return ms, sequence
}
