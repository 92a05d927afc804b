package revocation

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// The scripts are constants in all but name: nothing changes them.
var (
	//go:embed posts.lua
	putPostText string
	//go:embed takepost.lua
	takePostText string
	//go:embed dropposts.lua
	dropPostsText string

	putPostScript   = redis.NewScript(putPostText)
	takePostScript  = redis.NewScript(takePostText)
	dropPostsScript = redis.NewScript(dropPostsText)
)

// PostBounds say how much is kept at once.
type PostBounds struct {
	Lifetime  time.Duration
	PerSender int   // of one owner
	Total     int64 // bytes of all of them
	Overhead  int64 // bytes that each counts besides its own
}

// Posts keeps short-lived values of a fleet's gateways beside the revocations: forms that wait for their senders to sign in.
// They are the gateways' to seal. A revocation always finds room: a value is kept only while a quarter of Redis' maxmemory
// stays free with it, and all of them are dropped when a revocation does not fit. It is safe for concurrent use.
type Posts struct {
	redis  *Redis
	bounds PostBounds
}

// Posts keeps values within those bounds, which are the same in the whole fleet.
func (r *Redis) Posts(bounds PostBounds) *Posts { return &Posts{r, bounds} }

// Put keeps the value under an id that is new; false where there is no room.
func (p *Posts) Put(ctx context.Context, owner, id string, value []byte) (bool, error) {
	ctx, cancel := p.redis.answerBy(ctx)
	defer cancel()
	b := p.bounds
	kept, err := putPostScript.Run(ctx, p.redis.client, postKeys(owner, id), id, value, b.Lifetime.Milliseconds(), b.PerSender, b.Total, b.Overhead).Bool()
	if redis.HasErrorPrefix(err, "OOM") {
		return false, nil
	}
	if err != nil {
		return false, p.redis.commandError("keeping a post", err)
	}
	return kept, nil
}

// Get returns the value of an id; nil where there is none.
func (p *Posts) Get(ctx context.Context, id string) ([]byte, error) {
	ctx, cancel := p.redis.answerBy(ctx)
	defer cancel()
	value, err := p.redis.client.Get(ctx, prefixPost+id).Bytes()
	return p.found(value, err)
}

// Take removes the value of an id and returns it, to one caller alone; nil where there is none.
func (p *Posts) Take(ctx context.Context, owner, id string) ([]byte, error) {
	ctx, cancel := p.redis.answerBy(ctx)
	defer cancel()
	value, err := takePostScript.Run(ctx, p.redis.client, postKeys(owner, id), id, p.bounds.Overhead).Text()
	return p.found([]byte(value), err)
}

func (p *Posts) found(value []byte, err error) ([]byte, error) {
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, p.redis.commandError("reading a kept post", err)
	}
	return value, nil
}

func postKeys(owner, id string) []string {
	return []string{keyPosts, keyPostsTotal, prefixSender + owner, prefixPost + id}
}

// dropPosts removes all posts, so that a revocation has room; it reports whether there were any.
func (r *Redis) dropPosts(ctx context.Context) bool {
	dropped, err := dropPostsScript.Run(ctx, r.client, []string{keyPosts, keyPostsTotal}, prefixPost).Int()
	if err == nil && dropped > 0 {
		r.log.Warn("Redis is full: kept posts were dropped for a revocation", "posts", dropped)
	}
	return err == nil && dropped > 0
}
