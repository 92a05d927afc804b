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

// A TicketStore holds the session ticket encryption keys (STEK; RFC 8446, section
// 4.6.1, RFC 5077), one for each period of time. Safe for concurrent use.
type TicketStore interface {
	// TicketKey is the key of a period. Whoever asks first makes it, and everybody
	// else is given the same.
	TicketKey(ctx context.Context, period int64) ([32]byte, error)
}

// ticketRotation is how long new tickets are encrypted with one key. The previous
// key still decrypts tickets; the next one's is there ahead of time, so that
// gateways whose clocks differ decrypt each other's.
const ticketRotation = 12 * time.Hour

// ticketCheckInterval is the time between two refreshes of the keys.
const ticketCheckInterval = time.Minute

// tickets keeps the keys of a configuration of TLS. Hosts whose settings differ
// have no tickets at all (hosttls.go).
type tickets struct {
	config *tls.Config
	store  TicketStore
	now    func() time.Time
	log    *slog.Logger

	// What only run writes.
	keys    [][32]byte // the first encrypts, all decrypt
	failing bool       // the last refresh failed
}

// newTickets sets a random key, which is replaced when the store has answered.
func newTickets(config *tls.Config, store TicketStore, now func() time.Time, log *slog.Logger) (*tickets, error) {
	t := &tickets{config: config, store: store, now: now, log: log}
	if t.store == nil {
		t.store = &localTickets{}
	}
	first, err := new(localTickets).TicketKey(context.Background(), 0)
	if err != nil {
		return nil, err
	}
	t.install([][32]byte{first})
	return t, nil
}

func (t *tickets) install(keys [][32]byte) {
	t.keys = keys
	t.config.SetSessionTicketKeys(keys)
}

// run refreshes the keys until ctx ends. An unreachable store changes nothing:
// the current keys stay.
func (t *tickets) run(ctx context.Context) error {
	ticker := time.NewTicker(ticketCheckInterval)
	defer ticker.Stop()
	for {
		if err := t.refresh(ctx); err != nil && ctx.Err() == nil {
			t.logFailure(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (t *tickets) logFailure(err error) {
	if !t.failing {
		t.log.Warn("session ticket keys are not shared for now; clients that change the gateway do a full handshake", "error", err)
	}
	t.failing = true
}

// refresh installs the keys of the current, the previous and the next period.
func (t *tickets) refresh(ctx context.Context) error {
	period := t.now().Unix() / int64(ticketRotation/time.Second)
	var keys [][32]byte
	for _, p := range []int64{period, period - 1, period + 1} {
		key, err := t.store.TicketKey(ctx, p)
		if err != nil {
			return fmt.Errorf("edge: session ticket key: %w", err)
		}
		keys = append(keys, key)
	}
	t.failing = false
	if !slices.Equal(keys, t.keys) {
		t.install(keys)
	}
	return nil
}

// localTickets is the store of a single process, in memory.
type localTickets struct {
	mu   sync.Mutex
	keys map[int64][32]byte // of the last periods; guarded by mu
}

// TicketKey implements TicketStore.
func (o *localTickets) TicketKey(_ context.Context, period int64) (key [32]byte, err error) {
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
