package revocation

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

// pair is two lists in one fleet, each with connections of its own.
func pair(t testing.TB, s *server, o Options) (one, two *List) {
	one, _ = running(t, s.open(), o)
	two, _ = running(t, s.open(), o)
	return one, two
}

// TestRevocationsArriveAtOnce: Redis wakes whoever waits. The other list looks by itself once an hour, so that nothing but
// that brings a revocation to it; how long it takes is for BenchmarkArrival to say.
func TestRevocationsArriveAtOnce(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, _ := running(t, s.open(), Options{})
	log := s.open()
	log.readBlock = time.Hour
	two, _ := running(t, log, Options{})
	t.Cleanup(s.Kill) // ends the read that waits
	for i := range 1000 {
		id := fmt.Sprintf("session-%d", i)
		publish(t, one, session(id))
		eventually(t, id+" arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
}

// TestASilentServerIsGivenUpInTwoSeconds: in a bubble, whose clock does not count what the machine is busy with.
func TestASilentServerIsGivenUpInTwoSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := openRedis(t, RedisOptions{URL: "redis://silent:6379", Timeout: replyTimeout})
		silent := commonOptions(RedisOptions{Timeout: replyTimeout})
		silent.Dialer = func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() { // greets, and says nothing more
				if _, err := theirs.Read(make([]byte, 1024)); err == nil {
					_, _ = io.WriteString(theirs, "-ERR unknown command\r\n")
				}
				_, _ = io.Copy(io.Discard, theirs)
			}()
			return ours, nil
		}
		closing(t, r.client)
		r.client = redis.NewClient(silent.Simple())
		began := time.Now()
		err := r.Append(context.Background(), []Entry{session("s")})
		if took := time.Since(began); err == nil || took > 2*time.Second {
			t.Errorf("Append: %v after %v", err, took)
		}
	})
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
		publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "sub", Cutoff: m, Expires: m.Add(time.Hour)})
	}
	// Of these two neither says all; what both say is written in their place.
	publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "two", Cutoff: now, Expires: now.Add(2 * time.Hour)})
	publish(t, l, Entry{Kind: Subject, Issuer: ours, ID: "two", Cutoff: now.Add(time.Minute), Expires: now.Add(time.Hour)})
	eventually(t, "one record of each is left", func() bool { return s.Number("ZCARD", keyIndex) == 2 })
	third, _ := running(t, s.open(), Options{})
	if m, _ := third.SubjectCutoff(ours, "sub"); !m.Equal(now.Add(19 * time.Second)) {
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
	made := time.Now()
	appendTo(t, log, ended("long-ago", grace+time.Minute), ended("just-now", time.Minute))
	if n := s.Number("ZCARD", keyIndex); n != 1 {
		t.Errorf("%d entries are left, want the one that clocks may disagree about", n)
	}
	short := s.Number("TTL", keyIndex)
	took := int64(time.Since(made) / time.Second)
	if want := int64((grace - time.Minute) / time.Second); short < want-took-5 || short > want+5 {
		t.Errorf("the index expires in %d s, want about %d", short, want)
	}
	appendTo(t, log, session("later"))
	if long := s.Number("TTL", keyIndex); long < short+3500 {
		t.Errorf("the index expires in %d s, before its last entry", long)
	}
	appendTo(t, log, ended("b", time.Second))
	if long := s.Number("TTL", keyIndex); long < short+3500 {
		t.Errorf("the index expires in %d s, before its last entry", long)
	}
	if ttl := s.Number("TTL", keyStream); ttl <= 0 {
		t.Errorf("the stream never expires: %d", ttl)
	}
}

// TestOutage: while Redis is dead, or takes connections and says nothing, publishing fails promptly, the view grows stale,
// and nothing that was known is forgotten. When Redis is back, all recovers by itself; what it forgot is put back.
func TestOutage(t *testing.T) {
	t.Parallel()
	outages := map[string]struct{ begin, end func(*redistest.Server) }{
		"killed":     {(*redistest.Server).Kill, (*redistest.Server).Start},
		"blackholed": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			const most = 2 * time.Second
			one, _ := running(t, s.openHasty(), Options{MaxStaleness: most})
			two, _ := running(t, s.openHasty(), Options{MaxStaleness: most})
			eventually(t, "it is published", func() bool { return one.Publish(context.Background(), session("before")) == nil })
			eventually(t, "it arrives", func() bool { return two.SessionRevoked(ours, "before") })
			eventually(t, "the view is fresh while all is well", func() bool { return !one.Stale(time.Now()) })
			outage.begin(s.Server)
			ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
			defer cancel()
			err := one.Publish(ctx, session("during"))
			if err == nil || ctx.Err() != nil {
				t.Errorf("Publish returned %v, not by itself", err)
			} else if !strings.Contains(err.Error(), s.Address) {
				t.Errorf("the error does not say what was tried: %v", err)
			}
			for _, l := range []*List{one, two} {
				eventually(t, "the view grows stale", func() bool { return l.Stale(time.Now()) })
				if !l.Ready() || !l.SessionRevoked(ours, "before") || l.SessionRevoked(ours, "during") {
					t.Error("what was known is not what is known")
				}
				if l.Stale(l.Stats().LastSync.Add(most)) {
					t.Error("stale before the view is as old as it may be")
				}
			}
			outage.end(s.Server)
			for _, l := range []*List{one, two} {
				eventually(t, "the view recovers", func() bool { return !l.Stale(time.Now()) })
			}
			eventually(t, "publishing works again", func() bool {
				return one.Publish(context.Background(), session("after")) == nil
			})
			eventually(t, "it arrives", func() bool { return two.SessionRevoked(ours, "after") })
			third, _ := running(t, s.open(), Options{})
			eventually(t, "what was put back arrives", func() bool { return third.SessionRevoked(ours, "before") })
		})
	}
}

