package posts_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

const secret = "a secret of the tests, of 32 bytes and more"

// waitTimeout ends a test that hangs.
const waitTimeout = 2 * time.Minute

// world is a keeper over a store, and another of the same fleet.
type world struct {
	keeper, other *posts.Keeper
	total         int                 // bytes of all together
	pass          func(tb testing.TB) // has the time of what is kept end
}

// stores are those that the contract holds for; life is how long they keep a post, 0 for posts.Lifetime.
var stores = map[string]func(t *testing.T, life time.Duration) world{
	"memory": func(t *testing.T, life time.Duration) world {
		var ahead atomic.Int64
		k := newKeeper(t, posts.Options{MaxBody: 8 << 20, Now: func() time.Time { return time.Unix(1_800_000_000, ahead.Load()) }})
		return world{k, k, posts.Total, func(testing.TB) { ahead.Add(int64(posts.Lifetime)) }}
	},
	"redis": func(t *testing.T, life time.Duration) world {
		const total = 1 << 20 // more would only take longer
		server := redistest.New(t)
		if life == 0 {
			life = posts.Lifetime
		}
		open := func() *posts.Keeper {
			r, err := revocation.OpenRedis(revocation.RedisOptions{URL: server.URL(), Secret: []byte(secret), Timeout: waitTimeout})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			return newKeeper(t, posts.Options{MaxBody: 8 << 20, Secret: []byte(secret), Store: r.Posts(revocation.PostBounds{
				Lifetime: life, PerSender: posts.PerBrowser, Total: total, Overhead: posts.Overhead,
			})})
		}
		return world{open(), open(), total, func(t testing.TB) {
			t.Helper()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for deadline := time.Now().Add(waitTimeout); server.Number("EXISTS", "vilogate:{fleet}:posts") > 0; <-tick.C {
				if time.Now().After(deadline) {
					t.Fatal("what is kept never ends")
				}
			}
		}}
	},
}

func newKeeper(t *testing.T, o posts.Options) *posts.Keeper {
	t.Helper()
	k, err := posts.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func each(t *testing.T, life time.Duration, test func(t *testing.T, w world)) {
	t.Helper()
	for name, make := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, make(t, life))
		})
	}
}

func owner(session string) posts.Owner {
	return posts.Owner{Issuer: "vilogate", Subject: "u-1", Session: session}
}

func keep(t *testing.T, k *posts.Keeper, session, body string) string {
	t.Helper()
	id, err := k.Keep(context.Background(), &posts.Post{Owner: owner(session), URL: "https://a.example/x?y", ContentType: "text/x; a=\"b\n\"", Body: []byte(body)})
	if err != nil {
		t.Fatalf("Keep: %v", err)
	}
	return id
}

func TestWhatIsKeptComesBackOnce(t *testing.T) {
	t.Parallel()
	each(t, 0, func(t *testing.T, w world) {
		const body = "{}\n\x00\xff\n"
		id := keep(t, w.keeper, "s-1", body)
		if !posts.IsID(id) || !w.other.Proves(id, w.keeper.Proof(id)) || w.other.Proves(id, w.keeper.Proof(keep(t, w.keeper, "s-1", ""))) {
			t.Errorf("the id %q, or its proof", id)
		}
		for range 2 {
			got, err := w.other.Find(context.Background(), id)
			if err != nil || string(got.Body) != body || got.Owner != owner("s-1") || got.URL != "https://a.example/x?y" || got.ContentType != "text/x; a=\"b\n\"" {
				t.Fatalf("Find: %+v, %v", got, err)
			}
		}
		var once atomic.Int32
		var all sync.WaitGroup
		for _, k := range []*posts.Keeper{w.keeper, w.other, w.keeper, w.other} {
			all.Go(func() {
				got, err := k.Take(context.Background(), owner("s-1"), id)
				switch {
				case err == nil && string(got.Body) == body:
					once.Add(1)
				case !errors.Is(err, posts.ErrGone):
					t.Errorf("Take: %+v, %v", got, err)
				}
			})
		}
		all.Wait()
		if once.Load() != 1 {
			t.Errorf("it was taken %d times", once.Load())
		}
		if _, err := w.keeper.Find(context.Background(), id); !errors.Is(err, posts.ErrGone) {
			t.Errorf("Find afterwards: %v", err)
		}
	})
}

func TestABrowserHasEight(t *testing.T) {
	t.Parallel()
	each(t, 0, func(t *testing.T, w world) {
		var last string
		for i := range posts.PerBrowser {
			last = keep(t, w.keeper, "s-1", fmt.Sprint(i))
		}
		ninth := &posts.Post{Owner: owner("s-1")}
		if _, err := w.other.Keep(context.Background(), ninth); !errors.Is(err, posts.ErrFull) {
			t.Errorf("the ninth: %v", err)
		}
		keep(t, w.keeper, "s-2", "another browser's")
		if _, err := w.keeper.Take(context.Background(), owner("s-1"), last); err != nil {
			t.Fatal(err)
		}
		if _, err := w.other.Keep(context.Background(), ninth); err != nil {
			t.Errorf("the ninth, when one was taken: %v", err)
		}
	})
}

