package edge

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A TicketStore holds the keys that session tickets are sealed with (RFC 8446,
// section 4.6.1), one for each period of time. Safe for concurrent use.
type TicketStore interface {
	// TicketKey is the key of a period. Whoever asks first makes it, and everybody
	// else is given the same.
	TicketKey(ctx context.Context, period int64) ([32]byte, error)
}

// ticketPeriod is how long new tickets are sealed with one key. The key of the
// period before still opens tickets; the next one's is there ahead of time, so
// that gateways whose clocks differ open each other's.
const ticketPeriod = 12 * time.Hour

// ticketCheck is how often the keys are looked at.
const ticketCheck = time.Minute

// tickets keeps the keys of a configuration of TLS. Hosts whose settings differ
// have no tickets at all (hosttls.go).
type tickets struct {
	config *tls.Config
	store  TicketStore
	now    func() time.Time
	log    *slog.Logger

	// What only run writes.
	keys     [][32]byte // the first seals, all open
	troubled bool       // the last look at the store failed
}

// newTickets gives the configuration a key that nobody else has, until the store
// has answered.
func newTickets(config *tls.Config, store TicketStore, now func() time.Time, log *slog.Logger) (*tickets, error) {
	t := &tickets{config: config, store: store, now: now, log: log}
	if t.store == nil {
		t.store = &ownTickets{}
	}
	first, err := new(ownTickets).TicketKey(context.Background(), 0)
	if err != nil {
		return nil, err
	}
	t.use([][32]byte{first})
	return t, nil
}

func (t *tickets) use(keys [][32]byte) {
	t.keys = keys
	t.config.SetSessionTicketKeys(keys)
}

// run keeps the keys current until ctx ends. A store that is away changes
// nothing: the keys at hand stay in use.
func (t *tickets) run(ctx context.Context) error {
	ticker := time.NewTicker(ticketCheck)
	defer ticker.Stop()
	for {
		if err := t.refresh(ctx); err != nil && ctx.Err() == nil {
			t.complain(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (t *tickets) complain(err error) {
	if !t.troubled {
		t.log.Warn("the keys of session tickets are not shared for now; clients that change the gateway shake hands in full", "error", err)
	}
	t.troubled = true
}

// refresh takes over the keys of the periods around now.
func (t *tickets) refresh(ctx context.Context) error {
	period := t.now().Unix() / int64(ticketPeriod/time.Second)
	var keys [][32]byte
	for _, p := range []int64{period, period - 1, period + 1} {
		key, err := t.store.TicketKey(ctx, p)
		if err != nil {
			return fmt.Errorf("edge: the key of session tickets: %w", err)
		}
		keys = append(keys, key)
	}
	t.troubled = false
	if !slices.Equal(keys, t.keys) {
		t.use(keys)
	}
	return nil
}

// ownTickets are the keys of a process that shares them with nobody.
type ownTickets struct {
	mu   sync.Mutex
	keys map[int64][32]byte // of the last periods; guarded by mu
}

// TicketKey implements TicketStore.
func (o *ownTickets) TicketKey(_ context.Context, period int64) (key [32]byte, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if key, ok := o.keys[period]; ok {
		return key, nil
	}
	if _, err := rand.Read(key[:]); err != nil {
		return key, err
	}
	if o.keys == nil {
		o.keys = map[int64][32]byte{}
	}
	for old := range o.keys {
		if old < period-2 {
			delete(o.keys, old)
		}
	}
	o.keys[period] = key
	return key, nil
}
