package revocation

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/database"
)

// A store is where a log keeps its entries; the contract holds for every store.
type store struct {
	open func() Log // another handle on the same entries
	wipe func()     // loses all of them
	size func() int // how many there are
}

var stores = map[string]func(t *testing.T) store{
	"a table": func(t *testing.T) store { return embedded(t, newDatabase(t)) },
	"the embedded database": func(t *testing.T) store {
		db, err := database.Open(t.Context(), filepath.Join(t.TempDir(), "vilogate.db"), database.Options{Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closing(t, db) })
		return embedded(t, db.SQL())
	},
	"redis and a database": func(t *testing.T) store {
		s, db := newServer(t), newDatabase(t)
		return store{
			open: func() Log { return keep(t, s.open(), db) },
			wipe: func() {
				if _, err := db.Exec("DELETE FROM revocations"); err != nil {
					t.Fatal(err)
				}
				s.Do("FLUSHALL")
			},
			size: func() int { return int(s.Number("ZCARD", keyIndex)) },
		}
	},
	"redis": func(t *testing.T) store {
		s := newServer(t)
		return store{
			open: func() Log { return s.open() },
			wipe: func() { s.Do("FLUSHALL") },
			size: func() int { return int(s.Number("ZCARD", keyIndex)) },
		}
	},
}

func embedded(t *testing.T, db *sql.DB) store {
	return store{
		open: func() Log {
			log, err := OpenSQL(db)
			if err != nil {
				t.Fatal(err)
			}
			log.timeout = waitTimeout
			return log
		},
		wipe: func() {
			if _, err := db.Exec("DELETE FROM revocations"); err != nil {
				t.Fatal(err)
			}
		},
		size: func() (n int) {
			if err := db.QueryRow("SELECT count(*) FROM revocations").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		},
	}
}

// contract runs a test over every store.
func contract(t *testing.T, f func(t *testing.T, s store)) {
	t.Parallel()
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, open(t))
		})
	}
}

// TestWhatIsRevokedIsRefused: at the list that published it once Publish returns, and at every list started afterwards.
func TestWhatIsRevokedIsRefused(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	end := now.Add(time.Hour)
	const foreign = "partner"
	published := []Entry{
		{Kind: Token, Issuer: ours, ID: "jti-1", Expires: end},
		{Kind: Session, Issuer: ours, ID: "sid-1", Expires: end},
		{Kind: Subject, Issuer: ours, ID: "sub-1", Cutoff: now, Expires: end},
		{Kind: Subject, Issuer: foreign, ID: "partner:sub-1", Cutoff: now.Add(900 * time.Millisecond), Expires: end},
	}
	for i := range 1234 { // more than fit one command
		published = append(published, Entry{Kind: Session, Issuer: foreign, ID: fmt.Sprintf("many-%d", i), Expires: end})
	}
	type token struct {
		issuer, jti, sid, sub string
		iat                   time.Time
	}
	tokens := map[token]bool{
		{ours, "jti-1", "", "", now}:                                   true,
		{foreign, "jti-1", "", "", now}:                                false,
		{ours, "jti-2", "jti-1", "jti-1", now}:                         false,
		{ours, "jti-2", "sid-1", "sub-2", now}:                         true,
		{ours, "sid-1", "sid-2", "sid-1", now}:                         false,
		{foreign, "", "sid-1", "", now}:                                false,
		{ours, "jti-2", "sid-2", "sub-1", now}:                         true,
		{ours, "jti-2", "sid-2", "sub-1", now.Add(-time.Hour)}:         true,
		{ours, "jti-2", "sid-2", "sub-1", now.Add(time.Second)}:        false,
		{foreign, "", "", "sub-1", now}:                                false,
		{foreign, "", "", "partner:sub-1", now}:                        true,
		{foreign, "", "", "partner:sub-1", now.Add(time.Second)}:       false,
		{foreign, "", "many-0", "", now}:                               true,
		{foreign, "", "many-1233", "", now}:                            true,
		{foreign, "", "many-1234", "", now}:                            false,
		{ours, "", "", "", now}:                                        false,
		{"", "", "", "", time.Time{}}:                                  false,
		{ours, "jti-1 ", "SID-1", "sub-1\x00", now}:                    false,
		{ours, strings.Repeat("x", 5000), "", "partner:sub-1", now}:    false,
		{ours, "jti-2", "sid-2", "sub-1", time.Time{}}:                 true,
		{ours, "jti-2", "sid-2", "sub-1", now.Add(999 * time.Second)}:  false,
		{ours, "jti-2", "sid-2", "sub-1", now.Add(-time.Microsecond)}:  true,
		{ours, "jti-2", "sid-2", "sub-1", now.Add(time.Second - 1)}:    true, // an iat counts in whole seconds
		{foreign, "jti-2", "sid-2", "sub-2", now.Add(-24 * time.Hour)}: false,
	}
	check := func(t *testing.T, where string, l *List) {
		t.Helper()
		for k, want := range tokens {
			if got := l.Revoked(k.issuer, k.jti, k.sid, k.sub, k.iat); got != want {
				t.Errorf("%s: %+v: revoked %v, want %v", where, k, got, want)
			}
		}
		if !l.SessionRevoked(ours, "sid-1") || l.SessionRevoked(foreign, "sid-1") || l.SessionRevoked(ours, "jti-1") {
			t.Errorf("%s: SessionRevoked is wrong", where)
		}
		if m, ok := l.SubjectCutoff(foreign, "partner:sub-1"); !ok || !m.Equal(now) {
			t.Errorf("%s: SubjectMoment is %v, %v", where, m, ok)
		}
		if _, ok := l.SubjectCutoff(ours, "partner:sub-1"); ok {
			t.Errorf("%s: SubjectMoment knows a subject of another issuer", where)
		}
		if s := l.Stats(); s.Entries != len(published) || s.Rejected != 0 || s.LastSync.IsZero() {
			t.Errorf("%s: %+v", where, s)
		}
	}
	contract(t, func(t *testing.T, s store) {
		first, _ := running(t, s.open(), Options{})
		publish(t, first, published...)
		check(t, "the publisher", first)
		later, _ := running(t, s.open(), Options{})
		check(t, "a list started later", later)
	})
}

