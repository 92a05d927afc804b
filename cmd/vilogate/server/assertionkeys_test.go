package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// fakeRegistry is a keyRegistry that is unreachable for a while.
type fakeRegistry struct {
	failures  int // how many calls still fail
	published atomic.Int32
	keys      [][]byte
}

func (e *fakeRegistry) PublishKey(context.Context, []byte) error {
	if e.failures > 0 {
		e.failures--
		return errors.New("away")
	}
	e.published.Add(1)
	return nil
}

func (e *fakeRegistry) FollowKeys(ctx context.Context, f func([][]byte)) error {
	f(e.keys)
	<-ctx.Done()
	return ctx.Err()
}

func newKey(t *testing.T) token.PublicKey {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func TestEveryGatewayServesTheKeysOfAll(t *testing.T) {
	t.Parallel()
	own, peer := newKey(t), newKey(t)
	for name, others := range map[string][][]byte{
		"a peer":              {peer.JSON()},
		"a peer and ourself":  {own.JSON(), peer.JSON(), peer.JSON()},
		"one of another kind": {peer.JSON(), []byte(`{"kty":"oct","k":"AAAA"}`)},
	} {
		k := newAssertionKeys(own)
		k.store(others)
		set, err := token.ParseSet(k.bytes())
		if err != nil || len(set) != 2 || !set[0].Equal(own) {
			t.Errorf("%s: %d keys, %v", name, len(set), err)
		}
	}
	k := newAssertionKeys(own)
	k.store([][]byte{[]byte(`{`)})
	if set, err := token.ParseSet(k.bytes()); err != nil || len(set) != 1 || bytes.Contains(k.bytes(), []byte(`"d"`)) {
		t.Errorf("what cannot be read: %d keys, %v", len(set), err)
	}
}

func TestAKeyIsPublishedAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &fakeRegistry{failures: 3}
		k := newAssertionKeys(newKey(t))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.publish(ctx, e, slog.New(slog.DiscardHandler)) }()
		synctest.Wait()
		if k.check() == nil {
			t.Error("published before anybody knows of it")
		}
		for range 3 {
			<-time.After(time.Second)
		}
		synctest.Wait()
		if err := k.check(); err != nil || e.published.Load() != 1 {
			t.Errorf("after the exchange came back: %v, published %d times", err, e.published.Load())
		}
		<-time.After(10*publishInterval + time.Second)
		synctest.Wait()
		if e.published.Load() != 11 {
			t.Errorf("published %d times", e.published.Load())
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
