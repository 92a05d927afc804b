package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pair is two lists in one fleet, each with connections of its own.
func pair(t testing.TB, s *server, o Options) (one, two *List) {
	one, _ = running(t, s.open(), o)
	two, _ = running(t, s.open(), o)
	return one, two
}

// TestRevocationsArriveWithinASecond: from the beginning of Publish at one list to the refusal at another.
func TestRevocationsArriveWithinASecond(t *testing.T) {
	t.Parallel()
	const revocations = 1000
	one, two := pair(t, newServer(t), Options{})
	delays := make([]time.Duration, revocations)
	for i := range delays {
		id := fmt.Sprintf("session-%d", i)
		began := time.Now()
		publish(t, one, session(id))
		for !two.SessionRevoked(ours, id) {
			if time.Since(began) > 5*time.Second {
				t.Fatalf("%s never arrived", id)
			}
			runtime.Gosched()
		}
		delays[i] = time.Since(began)
	}
	slices.Sort(delays)
	p50, p99, worst := delays[revocations/2], delays[revocations*99/100], delays[revocations-1]
	t.Logf("from publication to refusal at another list, %d revocations: p50 %v, p99 %v, worst %v", revocations, p50, p99, worst)
	if worst > time.Second {
		t.Errorf("the slowest took %v, want 1 s at most", worst)
	}
}

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
		s.do("FLUSHALL")
		eventually(t, 5*time.Second, "the index is filled again", func() bool { return s.number("ZCARD", keyIndex) == int64(entries+round) })
		third, stop := running(t, s.open(), Options{})
		for i := range entries {
			if !third.SessionRevoked(ours, fmt.Sprint(i)) {
				t.Fatalf("round %d: session %d is not refused", round, i)
			}
		}
		next := fmt.Sprintf("after-%d", round)
		publish(t, one, session(next))
		for _, l := range []*List{two, third} {
			eventually(t, time.Second, "the next revocation arrives", func() bool { return l.SessionRevoked(ours, next) })
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
		s.do("FLUSHALL")
		publish(t, one, session(id))
		eventually(t, time.Second, "the revocation arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
}

// TestLossesAreNoticed: whatever somebody does to the keys, the index is whole again soon, without waiting for the next
// reconciliation, and no list misses anything.
func TestLossesAreNoticed(t *testing.T) {
	t.Parallel()
	losses := map[string]func(s *server){
		"the stream is deleted":       func(s *server) { s.do("DEL", keyStream) },
		"the stream is trimmed":       func(s *server) { s.do("XTRIM", keyStream, "MAXLEN", 0) },
		"both are deleted":            func(s *server) { s.do("DEL", keyStream, keyIndex) },
		"the stream is another":       func(s *server) { s.do("DEL", keyStream); s.do("XADD", keyStream, "1-1", "e", "x") },
		"the numbers jump":            func(s *server) { s.do("XADD", keyStream, "8000000000000000-1", "e", "x") },
		"the numbers end":             func(s *server) { s.do("XADD", keyStream, "18446744073709551615-18446744073709551615", "e", "x") },
		"entries are removed from it": func(s *server) { s.do("XTRIM", keyStream, "MAXLEN", 1) },
		"the stream loses its newest": func(s *server) {
			s.do("EVAL", "local e = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1); return redis.call('XDEL', KEYS[1], e[1][1])", 1, keyStream)
		},
		"the last id is set back": func(s *server) {
			s.do("DEL", keyStream)
			s.do("XADD", keyStream, "5-5", "e", "x")
			s.do("XTRIM", keyStream, "MAXLEN", 0)
		},
		"the keys expire":              func(s *server) { s.do("PEXPIRE", keyStream, 1); s.do("PEXPIRE", keyIndex, 1) },
		"another database comes first": func(s *server) { s.do("SWAPDB", 0, 1) },
	}
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			one, two := pair(t, s, Options{})
			for i := range 10 {
				publish(t, one, session(fmt.Sprint(i)))
			}
			eventually(t, time.Second, "both know", func() bool { return two.Stats().Entries == 10 })
			lose(s)
			publish(t, two, session("next"))
			eventually(t, time.Second, "the next one arrives", func() bool { return one.SessionRevoked(ours, "next") })
			eventually(t, 3*time.Second, "the index is whole", func() bool { return s.number("ZCARD", keyIndex) == 11 })
			publish(t, one, session("last"))
			eventually(t, time.Second, "the last one arrives", func() bool { return two.SessionRevoked(ours, "last") })
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
	if n := s.number("XLEN", keyStream); n != 10 {
		t.Errorf("the stream has %d entries, want 10", n)
	}
	eventually(t, 2*time.Second, "the other list knows all", func() bool { return two.Stats().Entries == 1600 })
}

// TestRemovedEntriesAreReconciled: what disappears from the index alone is noticed by the periodic reconciliation.
func TestRemovedEntriesAreReconciled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.reconcileEvery = 300 * time.Millisecond
	l, _ := running(t, log, Options{})
	publish(t, l, session("kept"))
	s.do("DEL", keyIndex)
	eventually(t, 5*time.Second, "the entry is put back", func() bool { return s.number("ZCARD", keyIndex) == 1 })
}

