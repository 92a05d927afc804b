package certstore

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// A holder that dies blocks the others for its lease and no longer; one that
// lives keeps the lock for as long as it takes.
func TestTheLeaseOfALock(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	dead, alive, waiting := newRedis(server), newRedis(server), newRedis(server)
	dead.lease, alive.lease, waiting.lease = 600*time.Millisecond, time.Minute, time.Minute
	for name, holder := range map[string]*Redis{"dead": dead, "alive": alive} {
		if err := holder.Lock(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	dead.held["dead"].stop() // it renews no more, as a process that was killed
	if err := waiting.Lock(t.Context(), "dead"); err != nil {
		t.Fatal(err)
	}
	// A lease only ever shortens, unless it is renewed.
	left := func() time.Duration { return server.Client().PTTL(t.Context(), keyLock+"alive").Val() }
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for last, now := left(), left(); now <= last; last, now = now, left() {
		if <-tick.C; now < 0 {
			t.Fatal("the lease of a living holder is over")
		}
	}
	if taken, err := waiting.tryLock(t.Context(), "alive", "x"); err != nil || taken {
		t.Errorf("the lock of a living holder: %v, %v", taken, err)
	}
	if err := dead.Unlock(t.Context(), "dead"); err == nil || !strings.Contains(err.Error(), "lease had expired") {
		t.Errorf("a holder that lost its lock is told %v", err)
	}
	if taken, err := alive.tryLock(t.Context(), "dead", "x"); err != nil || taken {
		t.Errorf("what the dead holder released was another's: %v, %v", taken, err)
	}
	for name, holder := range map[string]*Redis{"dead": waiting, "alive": alive} {
		if err := holder.Unlock(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	if err := alive.Unlock(t.Context(), "alive"); err == nil {
		t.Error("a lock was released twice")
	}
}

// Whoever reads Redis reads no private key; whoever writes there changes none.
func TestWhatIsSealed(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	plain := newRedis(server)
	sealed := Seal(plain, sealer(t, secret))
	store(t, sealed, "a/x.key", []byte("-----BEGIN PRIVATE KEY-----"))
	raw, err := plain.Load(t.Context(), "a/x.key")
	if err != nil || strings.Contains(string(raw), "PRIVATE") {
		t.Fatalf("in Redis: %q, %v", raw, err)
	}
	other := Seal(plain, sealer(t, "another secret of 32 bytes or more"))
	if _, err := other.Load(t.Context(), "a/x.key"); !errors.Is(err, errUnseal) {
		t.Errorf("with another secret: %v", err)
	}
	store(t, plain, "a/y.key", raw)
	if _, err := sealed.Load(t.Context(), "a/y.key"); !errors.Is(err, errUnseal) {
		t.Errorf("under another name: %v", err)
	}
	for _, value := range [][]byte{nil, {1}, {2, 3}, raw[:len(raw)-1], append([]byte{2}, raw[1:]...)} {
		store(t, plain, "a/x.key", value)
		if _, err := sealed.Load(t.Context(), "a/x.key"); !errors.Is(err, errUnseal) {
			t.Errorf("%v: %v", value, err)
		}
	}
	if _, err := NewSealer([]byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestRedisAwayIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	s := NewRedis(server.Client(), server.Address)
	server.Kill()
	begun := time.Now()
	if err := s.Store(t.Context(), "k", nil); err == nil || !strings.Contains(err.Error(), server.Address) {
		t.Errorf("storing: %v", err)
	}
	if _, err := s.Load(t.Context(), "k"); err == nil {
		t.Error("loading succeeds")
	}
	if err := s.Lock(t.Context(), "k"); err == nil {
		t.Error("locking succeeds")
	}
	if took := time.Since(begun); took > 4*commandTimeout {
		t.Errorf("took %v", took)
	}
}

// The folder has one owner, so that locks which are found are a dead process's.
func TestLocksOfADeadProcessAreRemoved(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "certificates")
	dead := &Files{certmagic.FileStorage{Path: dir}}
	if err := dead.Lock(t.Context(), "l"); err != nil {
		t.Fatal(err)
	}
	locks := filepath.Join(dir, "locks", "*")
	if left, err := filepath.Glob(locks); err != nil || len(left) != 1 {
		t.Fatalf("%q, %v", left, err)
	}
	next, err := OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(locks); err != nil || len(left) != 0 {
		t.Fatalf("the lock of a dead process is left: %q, %v", left, err)
	}
	if err := next.Lock(t.Context(), "l"); err != nil {
		t.Error(err)
	}
	if err := next.Unlock(t.Context(), "l"); err != nil {
		t.Error(err)
	}
}

// Gateways that ask for the key of a period at once are given the same; it is not
// to be read in Redis, and Redis forgets it by itself.
func TestTicketKeysAreShared(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	var all sync.WaitGroup
	keys := make([][32]byte, 8)
	for i := range keys {
		tickets := NewTickets(newRedis(server), sealer(t, secret))
		all.Go(func() {
			var err error
			if keys[i], err = tickets.TicketKey(t.Context(), 7); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range keys {
		if key != keys[0] || key == ([32]byte{}) {
			t.Errorf("keys differ: %x, %x", key, keys[0])
		}
	}
	one := NewTickets(newRedis(server), sealer(t, secret))
	next, err := one.TicketKey(t.Context(), 8)
	if err != nil || next == keys[0] {
		t.Errorf("the next period's: %v", err)
	}
	raw, err := server.Client().Get(t.Context(), keyTickets+"7").Bytes()
	if err != nil || bytes.Contains(raw, keys[0][:]) {
		t.Errorf("in Redis: %x, %v", raw, err)
	}
	if life := server.Client().TTL(t.Context(), keyTickets+"7").Val(); life <= 0 || life > ticketTTL {
		t.Errorf("it is kept for %v", life)
	}
	other := NewTickets(newRedis(server), sealer(t, "another secret of 32 bytes or more"))
	if _, err := other.TicketKey(t.Context(), 7); !errors.Is(err, errUnseal) {
		t.Errorf("with another secret: %v", err)
	}
}