// TestAServerThatWasReplacedIsNotFollowed: one that takes no writes may not hear what the fleet hears, so that its view
// counts as stale. One whose disk is full is still the fleet's own: it fails to write, and is followed.
func TestAServerThatWasReplacedIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	log := s.open()
	log.reconcileEvery = 200 * time.Millisecond
	l, _ := running(t, log, Options{MaxStaleness: time.Second})
	for _, trouble := range []struct{ begin, end []any }{
		{[]any{"CONFIG", "SET", "min-replicas-to-write", 1}, []any{"CONFIG", "SET", "min-replicas-to-write", 0}},
		{[]any{"REPLICAOF", "127.0.0.1", 1}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		s.Do(trouble.begin...)
		eventually(t, "the view grows stale", func() bool { return l.Stale(time.Now()) })
		s.Do(trouble.end...)
		eventually(t, "the view recovers", func() bool { return !l.Stale(time.Now()) })
	}
	if err := os.Mkdir(filepath.Join(s.Dir, "dump.rdb"), 0o700); err != nil { // where it wants to write
		t.Fatal(err)
	}
	s.Do("CONFIG", "SET", "save", "3600 1")
	s.Do("BGSAVE")
	eventually(t, "saving fails", func() bool {
		return strings.Contains(fmt.Sprint(s.Do("INFO", "persistence")), "rdb_last_bgsave_status:err")
	})
	if err := l.Publish(context.Background(), session("s")); err == nil || !strings.Contains(err.Error(), "MISCONF") {
		t.Errorf("Publish: %v", err)
	}
	later, _ := running(t, s.open(), Options{MaxStaleness: time.Second})
	for _, l := range []*List{later, l} {
		before := l.Stats().LastSync
		eventually(t, "it is followed", func() bool { return l.Stats().LastSync.After(before.Add(time.Second)) })
	}
}

// TestALimitedUserIsEnough: what the README says that a user of Redis needs.
func TestALimitedUserIsEnough(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.Do("ACL", "SETUSER", "gateway", "on", ">word", "resetkeys", "~vilogate:{fleet}:*", "resetchannels",
		"-@all", "+@read", "+@write", "+@scripting", "+@transaction", "+@connection", "+time")
	open := func() *Redis { return openRedis(t, RedisOptions{URL: "redis://gateway:word@" + s.Address + "/0"}) }
	one, _ := running(t, open(), Options{})
	two, _ := running(t, open(), Options{})
	publish(t, one, session("s"))
	eventually(t, "it arrives", func() bool { return two.SessionRevoked(ours, "s") })
	s.Do("DEL", keyStream, keyIndex)
	eventually(t, "it is put back", func() bool { return s.Number("ZCARD", keyIndex) == 1 })
	publishKey(t, open(), `{"kid":"a"}`)
	eventually(t, "the key is known", follow(t, open()).are(`{"kid":"a"}`))
}

// TestASilentListEndsPromptly: Run ends with its context, also while Redis says nothing.
func TestASilentListEndsPromptly(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	_, stop := running(t, s.openHasty(), Options{})
	s.Pause()
	defer s.Resume()
	stop()
}

// TestPasswordsAreNotTold: a wrong redis: says what was tried, never with which password.
func TestPasswordsAreNotTold(t *testing.T) {
	t.Parallel()
	s := newServer(t, "--requirepass", "correct-horse")
	good := openRedis(t, RedisOptions{URL: "redis://:correct-horse@" + s.Address + "/0"})
	appendTo(t, good, session("s"))
	for name, url := range map[string]string{
		"wrong password": "redis://:hunter2-wrong@" + s.Address + "/0",
		"no password":    "redis://" + s.Address + "/0",
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

// TestTroubleIsLoggedOnce: not at every attempt, and again when it is over.
func TestTroubleIsLoggedOnce(t *testing.T) {
	t.Parallel()
	var out lines
	s := newServer(t)
	l, _ := running(t, s.open(), Options{Log: slog.New(slog.NewTextHandler(&out, nil)), MaxStaleness: time.Second})
	s.Kill()
	eventually(t, "the view grows stale", func() bool { return l.Stale(time.Now()) })
	eventually(t, "it is logged", func() bool { return strings.Contains(out.String(), "level=WARN") })
	s.Start()
	eventually(t, "it is logged that it is over", func() bool { return strings.Contains(out.String(), "followed again") })
	text := out.String()
	if strings.Count(text, "level=WARN") != 1 || strings.Count(text, "followed again") != 1 || !strings.Contains(text, s.Address) {
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
