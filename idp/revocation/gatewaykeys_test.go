package revocation

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// followed are the keys that a gateway was told last.
type followed struct {
	mu    sync.Mutex
	keys  []string
	calls int
}

func follow(t *testing.T, r *Redis) *followed {
	t.Helper()
	k := &followed{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.FollowKeys(ctx, k.set); err == nil {
			t.Error("FollowKeys ended before its context")
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return k
}

func (k *followed) set(jwks [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	k.keys = nil
	for _, jwk := range jwks {
		k.keys = append(k.keys, string(jwk))
	}
}

func (k *followed) are(want ...string) func() bool {
	return func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return slices.Equal(k.keys, want) && k.calls > 0
	}
}

func publishKey(t *testing.T, r *Redis, jwk string) {
	t.Helper()
	if err := r.PublishKey(context.Background(), []byte(jwk)); err != nil {
		t.Fatal(err)
	}
}

// TestGatewaysKnowEachOthersKeys: the union reaches everybody, lives on while Redis forgets or is away, and loses a key
// that nobody has published for long.
func TestGatewaysKnowEachOthersKeys(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := &clock{}
	open := func() *Redis { return openRedis(t, RedisOptions{URL: s.URL(), Now: c.now}) }
	one, two := open(), open()
	seen := follow(t, open())
	eventually(t, "there are no keys", seen.are())
	publishKey(t, one, `{"kid":"one"}`)
	eventually(t, "one key", seen.are(`{"kid":"one"}`))
	publishKey(t, two, `{"kid":"two"}`)
	publishKey(t, one, `{"kid":"one"}`)
	both := seen.are(`{"kid":"one"}`, `{"kid":"two"}`)
	eventually(t, "both keys", both)

	s.Do("FLUSHALL")
	late := follow(t, open())
	eventually(t, "who comes later knows none", late.are())
	publishKey(t, one, `{"kid":"one"}`)
	eventually(t, "until it is published again", late.are(`{"kid":"one"}`))
	if !both() {
		t.Error("a key was forgotten with Redis")
	}
	s.Kill()
	if err := one.PublishKey(context.Background(), []byte(`{"kid":"one"}`)); err == nil || !strings.Contains(err.Error(), s.Address) {
		t.Errorf("publishing to nobody: %v", err)
	}
	s.Start()
	c.advance(keyTTL - 5*time.Second)
	publishKey(t, one, `{"kid":"one"}`)
	c.advance(10 * time.Second)
	eventually(t, "the key that nobody publishes any more is gone", seen.are(`{"kid":"one"}`))
	if n := s.Number("ZCARD", keyGateways); n != 1 {
		t.Errorf("%d records", n)
	}
	if ttl := s.Number("TTL", keyGateways); ttl <= 0 {
		t.Errorf("the keys never expire: %d", ttl)
	}
}

// TestOldRecordsOfKeysAreDropped, so that publishing for years does not fill Redis.
func TestOldRecordsOfKeysAreDropped(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	c := &clock{}
	r := openRedis(t, RedisOptions{URL: s.URL(), Now: c.now})
	for range 50 {
		publishKey(t, r, `{"kid":"one"}`)
		c.advance(keyTTL)
	}
	if n, most := s.Number("ZCARD", keyGateways), int64(grace/keyTTL)+2; n > most {
		t.Errorf("%d records, want %d at most", n, most)
	}
}

// TestForgedKeysAreRefused: no gateway tells backends to trust a key that none of the fleet has published.
func TestForgedKeysAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.open()
	stranger := openRedis(t, RedisOptions{URL: s.URL(), Secret: []byte(strings.Repeat("another secret ", 4))})
	end := time.Now().Add(time.Hour).Unix()
	record := func(jwk string) []byte { return append(binary.BigEndian.AppendUint64(nil, uint64(end)), jwk...) }
	publishKey(t, stranger, `{"kid":"stranger"}`)
	for _, forgery := range [][]byte{
		record(`{"kid":"plain"}`), r.entries.seal(record(`{"kid":"entries"}`)), r.gateways.seal(record("")), nil, make([]byte, 64<<10),
	} {
		s.Do("ZADD", keyGateways, end, forgery)
	}
	publishKey(t, r, `{"kid":"good"}`)
	eventually(t, "the good key alone", follow(t, s.open()).are(`{"kid":"good"}`))
	for _, jwk := range [][]byte{nil, make([]byte, maxKey+1)} {
		if err := r.PublishKey(context.Background(), jwk); err == nil {
			t.Errorf("a key of %d bytes was published", len(jwk))
		}
	}
}

// TestKeysAreBounded: too many of them, though sealed with our secret, are not all believed.
func TestKeysAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.open()
	end := uint64(time.Now().Add(time.Hour).Unix())
	args := []any{"ZADD", keyGateways}
	for i := range maxKeys + 100 {
		args = append(args, end, r.gateways.seal(append(binary.BigEndian.AppendUint64(nil, end), fmt.Sprint(i)...)))
	}
	s.Do(args...)
	known := map[string]int64{}
	if err := r.readKeys(t.Context(), known); err != nil || len(known) != maxKeys {
		t.Errorf("%d keys, %v", len(known), err)
	}
}