// TestSupersededRecordsAreRemoved: revoking the same thing again and again leaves one record, not as many.
func TestSupersededRecordsAreRemoved(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.reconcileEvery = 200 * time.Millisecond
	l, _ := running(t, log, Options{})
	now := time.Now().Truncate(time.Second)
	for i := range 20 {
		m := now.Add(time.Duration(i) * time.Second)
		publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "sub", Moment: m, Expires: m.Add(time.Hour)})
	}
	// Of these two neither says all; what both say is written in their place.
	publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "two", Moment: now, Expires: now.Add(2 * time.Hour)})
	publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "two", Moment: now.Add(time.Minute), Expires: now.Add(time.Hour)})
	eventually(t, 5*time.Second, "one record of each is left", func() bool { return s.number("ZCARD", keyIndex) == 2 })
	third, _ := running(t, s.open(), Options{})
	if m, _ := third.SubjectMoment(ours, "sub"); !m.Equal(now.Add(19 * time.Second)) {
		t.Errorf("the moment is %v", m)
	}
}

// TestTheIndexExpires: what has ended is purged by whoever writes next, and the keys go by themselves when nobody does.
func TestTheIndexExpires(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	ended := func(id string, ago time.Duration) Entry {
		return Entry{Kind: Token, Issuer: ours, ID: id, Expires: time.Now().Add(-ago)}
	}
	appendTo(t, log, ended("long-ago", grace+time.Minute), ended("just-now", time.Minute))
	if n := s.number("ZCARD", keyIndex); n != 1 {
		t.Errorf("%d entries are left, want the one that clocks may disagree about", n)
	}
	short := s.number("TTL", keyIndex)
	if want := int64((grace - time.Minute) / time.Second); short < want-5 || short > want+5 {
		t.Errorf("the index expires in %d s, want about %d", short, want)
	}
	appendTo(t, log, session("later"))
	if long := s.number("TTL", keyIndex); long < short+3500 {
		t.Errorf("the index expires in %d s, before its last entry", long)
	}
	appendTo(t, log, ended("b", time.Second))
	if long := s.number("TTL", keyIndex); long < short+3500 {
		t.Errorf("the index expires in %d s, before its last entry", long)
	}
	if ttl := s.number("TTL", keyStream); ttl <= 0 {
		t.Errorf("the stream never expires: %d", ttl)
	}
}

