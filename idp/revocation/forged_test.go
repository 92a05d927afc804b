package revocation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestForgedEntriesAreRefused: who can write to Redis but does not know the secret revokes nothing, and hinders nobody.
func TestForgedEntriesAreRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	publish(t, one, session("good"))
	stranger := openRedis(t, RedisOptions{URL: s.URL(), Secret: []byte(strings.Repeat("another secret ", 4))})
	f, err := session("forged").fact()
	if err != nil {
		t.Fatal(err)
	}
	genuine, err := session("genuine").fact()
	if err != nil {
		t.Fatal(err)
	}
	mine := s.open()
	sealed := mine.entries.seal(f.record())
	tampered := slices.Clone(sealed)
	tampered[len(tampered)-sealSize-1] ^= 1
	forgeries := [][]byte{
		nil, []byte("x"), f.record(), sealed[:len(sealed)-1], append(slices.Clone(sealed), 0), tampered,
		stranger.entries.seal(f.record()), mine.gateways.seal(f.record()), make([]byte, sealSize), make([]byte, 4<<10),
	}
	for _, forgery := range forgeries {
		s.Do("XADD", keyStream, "*", "e", forgery)
		s.Do("ZADD", keyIndex, "+inf", forgery)
	}
	s.Do("XADD", keyStream, "*", "f", sealed)
	appendTo(t, stranger, session("stranger"))
	for _, l := range []*List{one, two} {
		eventually(t, "the forged entries of the stream are counted", func() bool { return l.Stats().Rejected >= uint64(len(forgeries)+2) })
	}
	// A genuine entry still arrives at once, and the lists that start now know it and no other.
	appendTo(t, mine, genuine.entry())
	eventually(t, "a genuine entry arrives", func() bool { return two.SessionRevoked(ours, "genuine") })
	third, _ := running(t, s.open(), Options{})
	for _, l := range []*List{one, two, third} {
		if got := l.Stats().Entries; got != 2 || l.SessionRevoked(ours, "forged") || l.SessionRevoked(ours, "stranger") {
			t.Errorf("%d entries are believed, want 2", got)
		}
	}
	if got := third.Stats().Rejected; got != uint64(len(forgeries)+1) {
		t.Errorf("%d forged entries of the index are counted, want %d", got, len(forgeries)+1)
	}
}

// TestForgeriesTakeNoMemory: many, or huge ones, in the index and in the stream.
func TestForgeriesTakeNoMemory(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	one, two := pair(t, s, Options{})
	s.Do("EVAL", `for i = 1, 20000 do
		redis.call('ZADD', KEYS[1], 'inf', i .. string.rep('x', 300))
		redis.call('XADD', KEYS[2], '*', 'e', i .. string.rep('y', 300))
	end`, 2, keyIndex, keyStream)
	huge := strings.Repeat("z", maxReply)
	for i := range 2 {
		s.Do("ZADD", keyIndex, "inf", fmt.Sprint(i, huge))
		s.Do("XADD", keyStream, "*", "e", huge)
	}
	for i := range 10 {
		id := fmt.Sprint(i)
		publish(t, one, session(id))
		eventually(t, "a genuine entry arrives", func() bool { return two.SessionRevoked(ours, id) })
	}
	third, _ := running(t, s.open(), Options{})
	for _, l := range []*List{one, two, third} {
		if got := l.Stats(); got.Entries != 10 || len(*l.table.slots.Load()) != minSlots {
			t.Errorf("%+v, in %d slots", got, len(*l.table.slots.Load()))
		}
	}
}

// TestAHugeAnswerIsCutOff: what Redis answers with is read up to a bound.
func TestAHugeAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	r := s.open()
	s.Do("EVAL", "redis.call('SET', KEYS[1], string.rep('x', ARGV[1]))", 1, "huge", maxReply)
	if err := r.client.Get(context.Background(), "huge").Err(); !errors.Is(err, errReply) {
		t.Errorf("got %v", err)
	}
	if err := r.client.Get(context.Background(), "none").Err(); err == nil || errors.Is(err, errReply) {
		t.Errorf("the next answer: %v", err)
	}
}
