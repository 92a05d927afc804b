package revocation

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// keyTTL is how long a gateway's key counts after it was last published: longer than any assertion that it signed.
const keyTTL = 10 * time.Minute

// keyPollInterval is how often the keys are looked at.
const keyPollInterval = time.Second

// What is believed of keys, whoever published them.
const (
	maxKey  = 4 << 10
	maxKeys = 1000

	expirySize = 8 // seconds since 1970, before the key
)

var errKey = errors.New("revocation: a gateway's key is 1 to 4096 bytes")

// PublishKey makes the public key of a gateway known to the others, for ten minutes from now.
func (r *Redis) PublishKey(ctx context.Context, jwk []byte) error {
	if len(jwk) == 0 || len(jwk) > maxKey {
		return errKey
	}
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	now := r.now()
	expires := now.Add(keyTTL).Unix()
	record := append(binary.BigEndian.AppendUint64(nil, uint64(expires)), jwk...)
	_, err := r.client.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.ZAdd(ctx, keyGateways, redis.Z{Score: float64(expires), Member: r.gateways.seal(record)})
		p.ZRemRangeByScore(ctx, keyGateways, "-inf", strconv.FormatInt(now.Add(-grace).Unix(), 10))
		p.Expire(ctx, keyGateways, keyTTL+grace)
		return nil
	})
	if err != nil {
		return r.commandError("publishing the key of this gateway", err)
	}
	return nil
}

// FollowKeys calls f with the keys of all gateways, and again whenever they change, until ctx ends. A key that Redis has
// lost counts until it expires; while Redis is away nothing changes.
func (r *Redis) FollowKeys(ctx context.Context, f func(jwks [][]byte)) error {
	known := map[string]int64{} // key → the second in which it expires
	var published [][]byte
	first, failing := true, false
	for {
		err := r.readKeys(ctx, known)
		switch {
		case err == nil:
			failing = false
			if keys := sortedKeys(known); first || !slices.EqualFunc(keys, published, bytes.Equal) {
				first, published = false, keys
				f(keys)
			}
		case ctx.Err() == nil && !failing:
			failing = true
			r.log.Warn("gateway keys unreadable; retrying", "error", r.commandError("reading the gateways' keys", err))
		}
		if !sleep(ctx, keyPollInterval) {
			return ctx.Err()
		}
	}
}

// readKeys adds the keys that are published to those known, and drops those that have expired.
func (r *Redis) readKeys(ctx context.Context, known map[string]int64) error {
	now, forged := r.now().Unix(), 0
	err := r.scan(ctx, keyGateways, expirySize+maxKey+sealSize, func(member string) {
		record, ok := r.gateways.open([]byte(member))
		if !ok || len(record) <= expirySize {
			forged++
			return
		}
		key, expires := string(record[expirySize:]), int64(binary.BigEndian.Uint64(record))
		if _, old := known[key]; old || len(known) < maxKeys {
			known[key] = max(known[key], expires)
		}
	}, &forged)
	maps.DeleteFunc(known, func(_ string, expires int64) bool { return expires <= now })
	if forged > 0 {
		r.log.Warn("forged gateway keys rejected (bad MAC): somebody writes to Redis who does not know this secret", "keys", forged)
	}
	return err
}

func sortedKeys(known map[string]int64) [][]byte {
	keys := make([][]byte, 0, len(known))
	for _, key := range slices.Sorted(maps.Keys(known)) {
		keys = append(keys, []byte(key))
	}
	return keys
}
