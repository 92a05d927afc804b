package streams

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/revocation"
)

// request is a holder of a test: a request under way until it is told to end.
type request struct {
	stream   Stream
	owner    Owner
	refused  atomic.Bool // by the policies in force
	cause    atomic.Uint32
	finished func(*Stream)
}

func (r *request) Owner() Owner   { return r.owner }
func (r *request) Admitted() bool { return !r.refused.Load() }
func (r *request) End(c Cause) {
	if r.cause.CompareAndSwap(0, uint32(c)) && r.finished != nil {
		go r.finished(&r.stream)
	}
}
func (r *request) ended() Cause { return Cause(r.cause.Load()) }

// world is an index with a revocation list and sessions of the test's own, in a bubble of time.
type world struct {
	*Index
	t *testing.T

	mu      sync.Mutex
	revoked []revocation.Entry
	asked   []string
	answer  func(sid string, issued time.Time) (bool, time.Time, error)
}

func (w *world) listed(o *Owner) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.revoked {
		id := map[revocation.Kind]string{revocation.Token: o.Token, revocation.Session: o.Session, revocation.Subject: o.Subject}[e.Kind]
		if e.Issuer == o.Issuer && e.ID == id && (e.Kind != revocation.Subject || !o.IssuedAt.After(e.Cutoff)) {
			return true
		}
	}
	return false
}

func (w *world) SessionActive(_ context.Context, sid string, issued time.Time) (bool, time.Time, error) {
	w.mu.Lock()
	w.asked = append(w.asked, fmt.Sprintf("%s@%d", sid, issued.Unix()))
	w.mu.Unlock()
	return w.answer(sid, issued)
}

// questions returns what was asked since the last call.
func (w *world) questions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// revoke puts an entry into the list, and then tells of it.
func (w *world) revoke(e revocation.Entry) {
	w.mu.Lock()
	w.revoked = append(w.revoked, e)
	w.mu.Unlock()
	w.Revoke(e)
}

func (w *world) begin(o Owner) *request {
	r := &request{owner: o, finished: w.Finish}
	w.Begin(&r.stream, r, time.Now())
	return r
}

// bubbled runs f with an index whose sessions answer so; nil for none.
func bubbled(t *testing.T, answer func(sid string, issued time.Time) (bool, time.Time, error), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, answer: answer}
		o := Options{Revoked: w.listed, Now: time.Now}
		if answer != nil {
			o.Sessions = w
		}
		w.Index = New(o)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { w.Run(ctx); close(ended) }()
		synctest.Wait()
		f(w)
		cancel()
		<-ended
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

var (
	issued = time.Unix(946684800, 0) // as a bubble's clock begins
	alice  = Owner{Issuer: "own", Token: "t1", Session: "s1", Subject: "alice", IssuedAt: issued, Expires: issued.Add(15 * time.Minute), Own: true}
)

// TestWhatEnds: by token, session and subject up to its moment, and nothing else.
func TestWhatEnds(t *testing.T) {
	t.Parallel()
	later := alice
	later.Token, later.IssuedAt = "t2", issued.Add(time.Minute)
	elsewhere, bob, nobody := alice, alice, Owner{}
	elsewhere.Issuer, bob.Token, bob.Session, bob.Subject = "partner", "t3", "s2", "bob"
	for name, c := range map[string]struct {
		entry revocation.Entry
		ends  []string
	}{
		"token":           {revocation.Entry{Kind: revocation.Token, Issuer: "own", ID: "t1"}, []string{"alice"}},
		"session":         {revocation.Entry{Kind: revocation.Session, Issuer: "own", ID: "s1"}, []string{"alice", "later"}},
		"subject":         {revocation.Entry{Kind: revocation.Subject, Issuer: "own", ID: "alice", Cutoff: issued}, []string{"alice"}},
		"subject-later":   {revocation.Entry{Kind: revocation.Subject, Issuer: "own", ID: "alice", Cutoff: issued.Add(time.Hour)}, []string{"alice", "later"}},
		"subject-before":  {revocation.Entry{Kind: revocation.Subject, Issuer: "own", ID: "alice", Cutoff: issued.Add(-time.Second)}, nil},
		"another-issuer":  {revocation.Entry{Kind: revocation.Session, Issuer: "third", ID: "s1"}, nil},
		"nothing-in-it":   {revocation.Entry{Kind: revocation.Token, Issuer: "", ID: ""}, nil},
		"somebody-else's": {revocation.Entry{Kind: revocation.Session, Issuer: "own", ID: "s9"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bubbled(t, nil, func(w *world) {
				open := map[string]*request{"alice": w.begin(alice), "later": w.begin(later), "elsewhere": w.begin(elsewhere), "bob": w.begin(bob), "nobody": w.begin(nobody)}
				pass(time.Second)
				if w.Len() != len(open) {
					t.Fatalf("%d registered", w.Len())
				}
				w.revoke(c.entry)
				synctest.Wait()
				for name, r := range open {
					want := Cause(0)
					for _, ended := range c.ends {
						if ended == name {
							want = Revoked
						}
					}
					if r.ended() != want {
						t.Errorf("%s: %q, want %q", name, r.ended(), want)
					}
				}
				if w.Len() != len(open)-len(c.ends) {
					t.Errorf("%d are left", w.Len())
				}
			})
		})
	}
}

