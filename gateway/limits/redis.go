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
var addText string

var addScript = redis.NewScript(addText)

const (
	// keyPrefix begins the names of the keys in Redis. Each is a slot of its own in a Cluster.
	keyPrefix = "vilogate:limit:"
	// quotasOwed is how many quotas a key may owe at most: as many gateways may let a burst through before they learn of
	// each other.
	quotasOwed = 16
	// addTimeout bounds an exchange.
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
func (r *Redis) Add(ctx context.Context, debts []Debt) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	failed := func(err error) error { return fmt.Errorf("limits: sharing %d keys: %w", len(debts), err) }
	answers := r.run(ctx, debts)
	var again []int // a server that was started anew does not have the script yet
	var anew []Debt
	for i, answer := range answers {
		if redis.HasErrorPrefix(answer.Err(), "NOSCRIPT") {
			again, anew = append(again, i), append(anew, debts[i])
		}
	}
	if len(again) > 0 {
		if err := addScript.Load(ctx, r.client).Err(); err != nil {
			return failed(err)
		}
		for i, answer := range r.run(ctx, anew) {
			answers[again[i]] = answer
		}
	}
	for i, answer := range answers {
		text, err := answer.Text()
		if err != nil {
			return failed(err)
		}
		micros, err := strconv.ParseInt(text, 10, 64)
		if err != nil || micros < 0 || micros > quotasOwed*microseconds(debts[i].Quota) {
			return failed(errors.New("what Redis says is owed cannot be"))
		}
		debts[i].Owed = time.Duration(micros) * time.Microsecond
	}
	return nil
}

// run adds the debts, each by a script of its own, since in a Cluster each may be at another server. Whatever failed is
// said in the answers.
func (r *Redis) run(ctx context.Context, debts []Debt) []*redis.Cmd {
	now := ""
	if r.now != nil {
		now = strconv.FormatInt(r.now().UnixMicro(), 10)
	}
	answers := make([]*redis.Cmd, len(debts))
	pipe := r.client.Pipeline()
	for i, d := range debts {
		key := keyPrefix + hex.EncodeToString(d.Key[:])
		answers[i] = addScript.EvalSha(ctx, pipe, []string{key}, microseconds(d.Owed), microseconds(d.Quota), quotasOwed, now)
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
