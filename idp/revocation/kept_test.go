package revocation

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

func keep(t testing.TB, r *Redis, db *sql.DB) *Kept {
	t.Helper()
	k, err := Keep(r, db)
	if err != nil {
		t.Fatal(err)
	}
	k.table.timeout = waitTimeout
	return k
}

// rows counts the entries of a database.
func rows(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM revocations").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWhatEverybodyForgotIsRestoredFromTheDatabase: what the identity provider published, and what it heard of, is back in a
// Redis that comes back empty while no list runs that remembers it; and a gateway that starts meanwhile does not go on
// without it.
func TestWhatEverybodyForgotIsRestoredFromTheDatabase(t *testing.T) {
	t.Parallel()
	s, db := newServer(t), newDatabase(t)
	idp, stopIDP := running(t, keep(t, s.open(), db), Options{})
	gateway, stopGateway := running(t, s.open(), Options{})
	publish(t, idp, session("published"))
	var many []Entry
	for i := range 3*batch + 7 { // more than a page, and more than a transaction
		many = append(many, session(fmt.Sprintf("many-%d", i)))
	}
	publish(t, gateway, append(many, session("heard"))...)
	eventually(t, "all of it is in the database", func() bool { return rows(t, db) == len(many)+2 })
	stopGateway()
	stopIDP()
	s.Do("FLUSHALL")

	waiting := s.open()
	waiting.awaitRestore, waiting.restoreTimeout = true, waitTimeout
	gateway = NewList(waiting, Options{})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- gateway.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the gateway asks Redis", func() bool { return strings.Contains(fmt.Sprint(s.Do("INFO", "commandstats")), "cmdstat_get:") })
	if gateway.Ready() {
		t.Error("a gateway goes on before the identity provider has said what there is")
	}
	idp, _ = running(t, keep(t, s.open(), db), Options{})
	eventually(t, "the gateway goes on", gateway.Ready)
	for name, l := range map[string]*List{"the gateway": gateway, "the identity provider": idp} {
		for _, id := range []string{"published", "heard", "many-0", fmt.Sprintf("many-%d", len(many)-1)} {
			if !l.SessionRevoked(ours, id) {
				t.Errorf("%s does not know %s", name, id)
			}
		}
	}
	if waiting.Unrestored() {
		t.Error("a gateway that was told all says that it was not")
	}
	s.Do("FLUSHALL") // under running processes
	eventually(t, "Redis holds all of it again, and it is said", func() bool {
		return s.Number("ZCARD", keyIndex) == int64(len(many)+2) && s.Number("EXISTS", keyRestored) == 1
	})
}

// TestTheDatabaseForgetsWhatHasEnded: nothing grows for ever, and what the database holds already is not written again.
func TestTheDatabaseForgetsWhatHasEnded(t *testing.T) {
	t.Parallel()
	s, db := newServer(t), newDatabase(t)
	now := &clock{}
	r := s.open()
	r.reconcileEvery = 50 * time.Millisecond
	idp, _ := running(t, keep(t, r, db), Options{Now: now.now})
	short, long := session("short"), session("long")
	short.Expires = time.Now().Add(time.Minute)
	publish(t, idp, short, long)
	if n := rows(t, db); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
	now.advance(2 * time.Minute)
	eventually(t, "the one that has ended is gone", func() bool { return rows(t, db) == 1 })
	log := keep(t, s.open(), db)
	lacking, err := log.table.lacking(t.Context(), []Entry{short, long, session("new")}, now.now())
	if err != nil || len(lacking) != 1 || lacking[0].ID != "new" {
		t.Errorf("the database lacks %v (%v), want the new one alone", lacking, err)
	}
}

// TestMissingIsWhatNoOtherIncludes: by the later of each time.
func TestMissingIsWhatNoOtherIncludes(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	subject := func(cutoff, expires int) Entry {
		return Entry{Kind: Subject, Issuer: ours, ID: "s", Cutoff: now.Add(time.Duration(cutoff) * time.Second), Expires: now.Add(time.Duration(expires) * time.Second)}
	}
	for _, c := range []struct {
		entry  Entry
		others []Entry
		want   int
	}{
		{subject(1, 1), nil, 1},
		{subject(1, 0), nil, 0}, // has ended
		{subject(1, 1), []Entry{subject(1, 1)}, 0},
		{subject(1, 1), []Entry{subject(2, 1)}, 0},
		{subject(2, 1), []Entry{subject(1, 2)}, 1},
		{subject(2, 2), []Entry{subject(2, 1), subject(1, 2)}, 0},
		{session("s"), []Entry{subject(1, 1)}, 1},
	} {
		if got := missing([]Entry{c.entry}, c.others, now); len(got) != c.want {
			t.Errorf("%v beside %v: %v", c.entry, c.others, got)
		}
	}
}

// TestAGatewayWaitsForTheIdentityProviderOnlySoLong: then it goes on, and says that it could not be sure.
func TestAGatewayWaitsForTheIdentityProviderOnlySoLong(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	waiting := s.open()
	waiting.awaitRestore, waiting.restoreTimeout, waiting.reconcileEvery = true, 300*time.Millisecond, 50*time.Millisecond
	l, _ := running(t, waiting, Options{})
	eventually(t, "it goes on", l.Ready)
	if !waiting.Unrestored() {
		t.Error("it does not say that it was told nothing")
	}
	running(t, keep(t, s.open(), newDatabase(t)), Options{})
	eventually(t, "an identity provider has come, and it is sure", func() bool { return !waiting.Unrestored() })
}

// TestAMarkInASnapshotIsNotBelieved: Redis comes back from one, and the mark with it, which says nothing of the process that
// runs now; nor is it believed of a replica that was sent it. Until Redis restarts it is.
func TestAMarkInASnapshotIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.open()
	check := func(when string, r *Redis, want bool) {
		t.Helper()
		if got, err := r.isRestored(t.Context()); err != nil || got != want {
			t.Errorf("%s: %v (%v), want %v", when, got, err, want)
		}
	}
	check("before it is said", r, false)
	if err := r.markRestored(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	check("when it is said", r, true)
	replica := &server{redistest.NewReplica(t, s.Server), t}
	eventually(t, "the replica has the mark", func() bool { return replica.Number("EXISTS", keyRestored) == 1 })
	replica.Do("REPLICAOF", "NO", "ONE")
	check("at a replica", replica.open(), false)
	eventually(t, "what the replica was sent is sent", func() bool {
		return strings.Contains(fmt.Sprint(s.Do("INFO", "persistence")), "rdb_bgsave_in_progress:0")
	})
	s.Do("SAVE")
	s.Kill()
	s.Start()
	if s.Number("EXISTS", keyRestored) != 1 {
		t.Fatal("the snapshot lacks the mark")
	}
	check("after a restart", s.open(), false)
	if err := s.open().markRestored(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	check("when it is said again", s.open(), true)
	s.Do("PEXPIRE", keyRestored, 1)
	eventually(t, "it ends by itself", func() bool { return s.Number("EXISTS", keyRestored) == 0 })
	check("when it has ended", s.open(), false)
}

// TestTheMarkOfWhoMayNotAskForTheRun is there or not, as before a restart.
func TestTheMarkOfWhoMayNotAskForTheRun(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Do("ACL", "SETUSER", "few", "on", ">word", "~*", "+@all", "-info")
	r := openRedis(t, RedisOptions{URL: s.URL(), User: "few", Password: "word"})
	for _, want := range []bool{false, true} {
		if got, err := r.isRestored(t.Context()); err != nil || got != want {
			t.Errorf("%v (%v), want %v", got, err, want)
		}
		if err := r.markRestored(t.Context(), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
}