// TestForgedEntriesAreRefused: who can write to Redis but does not know the secret revokes nothing, and hinders nobody.
func TestForgedEntriesAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	publish(t, one, session("good"))
	stranger := openRedis(t, RedisOptions{URL: s.url(), Secret: []byte(strings.Repeat("another secret ", 4))})
	f, err := session("forged").fact()
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := session("genuine").fact()
	if err != nil {
		t.Fatal(err)
	}
	mine := s.open()
	sealed := mine.entries.put(f.record())
	tampered := slices.Clone(sealed)
	tampered[len(tampered)-sealSize-1] ^= 1
	forgeries := [][]byte{
		nil, []byte("x"), f.record(), sealed[:len(sealed)-1], append(slices.Clone(sealed), 0), tampered,
		stranger.entries.put(f.record()), mine.gateways.put(f.record()), make([]byte, sealSize), make([]byte, 4<<10),
	}
	for _, forgery := range forgeries {
		s.do("XADD", keyStream, "*", "e", forgery)
		s.do("ZADD", keyIndex, "+inf", forgery)
	}
	s.do("XADD", keyStream, "*", "f", sealed)
	appendTo(t, stranger, session("stranger"))
	for _, l := range []*List{one, two} {
		eventually(t, 2*time.Second, "the forged entries of the stream are counted", func() bool { return l.Stats().Refused >= uint64(len(forgeries)+2) })
	}
	// A genuine entry still arrives at once, and the lists that start now know it and no other.
	appendTo(t, mine, genuine.entry())
	eventually(t, time.Second, "a genuine entry arrives", func() bool { return two.SessionRevoked(ours, "genuine") })
	third, _ := running(t, s.open(), Options{})
	for _, l := range []*List{one, two, third} {
		if got := l.Stats().Entries; got != 2 || l.SessionRevoked(ours, "forged") || l.SessionRevoked(ours, "stranger") {
			t.Errorf("%d entries are believed, want 2", got)
		}
	}
	if got := third.Stats().Refused; got != uint64(len(forgeries)+1) {
		t.Errorf("%d forged entries of the index are counted, want %d", got, len(forgeries)+1)
	}
}