func TestAllTogetherHaveABound(t *testing.T) {
	t.Parallel()
	each(t, 0, func(t *testing.T, w world) {
		eighth := w.total / 8
		large := strings.Repeat("x", eighth)
		var last string
		for i := range 7 {
			last = keep(t, w.keeper, fmt.Sprint("s-", i), large)
		}
		more := &posts.Post{Owner: owner("s-more"), Body: []byte(large)}
		if _, err := w.keeper.Keep(context.Background(), more); !errors.Is(err, posts.ErrFull) {
			t.Errorf("more than all may have: %v", err)
		}
		keep(t, w.keeper, "s-small", strings.Repeat("x", eighth*7/8))
		if _, err := w.keeper.Take(context.Background(), owner("s-6"), last); err != nil {
			t.Fatal(err)
		}
		if _, err := w.keeper.Keep(context.Background(), more); err != nil {
			t.Errorf("when as much was taken: %v", err)
		}
	})
}

func TestNothingIsKeptForLonger(t *testing.T) {
	t.Parallel()
	each(t, 2*time.Second, func(t *testing.T, w world) {
		var ids []string
		for range posts.PerBrowser {
			ids = append(ids, keep(t, w.keeper, "s-1", "x"))
		}
		w.pass(t)
		for _, id := range ids {
			if _, err := w.keeper.Take(context.Background(), owner("s-1"), id); !errors.Is(err, posts.ErrGone) {
				t.Errorf("after its time: %v", err)
			}
		}
		keep(t, w.keeper, "s-1", "x") // there is room again
	})
}

func TestAStoreSeesNeitherNamesNorContent(t *testing.T) {
	t.Parallel()
	seen := &spy{}
	k := newKeeper(t, posts.Options{MaxBody: 1 << 10, Secret: []byte(secret), Store: seen})
	id := keep(t, k, "s-secret", "content-secret")
	for _, text := range []string{"u-1", "s-secret", "content-secret", "a.example"} {
		if strings.Contains(seen.owner+seen.value, text) {
			t.Errorf("the store sees %q", text)
		}
	}
	if _, err := k.Find(context.Background(), id); err != nil {
		t.Errorf("Find: %v", err)
	}
	if _, err := k.Find(context.Background(), strings.Repeat("A", posts.IDLength)); !errors.Is(err, posts.ErrGone) {
		t.Errorf("what was put under another id: %v", err)
	}
	if _, err := newKeeper(t, posts.Options{MaxBody: 1 << 10, Secret: []byte(secret + "x"), Store: seen}).Find(context.Background(), id); !errors.Is(err, posts.ErrGone) {
		t.Errorf("who knows another secret: %v", err)
	}
}

func TestAnOwnerIsSealedForAsLong(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	k := newKeeper(t, posts.Options{MaxBody: 1 << 10, Secret: []byte(secret), Store: &spy{}, Now: clock})
	text, err := k.SealOwner(owner("s-1"))
	if err != nil {
		t.Fatal(err)
	}
	other := newKeeper(t, posts.Options{MaxBody: 1 << 10, Secret: []byte(secret), Store: &spy{}, Now: clock})
	if got, ok := other.OpenOwner(text); !ok || got != owner("s-1") {
		t.Errorf("in the same fleet: %v %v", got, ok)
	}
	stranger := newKeeper(t, posts.Options{MaxBody: 1 << 10, Now: clock})
	for name, opened := range map[string]func() (posts.Owner, bool){
		"who knows another secret": func() (posts.Owner, bool) { return stranger.OpenOwner(text) },
		"another text":             func() (posts.Owner, bool) { return k.OpenOwner("A" + text) },
		"no text":                  func() (posts.Owner, bool) { return k.OpenOwner("") },
		"after its time": func() (posts.Owner, bool) {
			now = now.Add(posts.Lifetime)
			defer func() { now = now.Add(-posts.Lifetime) }()
			return k.OpenOwner(text)
		},
	} {
		if got, ok := opened(); ok {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// spy is a store of one value.
type spy struct{ owner, value string }

func (s *spy) Put(_ context.Context, owner, _ string, value []byte) (bool, error) {
	s.owner, s.value = owner, string(value)
	return true, nil
}

func (s *spy) Get(context.Context, string) ([]byte, error) { return []byte(s.value), nil }

func (s *spy) Take(context.Context, string, string) ([]byte, error) { return []byte(s.value), nil }

func TestBodiesThatAreBeingReceivedHaveABound(t *testing.T) {
	t.Parallel()
	k := newKeeper(t, posts.Options{MaxBody: 1 << 10})
	release, ok := k.Reserve(posts.Total)
	if !ok {
		t.Fatal("nothing can be received")
	}
	if _, ok := k.Reserve(1); ok {
		t.Error("more than all may have")
	}
	release()
	if _, ok := k.Reserve(1); !ok {
		t.Error("nothing was given back")
	}
}
