package revocation

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A gateway's key is published for keyLife, and published again well before.
const (
	keyLife   = 10 * time.Minute
	keyAgain  = time.Minute
	keysCheck = time.Second
)

// PublishKey publishes a gateway's public key (a JWK) until ctx ends. It calls
// published after the first write that Redis acknowledged. A key that is no
// longer published is served by the others until keyLife has passed: longer than
// any assertion that it signed.
func (r *Redis) PublishKey(ctx context.Context, jwk []byte) error {
	ctx, cancel := call(ctx)
	defer cancel()
	now := r.now()
	member := redis.Z{Score: float64(now.Add(keyLife).Unix()), Member: r.keys.close(jwk)}
	pipe := r.client.TxPipeline()
	pipe.ZRemRangeByScore(ctx, keysKey, "-inf", strconv.FormatInt(now.Unix(), 10))
	pipe.ZAdd(ctx, keysKey, member)
	if _, err := pipe.Exec(ctx); err != nil {
		return r.failed("publishing the gateway's key", err)
	}
	return nil
}

// FollowKeys calls changed with the public keys of every gateway, now and each
// time they change, until ctx ends. Forged ones are left out.
func (r *Redis) FollowKeys(ctx context.Context, changed func(jwks [][]byte)) error {
	ticker := time.NewTicker(keysCheck)
	defer ticker.Stop()
	var before [][]byte
	for first := true; ; {
		keys, err := r.publishedKeys(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case first || !slices.EqualFunc(before, keys, bytes.Equal):
			changed(keys)
			before, first = keys, false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r *Redis) publishedKeys(ctx context.Context) ([][]byte, error) {
	ctx, cancel := call(ctx)
	defer cancel()
	sealed, err := r.client.ZRangeByScore(ctx, keysKey, &redis.ZRangeBy{
		Min: strconv.FormatInt(r.now().Unix(), 10), Max: "+inf", Count: page,
	}).Result()
	if err != nil {
		return nil, r.failed("reading the gateways' keys", err)
	}
	var keys [][]byte
	for _, s := range sealed {
		if jwk, ok := r.keys.open(s); ok {
			keys = append(keys, jwk)
		}
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys, nil
}
