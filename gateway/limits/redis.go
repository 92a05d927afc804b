package limits

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed add.lua
var addSource string

var addScript = redis.NewScript(addSource)

const (
	// keyPrefix begins the names of the keys in Redis. Each is a slot of its own in a Cluster.
	keyPrefix = "vilogate:limit:"
	// maxBacklogBursts bounds the backlog of a key, in bursts: as many gateways may let one through before they have synced.
	maxBacklogBursts = 16
	// addTimeout bounds a sync.
	addTimeout = 2 * time.Second
)

// Redis is the shared store of a fleet. It is safe for concurrent use.
type Redis struct {
	client  redis.UniversalClient
	now     func() time.Time // nil: the server's clock
	timeout time.Duration    // of one exchange
}

// NewRedis uses a connection that somebody else opened, and closes.
func NewRedis(client redis.UniversalClient) *Redis {
	return &Redis{client: client, timeout: addTimeout}
}

// Add implements Shared, in one round trip to each server.
func (r *Redis) Add(ctx context.Context, batch []Usage) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	failed := func(err error) error { return fmt.Errorf("limits: syncing %d keys: %w", len(batch), err) }
	answers := r.run(ctx, batch)
	var unloaded []int // NOSCRIPT: a restarted server has not loaded the script
	var retry []Usage
	for i, answer := range answers {
		if redis.HasErrorPrefix(answer.Err(), "NOSCRIPT") {
			unloaded, retry = append(unloaded, i), append(retry, batch[i])
		}
	}
	if len(unloaded) > 0 {
		if err := addScript.Load(ctx, r.client).Err(); err != nil {
			return failed(err)
		}
		for i, answer := range r.run(ctx, retry) {
			answers[unloaded[i]] = answer
		}
	}
	for i, answer := range answers {
		text, err := answer.Text()
		if err != nil {
			return failed(err)
		}
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil || micros < 0 || micros > maxBacklogBursts*microseconds(batch[i].Burst) {
			return failed(errors.New("the backlog in the answer is out of range"))
		}
		batch[i].Backlog = time.Duration(micros) * time.Microsecond
	}
	return nil
}

// run adds the batch in one pipeline, a script for each key, since in a Cluster each may be at another server. Errors are
// those of the commands.
func (r *Redis) run(ctx context.Context, batch []Usage) []*redis.Cmd {
	now := ""
	if r.now != nil {
		now = strconv.FormatInt(r.now().UnixMicro(), 10)
	}
	answers := make([]*redis.Cmd, len(batch))
	pipe := r.client.Pipeline()
	for i, d := range batch {
		key := keyPrefix + hex.EncodeToString(d.Key[:])
		answers[i] = addScript.EvalSha(ctx, pipe, []string{key}, microseconds(d.Backlog), microseconds(d.Burst), maxBacklogBursts, now)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		for _, answer := range answers {
			if answer.Err() == nil && answer.Val() == nil {
				answer.SetErr(err)
			}
		}
	}
	return answers
}

// microseconds rounds down: what is lost of an event is less than its sender can make use of.
func microseconds(d time.Duration) int64 { return int64(d / time.Microsecond) }
