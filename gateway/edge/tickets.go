package edge

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
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

// tickets gives the keys to every configuration of TLS in use. Configurations of
// different settings have different keys, so that what was agreed under one is
// never resumed under another.
type tickets struct {
	store TicketStore
	now   func() time.Time
	log   *slog.Logger

	mu       sync.Mutex
	keys     [][32]byte               // the first seals, all open; guarded by mu
	configs  map[*tls.Config]settings // guarded by mu
	troubled bool                     // the last look at the store failed; guarded by mu
}

// settings names what is particular to a configuration of TLS; "" for the usual.
type settings string

func newTickets(store TicketStore, now func() time.Time, log *slog.Logger) (*tickets, error) {
	t := &tickets{store: store, now: now, log: log, configs: map[*tls.Config]settings{}}
	if t.store == nil {
		t.store = &ownTickets{}
	}
	// Until the store has answered, nobody else opens what we seal.
	first, err := new(ownTickets).TicketKey(context.Background(), 0)
	t.keys = [][32]byte{first}
	return t, err
}

// add gives a configuration its keys, now and whenever they change, until drop.
func (t *tickets) add(config *tls.Config, s settings) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys, err := derive(t.keys, s)
	if err != nil {
		return err
	}
	config.SetSessionTicketKeys(keys)
	t.configs[config] = s
	return nil
}

// drop forgets a configuration that is not used for new connections any more.
func (t *tickets) drop(config *tls.Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.configs, config)
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
	t.mu.Lock()
	told := t.troubled
	t.troubled = true
	t.mu.Unlock()
	if !told {
		t.log.Warn("the keys of session tickets are not shared for now; clients that change the gateway shake hands in full", "error", err)
	}
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
	t.mu.Lock()
	defer t.mu.Unlock()
	t.troubled = false
	if slices.Equal(keys, t.keys) {
		return nil
	}
	t.keys = keys
	for config, s := range t.configs {
		derived, err := derive(keys, s)
		if err != nil {
			return err
		}
		config.SetSessionTicketKeys(derived)
	}
	return nil
}

// derive makes the keys for some settings.
func derive(keys [][32]byte, s settings) ([][32]byte, error) {
	derived := make([][32]byte, len(keys))
	for i, key := range keys {
		k, err := hkdf.Key(sha256.New, key[:], nil, "vilogate session tickets v1 "+string(s), len(key))
		if err != nil {
			return nil, err
		}
		copy(derived[i][:], k)
	}
	return derived, nil
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
