package certstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// ticketTTL is how long Redis keeps the key of a period: as long as any gateway
// may ask for it.
const ticketTTL = 72 * time.Hour

// Tickets keeps the keys of session tickets in Redis, sealed, each for a period
// of time. Redis forgets them by itself. Safe for concurrent use, in several
// processes too.
type Tickets struct {
	redis  *Redis
	sealer *Sealer
}

// NewTickets keeps the keys in r.
func NewTickets(r *Redis, sealer *Sealer) *Tickets { return &Tickets{r, sealer} }

// TicketKey is the key of a period, made by whoever asks first.
func (t *Tickets) TicketKey(ctx context.Context, period int64) (key [32]byte, err error) {
	ctx, cancel := t.redis.withTimeout(ctx)
	defer cancel()
	name := fmt.Sprint(keyTickets, period)
	for range 2 {
		sealed, err := t.redis.client.Get(ctx, name).Bytes()
		if err == nil {
			plain, err := t.sealer.open(name, sealed)
			if err == nil && len(plain) != len(key) {
				err = errUnseal
			}
			if err != nil {
				return key, t.redis.wrap("loading", name, err)
			}
			copy(key[:], plain)
			return key, nil
		}
		if !errors.Is(err, redis.Nil) {
			return key, t.redis.wrap("loading", name, err)
		}
		fresh := make([]byte, len(key))
		if _, err := rand.Read(fresh); err != nil {
			return key, err
		}
		if err := t.redis.client.SetNX(ctx, name, t.sealer.seal(name, fresh), ticketTTL).Err(); err != nil {
			return key, t.redis.wrap("storing", name, err)
		}
	}
	return key, t.redis.wrap("loading", name, errors.New("it was stored, and is not there"))
}