// TestReplayAndReorderChangeNothing: entries of one name are merged, in any order and any number of times.
func TestReplayAndReorderChangeNothing(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	at := func(moment, end int) Entry {
		return Entry{
			Kind: Subject, Issuer: ours, ID: "sub", Cutoff: now.Add(time.Duration(moment) * time.Minute),
			Expires: now.Add(time.Duration(end) * time.Hour),
		}
	}
	orders := [][]Entry{
		{at(1, 1), at(2, 2), at(3, 3)},
		{at(3, 3), at(2, 2), at(1, 1), at(3, 3), at(1, 1)},
		{at(3, 1), at(1, 3)},
		{at(1, 3), at(3, 1), at(1, 3)},
	}
	contract(t, func(t *testing.T, s store) {
		for i, order := range orders {
			s.wipe()
			log := s.open()
			for _, e := range order {
				appendTo(t, log, e)
			}
			c := &clock{}
			l, stop := running(t, s.open(), Options{Now: c.now})
			if m, _ := l.SubjectCutoff(ours, "sub"); !m.Equal(now.Add(3 * time.Minute)) {
				t.Errorf("order %d: the moment is %v", i, m)
			}
			c.advance(2*time.Hour + time.Minute)
			l.table.purge(c.now().Unix())
			if _, ok := l.SubjectCutoff(ours, "sub"); !ok {
				t.Errorf("order %d: forgotten before the latest end", i)
			}
			stop()
		}
	})
}

// TestBadEntriesAreRefusedWhole: one that cannot be, and nothing of its batch is written.
func TestBadEntriesAreRefusedWhole(t *testing.T) {
	good := session("good")
	change := func(f func(*Entry)) Entry {
		e := session("bad")
		f(&e)
		return e
	}
	bad := map[string]Entry{
		"no kind":           change(func(e *Entry) { e.Kind = 0 }),
		"an unknown kind":   change(func(e *Entry) { e.Kind = Subject + 1 }),
		"no issuer":         change(func(e *Entry) { e.Issuer = "" }),
		"a long issuer":     change(func(e *Entry) { e.Issuer = strings.Repeat("i", maxIssuer+1) }),
		"no id":             change(func(e *Entry) { e.ID = "" }),
		"a long id":         change(func(e *Entry) { e.ID = strings.Repeat("i", maxID+1) }),
		"a control byte":    change(func(e *Entry) { e.ID = "a\nb" }),
		"a space":           change(func(e *Entry) { e.ID = "a b" }),
		"not ASCII":         change(func(e *Entry) { e.ID = "ä" }),
		"no end":            change(func(e *Entry) { e.Expires = time.Time{} }),
		"a far end":         change(func(e *Entry) { e.Expires = time.Unix(maxTime+1, 0) }),
		"no moment":         change(func(e *Entry) { e.Kind = Subject }),
		"a far moment":      change(func(e *Entry) { e.Kind, e.Cutoff = Subject, time.Unix(maxTime+1, 0) }),
		"before the moment": change(func(e *Entry) { e.Kind, e.Cutoff = Subject, time.Unix(-1, 0) }),
	}
	contract(t, func(t *testing.T, s store) {
		l, _ := running(t, s.open(), Options{})
		for name, e := range bad {
			if err := l.Publish(context.Background(), good, e); err == nil {
				t.Errorf("%s was accepted", name)
			}
		}
		if n := s.size(); n != 0 || l.Stats().Entries != 0 {
			t.Errorf("%d entries were written", n)
		}
		if err := l.Publish(context.Background()); err != nil {
			t.Errorf("publishing nothing: %v", err)
		}
	})
}

