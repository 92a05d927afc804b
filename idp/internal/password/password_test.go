package password

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

// cheap is a cost at which tests stay quick.
var cheap = Cost{Memory: 64, Time: 1, Threads: 1}

func newPool(tb testing.TB, workers, waiting int) *Pool {
	tb.Helper()
	p, err := NewPool(cheap, workers, waiting)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestAHashKnowsItsPassword(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2, 2)
	hash, err := p.Hash(t.Context(), Client{}, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=64,t=1,p=1$") || strings.Contains(hash, "horse") {
		t.Errorf("hash %q", hash)
	}
	if again, err := p.Hash(t.Context(), Client{}, "correct horse"); err != nil || again == hash {
		t.Errorf("two hashes of one password are the same: %q, %v", again, err)
	}
	for password, want := range map[string]bool{"correct horse": true, "correct horse ": false, "Correct horse": false, "": false} {
		if got, err := p.Check(t.Context(), Client{}, hash, password); err != nil || got != want {
			t.Errorf("%q: %t, %v", password, got, err)
		}
	}
}

func TestAPasswordHasOneNormalForm(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 1)
	hash, err := p.Hash(t.Context(), Client{}, "caf\u00e9 1\u3000abc")
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]bool{
		"caf\u00e9 1\u3000abc": true, "cafe\u0301 1 abc": true, "\uff43afe\u0301 \uff11 abc": true,
		"cafe 1 abc": false, "Caf\u00e9 1 abc": false, "caf\xe9 1 abc": false,
	} {
		if got, err := p.Check(t.Context(), Client{}, hash, password); err != nil || got != want {
			t.Errorf("%q: %t, %v", password, got, err)
		}
	}
}

func TestAHashOfAnotherCostIsCheckedAndOutdated(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 1)
	older, err := NewPool(Cost{Memory: 32, Time: 2, Threads: 2}, 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	hash, err := older.Hash(t.Context(), Client{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := p.Check(t.Context(), Client{}, hash, "x"); !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if !p.NeedsRehash(hash) || older.NeedsRehash(hash) {
		t.Error("a hash is outdated where its cost differs, and there alone")
	}
}

func TestNobodyCostsAsMuchAsSomebody(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 1)
	hash, err := p.Hash(t.Context(), Client{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	p.onHash = func() { count.Add(1) }
	for _, stored := range []string{hash, ""} {
		count.Store(0)
		if ok, err := p.Check(t.Context(), Client{}, stored, "wrong"); ok || err != nil || count.Load() != 1 {
			t.Errorf("stored %q: %t, %v, %d hashes", stored, ok, err, count.Load())
		}
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	t.Parallel()
	const workers, waiting = 2, 3
	p := newPool(t, workers, waiting)
	working, release := make(chan struct{}), make(chan struct{})
	p.onHash = func() { working <- struct{}{}; <-release }
	results := make(chan error)
	for range workers + waiting {
		go func() {
			_, err := p.Check(context.Background(), Client{}, "", "x")
			results <- err
		}()
	}
	for range workers {
		<-working
	}
	p.awaitWaiting(t, 0, waiting)
	if _, err := p.Check(t.Context(), Client{}, "", "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("one too many: %v, want ErrBusy", err)
	}
	go func() {
		for range waiting {
			<-working
		}
	}()
	close(release)
	for range workers + waiting {
		if err := <-results; err != nil {
			t.Errorf("one who waited: %v", err)
		}
	}
}

func TestWhoLeavesTheQueueMakesRoom(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 1)
	if _, err := p.queue.acquire(t.Context(), Client{}); err != nil { // the only worker is busy
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 5 {
		if _, err := p.Hash(ctx, Client{}, "x"); !errors.Is(err, context.Canceled) {
			t.Fatalf("%v, want context.Canceled", err)
		}
	}
}

func TestImpossibleHashesAreRefused(t *testing.T) {
	t.Parallel()
	p := newPool(t, 1, 1)
	good, err := p.Hash(t.Context(), Client{}, "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{
		"x", "$argon2id$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "p=1", "p=0", 1),
		strings.Replace(good, "m=64", "m=064", 1), good + "A", good[:len(good)-1], good + "$", " " + good,
	} {
		if ok, err := p.Check(t.Context(), Client{}, hash, "x"); ok || err == nil {
			t.Errorf("%q: %t, %v", hash, ok, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=1,t=1$$")
	f.Fuzz(func(t *testing.T, hash string) {
		cost, salt, key, err := parse(hash)
		if err == nil && format(cost, salt, key) != hash {
			t.Errorf("%q is read, and written otherwise", hash)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	p, err := NewPool(DefaultCost(), 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Hash(b.Context(), Client{}, "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