// TestRevokedBetweenDecisionAndRegistration: neither while it is young nor in the moment of its registration is a revocation lost.
func TestRevokedBetweenDecisionAndRegistration(t *testing.T) {
	t.Parallel()
	bubbled(t, nil, func(w *world) {
		r := w.begin(alice)
		w.revoke(revocation.Entry{Kind: revocation.Session, Issuer: "own", ID: "s1"})
		pass(time.Second - time.Millisecond)
		if r.ended() != Revoked {
			t.Errorf("a stream that was young when it was revoked goes on for %v: %q", time.Second, r.ended())
		}
		upgraded := w.begin(alice) // decided before, as it were
		w.Register(&upgraded.stream)
		if upgraded.ended() != Revoked {
			t.Errorf("a WebSocket that was revoked before it was registered: %q", upgraded.ended())
		}
	})
}

// TestShortRequestsAreNotRegistered.
func TestShortRequestsAreNotRegistered(t *testing.T) {
	t.Parallel()
	bubbled(t, nil, func(w *world) {
		for range 100 {
			r := w.begin(alice)
			time.Sleep(time.Millisecond)
			w.Finish(&r.stream)
		}
		if w.Len() != 0 {
			t.Errorf("%d registered", w.Len())
		}
	})
}

// TestShortRequestsAllocateNothing.
func TestShortRequestsAllocateNothing(t *testing.T) {
	w := New(Options{Now: time.Now})
	r := &request{owner: alice}
	if n := testing.AllocsPerRun(100, func() { w.Begin(&r.stream, r, issued); w.Finish(&r.stream) }); n != 0 {
		t.Errorf("a short request allocates %v times", n)
	}
}

// TestPoliciesThatDoNotAdmit end what is under way, and also what was admitted by the ones before and comes later.
func TestPoliciesThatDoNotAdmit(t *testing.T) {
	t.Parallel()
	bubbled(t, nil, func(w *world) {
		refused, kept, young := w.begin(Owner{}), w.begin(alice), &request{finished: w.Finish}
		pass(time.Second)
		refused.refused.Store(true)
		young.refused.Store(true)
		w.Recheck()
		synctest.Wait()
		if refused.ended() != Policy || kept.ended() != 0 {
			t.Errorf("refused: %q, kept: %q", refused.ended(), kept.ended())
		}
		w.Begin(&young.stream, young, time.Now())
		pass(time.Second)
		if young.ended() != Policy {
			t.Errorf("admitted by the policies before: %q", young.ended())
		}
	})
}

// TestSessionsAreAskedWhenTheTokenHasRunOut: once for all streams of a session, then when the answer says, and by the iat that
// they were admitted with.
func TestSessionsAreAskedWhenTheTokenHasRunOut(t *testing.T) {
	t.Parallel()
	var active atomic.Bool
	active.Store(true)
	bubbled(t, func(string, time.Time) (bool, time.Time, error) { return active.Load(), time.Now().Add(time.Hour), nil }, func(w *world) {
		later := alice
		later.Token, later.IssuedAt, later.Expires = "t2", issued.Add(time.Minute), issued.Add(16*time.Minute)
		open := []*request{w.begin(alice), w.begin(alice), w.begin(later)}
		pass(15*time.Minute - time.Second)
		if asked := w.questions(); len(asked) != 0 {
			t.Errorf("asked %v while the token was good", asked)
		}
		pass(2 * time.Minute)
		if asked := w.questions(); len(asked) != 1 || asked[0] != fmt.Sprintf("s1@%d", issued.Unix()) {
			t.Errorf("asked %v, want once, by the earliest iat", asked)
		}
		// One that comes meanwhile, with a token that the answer covers, is no reason to ask.
		open = append(open, w.begin(later))
		pass(30 * time.Minute)
		if asked := w.questions(); len(asked) != 0 {
			t.Errorf("asked %v before the answer has run out", asked)
		}
		active.Store(false)
		pass(time.Hour)
		for i, r := range open {
			if r.ended() != SessionOver {
				t.Errorf("stream %d of a session that is over: %q", i, r.ended())
			}
		}
		if asked := w.questions(); len(asked) != 2 { // once more for the later iat
			t.Errorf("asked %v", asked)
		}
		if len(w.Index.checks.bySession) != 0 || len(w.Index.checks.pending) != 0 {
			t.Error("a question is left of a session without streams")
		}
	})
}

// TestSessionRevokedUpToAMoment: what was admitted by a later iat goes on.
func TestSessionRevokedUpToAMoment(t *testing.T) {
	t.Parallel()
	moment := issued.Add(30 * time.Second)
	bubbled(t, func(_ string, at time.Time) (bool, time.Time, error) {
		return at.After(moment), time.Now().Add(time.Hour), nil
	}, func(w *world) {
		later := alice
		later.IssuedAt = issued.Add(time.Minute)
		before, after := w.begin(alice), w.begin(later)
		pass(20 * time.Minute)
		if before.ended() != SessionOver || after.ended() != 0 {
			t.Errorf("admitted before the moment: %q, after it: %q", before.ended(), after.ended())
		}
	})
}