// TestForgeriesTakeNoMemory: many, or huge ones, in the index and in the stream.
func TestForgeriesTakeNoMemory(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	s.do("EVAL", `for i = 1, 20000 do
		redis.call('ZADD', KEYS[1], 'inf', i .. string.rep('x', 300))
		redis.call('XADD', KEYS[2], '*', 'e', i .. string.rep('y', 300))
	end`, 2, keyIndex, keyStream)
	huge := strings.Repeat("z", maxReply)
	for i := range 2 {
		s.do("ZADD", keyIndex, "inf", fmt.Sprint(i, huge))
		s.do("XADD", keyStream, "*", "e", huge)
	}
	for i := range 10 {
		id := fmt.Sprint(i)
		publish(t, one, session(id))
		eventually(t, 5*time.Second, "a genuine entry arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
	third, _ := running(t, s.open(), Options{})
	for _, l := range []*List{one, two, third} {
		if got := l.Stats(); got.Entries != 10 || len(*l.table.slots.Load()) != minSlots {
			t.Errorf("%+v, in %d slots", got, len(*l.table.slots.Load()))
		}
	}
}

// TestOutage: while Redis is dead, or takes connections and says nothing, publishing fails promptly, the view grows stale,
// and nothing that was known is forgotten. When Redis is back, all recovers by itself; what it forgot is put back.
func TestOutage(t *testing.T) {
	t.Parallel()
	outages := map[string]struct{ begin, end func(s *server) }{
		"killed": {(*server).kill, (*server).start},
		"blackholed": {
			func(s *server) { s.signal(syscall.SIGSTOP) },
			func(s *server) { s.signal(syscall.SIGCONT) },
		},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			const most = 2 * time.Second
			one, two := pair(t, s, Options{MaxStaleness: most})
			publish(t, one, session("before"))
			eventually(t, time.Second, "it arrives", func() bool { return two.SessionRevoked(ours, "before") })
			if one.Stale(time.Now()) {
				t.Error("stale while all is well")
			}
			outage.begin(s)
			began := time.Now()
			err := one.Publish(context.Background(), session("during"))
			if took := time.Since(began); err == nil || took > 2500*time.Millisecond {
				t.Errorf("Publish returned %v after %v", err, took)
			} else if !strings.Contains(err.Error(), s.address) {
				t.Errorf("the error does not say what was tried: %v", err)
			}
			for _, l := range []*List{one, two} {
				eventually(t, 2*most, "the view grows stale", func() bool { return l.Stale(time.Now()) })
				if !l.Ready() || !l.SessionRevoked(ours, "before") || l.SessionRevoked(ours, "during") {
					t.Error("what was known is not what is known")
				}
			}
			if took := time.Since(began); took < most-2*readBlock {
				t.Errorf("stale after %v already", took)
			}
			outage.end(s)
			for _, l := range []*List{one, two} {
				eventually(t, 5*time.Second, "the view recovers", func() bool { return !l.Stale(time.Now()) })
			}
			eventually(t, 5*time.Second, "publishing works again", func() bool {
				return one.Publish(context.Background(), session("after")) == nil
			})
			eventually(t, time.Second, "it arrives", func() bool { return two.SessionRevoked(ours, "after") })
			third, _ := running(t, s.open(), Options{})
			eventually(t, time.Second, "what was put back arrives", func() bool { return third.SessionRevoked(ours, "before") })
		})
	}
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// TestAnOlderSnapshotIsNoticed: Redis comes back with less than it had acknowledged, and numbers its entries anew from
// there. Nothing is lost, and nothing that comes next is missed.
func TestAnOlderSnapshotIsNoticed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	publish(t, one, session("old"))
	s.do("SAVE")
	for i := range 20 {
		publish(t, one, session(fmt.Sprintf("lost-%d", i)))
	}
	eventually(t, time.Second, "both know", func() bool { return two.Stats().Entries == 21 })
	s.kill()
	s.start()
	if n := s.number("ZCARD", keyIndex); n < 1 {
		t.Errorf("the snapshot has %d entries", n)
	}
	eventually(t, 5*time.Second, "what was lost is put back", func() bool { return s.number("ZCARD", keyIndex) == 21 })
	third, _ := running(t, s.open(), Options{})
	if got := third.Stats().Entries; got != 21 {
		t.Errorf("a list started afterwards has %d entries", got)
	}
	for i := range 20 {
		id := fmt.Sprintf("new-%d", i)
		publish(t, one, session(id))
		eventually(t, time.Second, "a new one arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
}

// TestASilentListEndsPromptly: Run ends with its context, also while Redis says nothing.
func TestASilentListEndsPromptly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, stop := running(t, s.open(), Options{})
	s.signal(syscall.SIGSTOP)
	defer s.signal(syscall.SIGCONT)
	began := time.Now()
	stop()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestPasswordsAreNotTold: a wrong redis: says what was tried, never with which password.
func TestPasswordsAreNotTold(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--requirepass", "correct-horse")
	good := openRedis(t, RedisOptions{URL: "redis://:correct-horse@" + s.address + "/0"})
	appendTo(t, good, session("s"))
	for name, url := range map[string]string{
		"wrong password": "redis://:hunter2-wrong@" + s.address + "/0",
		"no password":    "redis://" + s.address + "/0",
		"nobody there":   "redis://user:hunter2-wrong@127.0.0.1:1/0",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := openRedis(t, RedisOptions{URL: url})
			for doing, err := range map[string]error{
				"Append":     bad.Append(context.Background(), []Entry{session("s")}),
				"Follow":     bad.Follow(context.Background(), sink{NewList(bad, Options{})}),
				"PublishKey": bad.PublishKey(context.Background(), []byte("{}")),
			} {
				if err == nil {
					t.Errorf("%s: no error", doing)
				} else if text := err.Error(); strings.Contains(text, "hunter2") || !strings.Contains(text, "127.0.0.1:") {
					t.Errorf("%s: %v", doing, err)
				}
			}
		})
	}
}

