package revocation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestFlushedRedisIsFilledAgain: after FLUSHALL the running lists put back what they know, each what the others may not,
// and a third list started afterwards refuses all of it. What is published next arrives as ever.
func TestFlushedRedisIsFilledAgain(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	const entries = 1500
	for i := range entries {
		publish(t, []*List{one, two}[i%2], session(fmt.Sprint(i)))
	}
	for round := range 3 {
		s.Do("FLUSHALL")
		eventually(t, "the index is filled again", func() bool { return s.Number("ZCARD", keyIndex) == int64(entries+round) })
		third, stop := running(t, s.open(), Options{})
		for i := range entries {
			if !third.SessionRevoked(ours, fmt.Sprint(i)) {
				t.Fatalf("round %d: session %d is not refused", round, i)
			}
		}
		next := fmt.Sprintf("after-%d", round)
		publish(t, one, session(next))
		for _, l := range []*List{two, third} {
			eventually(t, "the next revocation arrives", func() bool { return l.SessionRevoked(ours, next) })
		}
		stop()
	}
}

// TestWhatIsPublishedIntoAFlushedRedis arrives too: the stream begins again, past where anybody has read.
func TestWhatIsPublishedIntoAFlushedRedis(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	for i := range 5 {
		before, id := fmt.Sprintf("before-%d", i), fmt.Sprintf("after-%d", i)
		publish(t, one, session(before))
		s.Do("FLUSHALL")
		publish(t, one, session(id))
		eventually(t, "the revocation arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
}

// TestLossesAreNoticed: whatever somebody does to the keys, the index is whole again soon, without waiting for the next
// reconciliation, and no list misses anything.
func TestLossesAreNoticed(t *testing.T) {
	t.Parallel()
	losses := map[string]func(s *server){
		"the stream is deleted":       func(s *server) { s.Do("DEL", keyStream) },
		"the stream is trimmed":       func(s *server) { s.Do("XTRIM", keyStream, "MAXLEN", 0) },
		"both are deleted":            func(s *server) { s.Do("DEL", keyStream, keyIndex) },
		"the stream is another":       func(s *server) { s.Do("DEL", keyStream); s.Do("XADD", keyStream, "1-1", "e", "x") },
		"the numbers jump":            func(s *server) { s.Do("XADD", keyStream, "8000000000000000-1", "e", "x") },
		"the numbers end":             func(s *server) { s.Do("XADD", keyStream, "18446744073709551615-18446744073709551615", "e", "x") },
		"entries are removed from it": func(s *server) { s.Do("XTRIM", keyStream, "MAXLEN", 1) },
		"the stream loses its newest": func(s *server) {
			s.Do("EVAL", "local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1); return redis.call('XDEL', KEYS[1], e[1][1])", 1, keyStream)
		},
		"the last id is set back": func(s *server) {
			s.Do("DEL", keyStream)
			s.Do("XADD", keyStream, "5-5", "e", "x")
			s.Do("XTRIM", keyStream, "MAXLEN", 0)
		},
		"the keys expire":              func(s *server) { s.Do("PEXPIRE", keyStream, 1); s.Do("PEXPIRE", keyIndex, 1) },
		"another database comes first": func(s *server) { s.Do("SWAPDB", 0, 1) },
	}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			one, two := pair(t, s, Options{})
			for i := range 10 {
				publish(t, one, session(fmt.Sprint(i)))
			}
			eventually(t, "both know", func() bool { return two.Stats().Entries == 10 })
			lose(s)
			publish(t, two, session("next"))
			eventually(t, "the next one arrives", func() bool { return one.SessionRevoked(ours, "next") })
			eventually(t, "the index is whole", func() bool { return s.Number("ZCARD", keyIndex) == 11 })
			publish(t, one, session("last"))
			eventually(t, "the last one arrives", func() bool { return two.SessionRevoked(ours, "last") })
		})
	}
}

// TestATrimmedStreamIsNoticed: a list that was away for longer than the stream is long misses nothing.
func TestATrimmedStreamIsNoticed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.streamLength = 10
	one, _ := running(t, log, Options{})
	two, _ := running(t, s.open(), Options{})
	const each = 400
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for i := range each {
				// 100 at once overrun whoever reads.
				entries := make([]Entry, 100)
				for k := range entries {
					entries[k] = session(fmt.Sprintf("%d-%d-%d", w, i%4, k))
				}
				publish(t, one, entries...)
			}
		})
	}
	writers.Wait()
	if n := s.Number("XLEN", keyStream); n != 10 {
		t.Errorf("the stream has %d entries, want 10", n)
	}
	eventually(t, "the other list knows all", func() bool { return two.Stats().Entries == 1600 })
}

// TestRemovedEntriesAreReconciled: what disappears from the index alone is noticed by the periodic reconciliation.
func TestRemovedEntriesAreReconciled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.reconcileEvery = 300 * time.Millisecond
	l, _ := running(t, log, Options{})
	publish(t, l, session("kept"))
	s.Do("DEL", keyIndex)
	eventually(t, "the entry is put back", func() bool { return s.Number("ZCARD", keyIndex) == 1 })
}

// TestAnOlderSnapshotIsNoticed: Redis comes back with less than it had acknowledged, and numbers its entries anew from
// there. Nothing is lost, and nothing that comes next is missed.
func TestAnOlderSnapshotIsNoticed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	publish(t, one, session("old"))
	s.Do("SAVE")
	for i := range 20 {
		publish(t, one, session(fmt.Sprintf("lost-%d", i)))
	}
	eventually(t, "both know", func() bool { return two.Stats().Entries == 21 })
	s.Kill()
	s.Start()
	if n := s.Number("ZCARD", keyIndex); n < 1 {
		t.Errorf("the snapshot has %d entries", n)
	}
	eventually(t, "what was lost is put back", func() bool { return s.Number("ZCARD", keyIndex) == 21 })
	third, _ := running(t, s.open(), Options{})
	if got := third.Stats().Entries; got != 21 {
		t.Errorf("a list started afterwards has %d entries", got)
	}
	for i := range 20 {
		id := fmt.Sprintf("new-%d", i)
		publish(t, one, session(id))
		eventually(t, "a new one arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
}

// TestLoadsAreFarApart, a hundred times what one takes; but not where a process was suspended during one.
func TestLoadsAreFarApart(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, 300 * time.Millisecond: 30 * time.Second, time.Second: 100 * time.Second, time.Hour: 10 * time.Minute,
	} {
		if got := reloadInterval(30*time.Second, took); got != want {
			t.Errorf("the next load is %v after one that took %v, want %v", got, took, want)
		}
	}
}

// TestALongLoadIsConfirmedAtOnce: what an index held that took long to be read is old by then, and is not left so until a read has
// waited for news.
func TestALongLoadIsConfirmedAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.readBlock = time.Hour
	s.Pause()
	l := NewList(log, Options{})
	ctx, stop := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer func() {
		stop()
		s.Kill() // which ends the read that waits
		run.Wait()
	}()
	began := time.Now()
	eventually(t, "time passes", func() bool { return time.Since(began) > maxUnconfirmed/2 })
	resumed := time.Now()
	s.Resume()
	eventually(t, "what is known is of after the load", func() bool { return l.Stats().LastSync.After(resumed) })
}