// TestALostLogIsFilledAgain: a list that follows a log which has lost its entries puts them back, but for those that have
// expired; a list started afterwards refuses.
func TestALostLogIsFilledAgain(t *testing.T) {
	contract(t, func(t *testing.T, s store) {
		c := &clock{}
		l := NewList(s.open(), Options{Now: c.now})
		long, short := session("long"), session("short")
		short.Expires = time.Now().Add(time.Minute)
		publish(t, l, long, short)
		s.wipe()
		c.advance(2 * time.Minute)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		eventually(t, "the entry is put back", func() bool { return s.size() == 1 })
		third, _ := running(t, s.open(), Options{})
		if !third.SessionRevoked(ours, "long") || third.SessionRevoked(ours, "short") {
			t.Error("put back is not what had not expired")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestManyPublishAtOnce: nothing that was acknowledged is missing, whoever writes at the same time.
func TestManyPublishAtOnce(t *testing.T) {
	contract(t, func(t *testing.T, s store) {
		lists := make([]*List, 2)
		lists[0], _ = running(t, s.open(), Options{})
		lists[1] = lists[0]
		var writers sync.WaitGroup
		const each = 50
		for w := range 8 {
			writers.Go(func() {
				l := lists[w%2]
				for i := range each {
					id := fmt.Sprintf("%d-%d", w, i)
					if err := l.Publish(context.Background(), session(id), session("shared")); err != nil {
						t.Errorf("Publish: %v", err)
					}
					if !l.SessionRevoked(ours, id) {
						t.Errorf("%s is not refused right after Publish", id)
					}
				}
			})
		}
		writers.Wait()
		later, _ := running(t, s.open(), Options{})
		for w := range 8 {
			for i := range each {
				if id := fmt.Sprintf("%d-%d", w, i); !later.SessionRevoked(ours, id) {
					t.Errorf("%s is missing", id)
				}
			}
		}
		if n := later.Stats().Entries; n != 8*each+1 {
			t.Errorf("%d entries", n)
		}
	})
}

// TestExpiredEntriesAreDropped from memory, and not loaded again.
func TestExpiredEntriesAreDropped(t *testing.T) {
	contract(t, func(t *testing.T, s store) {
		c := &clock{}
		l, stop := running(t, s.open(), Options{Now: c.now})
		for i := range 300 {
			publish(t, l, session(fmt.Sprint(i)))
		}
		kept := session("kept")
		kept.Expires = time.Now().Add(3 * time.Hour)
		publish(t, l, kept)
		c.advance(2 * time.Hour)
		l.table.purge(c.now().Unix())
		if got := l.Stats().Entries; got != 1 || !l.SessionRevoked(ours, "kept") {
			t.Errorf("%d entries are left", got)
		}
		if got := len(*l.table.slots.Load()); got != minSlots {
			t.Errorf("the table still has %d slots", got)
		}
		stop()
		later, _ := running(t, s.open(), Options{Now: c.now})
		if got := later.Stats().Entries; got != 1 {
			t.Errorf("a list started later has %d entries", got)
		}
	})
}

// TestNothingIsWrittenForWhoHasGone: a context that has ended is an error, and an error is not applied.
func TestNothingIsWrittenForWhoHasGone(t *testing.T) {
	contract(t, func(t *testing.T, s store) {
		l, _ := running(t, s.open(), Options{})
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := l.Publish(ctx, session("s")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if l.SessionRevoked(ours, "s") {
			t.Error("refused without an acknowledgement")
		}
	})
}

// TestWhatArrivesIsTold: to who asks for it, once it is known to the list, whether it was published here or elsewhere, and once
// as long as nothing more is said.
func TestWhatArrivesIsTold(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	contract(t, func(t *testing.T, s store) {
		before := Entry{Kind: Session, Issuer: ours, ID: "before", Expires: now.Add(time.Hour)}
		appendTo(t, s.open(), before)
		var mu sync.Mutex
		var told []Entry
		l := NewList(s.open(), Options{})
		l.Notify(func(e Entry) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, e)
			if e.Kind == Session && !l.SessionRevoked(e.Issuer, e.ID) {
				t.Errorf("told of %v before it was known", e)
			}
		})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		eventually(t, "the list is ready", l.Ready)
		subject := Entry{Kind: Subject, Issuer: ours, ID: "sub", Cutoff: now, Expires: now.Add(time.Hour)}
		later := subject
		later.Cutoff = now.Add(time.Minute)
		publish(t, l, subject, subject)
		publish(t, l, later)
		publish(t, l, subject) // which says less
		last := Entry{Kind: Token, Issuer: ours, ID: "last", Expires: now.Add(time.Hour)}
		publish(t, l, last)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		want := []Entry{before, subject, later, last}
		if fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told of\n%v, want\n%v", told, want)
		}
	})
}