func TestOptionsThatCannotBe(t *testing.T) {
	t.Parallel()
	sentinel := Sentinel{Master: "m", Addresses: []string{"127.0.0.1:1"}}
	secret := []byte(testSecret)
	for name, o := range map[string]RedisOptions{
		"nothing":                 {Secret: secret},
		"a short secret":          {URL: "redis://127.0.0.1:1", Secret: secret[:31]},
		"no secret":               {URL: "redis://127.0.0.1:1"},
		"two places":              {URL: "redis://127.0.0.1:1", Cluster: []string{"127.0.0.1:1"}, Secret: secret},
		"two others":              {Sentinel: sentinel, Cluster: []string{"127.0.0.1:1"}, Secret: secret},
		"a sentinel's master":     {Sentinel: Sentinel{Master: "m"}, Secret: secret},
		"sentinels of no master":  {Sentinel: Sentinel{Addresses: sentinel.Addresses}, Secret: secret},
		"another scheme":          {URL: "http://:hunter2@127.0.0.1:1", Secret: secret},
		"no URL":                  {URL: "redis://:hunter2@[::1", Secret: secret},
		"a control character":     {URL: "redis://:hunter2\x00@127.0.0.1:1", Secret: secret},
		"a bad port":              {URL: "redis://:hunter2@127.0.0.1:port", Secret: secret},
		"no database":             {URL: "redis://:hunter2@127.0.0.1:1/zero", Secret: secret},
		"unverified certificates": {URL: "rediss://:hunter2@127.0.0.1:1?skip_verify=true", Secret: secret},
		"an option":               {URL: "redis://:hunter2@127.0.0.1:1?read_timeout=1h", Secret: secret},
	} {
		r, err := OpenRedis(o)
		if err == nil {
			t.Errorf("%s: no error", name)
			closing(t, r)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
}

// TestCertificatesAreVerified: rediss:// speaks to nobody whose certificate no CA has signed.
func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{selfSigned(t)}})
	if err != nil {
		t.Fatal(err)
	}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			if err := conn.(*tls.Conn).Handshake(); err == nil {
				t.Error("the handshake succeeded")
			}
			closing(t, conn)
		}
	})
	defer accepting.Wait()
	defer closing(t, l)
	r := openRedis(t, RedisOptions{URL: "rediss://" + l.Addr().String()})
	var unknown *tls.CertificateVerificationError
	if err := r.Append(context.Background(), []Entry{session("s")}); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
}

// TestAHugeAnswerIsCutOff: what Redis answers with is read up to a bound.
func TestAHugeAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.open()
	s.do("EVAL", "redis.call('SET', KEYS[1], string.rep('x', ARGV[1]))", 1, "huge", maxReply)
	if err := r.client.Get(context.Background(), "huge").Err(); !errors.Is(err, errReply) {
		t.Errorf("got %v", err)
	}
	if err := r.client.Get(context.Background(), "none").Err(); err == nil || errors.Is(err, errReply) {
		t.Errorf("the next answer: %v", err)
	}
}

// TestTroubleIsLoggedOnce: not at every attempt, and again when it is over.
func TestTroubleIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var out lines
	s := newServer(t)
	l, _ := running(t, s.open(), Options{Log: slog.New(slog.NewTextHandler(&out, nil)), MaxStaleness: time.Second})
	s.kill()
	eventually(t, 5*time.Second, "the view grows stale", func() bool { return l.Stale(time.Now()) })
	s.start()
	eventually(t, 5*time.Second, "the view recovers", func() bool { return !l.Stale(time.Now()) })
	text := out.String()
	if strings.Count(text, "level=WARN") != 1 || strings.Count(text, "followed again") != 1 || !strings.Contains(text, s.address) {
		t.Errorf("the log says:\n%s", text)
	}
}

// lines is a buffer that may be written and read at once.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