// TestSessionsThatCannotBeAskedAbout go on for a quarter of an hour, and are asked about seldom.
func TestSessionsThatCannotBeAskedAbout(t *testing.T) {
	t.Parallel()
	bubbled(t, func(string, time.Time) (bool, time.Time, error) { return false, time.Time{}, errors.New("away") }, func(w *world) {
		foreign := alice
		foreign.Issuer, foreign.Own = "partner", false
		r, other := w.begin(alice), w.begin(foreign)
		pass(29 * time.Minute)
		if r.ended() != 0 {
			t.Errorf("after 14 minutes without an answer: %q", r.ended())
		}
		if n := len(w.questions()); n < 10 || n > 25 {
			t.Errorf("asked %d times in 14 minutes", n)
		}
		pass(3 * time.Minute)
		if r.ended() != SessionOver {
			t.Errorf("after 17 minutes without an answer: %q", r.ended())
		}
		if other.ended() != 0 {
			t.Errorf("a token of another issuer: %q", other.ended())
		}
	})
}

// TestDrain waits for what ends by itself, and ends the rest when its time is over.
func TestDrain(t *testing.T) {
	t.Parallel()
	bubbled(t, nil, func(w *world) {
		r := w.begin(alice)
		pass(time.Second)
		time.AfterFunc(5*time.Second, func() { w.Finish(&r.stream) })
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		began := time.Now()
		w.Drain(ctx)
		if took := time.Since(began); took != 5*time.Second || r.ended() != 0 {
			t.Errorf("drained after %v, ended by %q; want 5 s, and by itself", took, r.ended())
		}
	})
	bubbled(t, nil, func(w *world) {
		long, young, kept := w.begin(alice), w.begin(alice), &request{owner: alice} // which does not end when it is told to
		w.Register(&long.stream)
		w.Begin(&kept.stream, kept, time.Now())
		w.Register(&kept.stream)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		began := time.Now()
		w.Drain(ctx)
		if took := time.Since(began); took != drainTimeout {
			t.Errorf("drained after %v", took)
		}
		for _, r := range []*request{long, young, kept} {
			if r.ended() != Drain {
				t.Errorf("ended by %q", r.ended())
			}
		}
		late := w.begin(alice)
		w.Register(&late.stream)
		if late.ended() != Drain {
			t.Errorf("what comes when all was ended: %q", late.ended())
		}
		w.Finish(&kept.stream)
	})
}

// TestManyAtOnce is for the race detector: streams come, end and are revoked from everywhere, and of those whose session
// was revoked none is left.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := &world{t: t}
	w.Index = New(Options{Revoked: w.listed, Now: time.Now})
	ctx, cancel := context.WithCancel(t.Context())
	var running, clients sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	const sessions = 8
	var open sync.Map
	for n := range 8 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 1))
			for i := range 200 {
				o := alice
				o.Session, o.Token = fmt.Sprint("s", i%sessions), fmt.Sprint("t", n, "-", i)
				r := &request{owner: o}
				r.finished = func(s *Stream) { w.Finish(s); open.Delete(r) }
				open.Store(r, true)
				w.Begin(&r.stream, r, time.Now())
				if random.IntN(2) == 0 {
					w.Register(&r.stream)
				}
				switch random.IntN(4) {
				case 0:
					w.Finish(&r.stream)
					open.Delete(r)
				case 1:
					w.Recheck()
				}
			}
		})
	}
	for s := range sessions {
		clients.Go(func() { w.revoke(revocation.Entry{Kind: revocation.Session, Issuer: "own", ID: fmt.Sprint("s", s)}) })
	}
	clients.Wait()
	for {
		left := 0
		open.Range(func(any, any) bool { left++; return true })
		if left == 0 {
			break
		}
		runtime.Gosched()
	}
	if w.Len() != 0 {
		t.Errorf("%d are left", w.Len())
	}
	cancel()
	running.Wait()
}

// TestWhatAStreamCosts says how many bytes an open stream takes in the index.
func TestWhatAStreamCosts(t *testing.T) {
	const open = 4000
	w := New(Options{Revoked: func(*Owner) bool { return false }, Now: time.Now})
	requests := make([]request, open)
	for n := range requests {
		requests[n].owner = alice
		requests[n].owner.Token, requests[n].owner.Session, requests[n].owner.Subject = fmt.Sprint("t", n), fmt.Sprint("s", n), fmt.Sprint("u", n)
	}
	before := heapInUse()
	for n := range requests {
		w.Begin(&requests[n].stream, &requests[n], issued)
		w.Register(&requests[n].stream)
	}
	each := (heapInUse() - before) / open
	t.Logf("%d bytes for each of %d streams, each of somebody else", each, open)
	if each > 768 {
		t.Errorf("%d bytes for each stream", each)
	}
	runtime.KeepAlive(w)
	runtime.KeepAlive(requests)
}

// heapInUse is how many bytes are in use.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
