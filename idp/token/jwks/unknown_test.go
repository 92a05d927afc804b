package jwks_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// slow makes each answer of an issuer take a while.
type slow struct {
	http.RoundTripper
	takes time.Duration
}

func (s slow) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.RoundTripper.RoundTrip(r) // as it was when it was asked
	<-time.After(s.takes)
	return response, err
}

// pending asks for a kid and reports whether it may still come; it fails the test where it is neither pending nor unknown.
func pending(t *testing.T, remote *jwks.Remote, kid string) bool {
	t.Helper()
	_, err := remote.Keys(kid, time.Now())
	if !errors.Is(err, token.ErrUnknownKey) || errors.Is(err, token.ErrKeyPending) != errors.Is(err, token.ErrKeysNotLoaded) {
		t.Fatalf("%s: %v", kid, err)
	}
	return errors.Is(err, token.ErrKeyPending)
}

// OpenID Connect Core 1.0, section 10.1.1: the issuer signs with a new key at once.
func TestAnUnknownKidIsPendingUntilAFetchThatBeganLaterHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, from := run(t, func(c *jwks.RemoteConfig) {
			c.Client = &http.Client{Transport: slow{c.Client.Transport, 5 * time.Second}}
		})
		from.set(http.StatusOK, setOf(newKey(t)))
		wait(40 * time.Second)
		before := len(from.fetches())
		if !remote.Ready() {
			t.Fatalf("%+v", remote.Status())
		}
		if !pending(t, remote, "begins-a-fetch") {
			t.Error("unknown before anybody was asked")
		}
		wait(2 * time.Second)
		if !pending(t, remote, "begins-a-fetch") || !pending(t, remote, "comes-in-between") {
			t.Error("unknown while the fetch is under way")
		}
		wait(4 * time.Second)
		if pending(t, remote, "begins-a-fetch") {
			t.Error("pending when the fetch has ended")
		}
		if !pending(t, remote, "comes-in-between") {
			t.Error("unknown by a fetch that had begun before")
		}
		wait(29 * time.Second)
		if !pending(t, remote, "comes-in-between") {
			t.Error("unknown before the next fetch began")
		}
		wait(6 * time.Second)
		if pending(t, remote, "comes-in-between") || pending(t, remote, "begins-a-fetch") {
			t.Error("pending for ever")
		}
		if n := len(from.fetches()) - before; n != 2 {
			t.Errorf("%d fetches", n)
		}
		if u := remote.Unknown(); u.Pending != 5 || u.Unknown != 3 {
			t.Errorf("%+v", u)
		}
	})
}

// A fetch that fails has ended as well: a stranger's kid is not 503 for as long as the issuer is away.
func TestAFetchThatFailsEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		remote, from := run(t, nil)
		from.set(http.StatusOK, setOf(key))
		wait(40 * time.Second)
		from.set(http.StatusBadGateway, nil)
		if !pending(t, remote, "x") {
			t.Error("unknown before the fetch")
		}
		wait(time.Second)
		if pending(t, remote, "x") || remote.Status().Err == nil || !known(t, remote, key) {
			t.Errorf("%+v", remote.Status())
		}
	})
}

func TestUnknownKidsAreRememberedInABoundedNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		remote, from := run(t, func(c *jwks.RemoteConfig) {
			c.Log = slog.New(slog.NewTextHandler(&log, nil))
			c.Client = &http.Client{Transport: slow{c.Client.Transport, time.Second}}
		})
		from.set(http.StatusOK, setOf(newKey(t)))
		wait(10 * time.Second) // no fetch begins before the flood is over
		for i := range 2000 {
			if kid := fmt.Sprintf("flood-%d", i); pending(t, remote, kid) != (i < 1024) {
				t.Fatalf("%s: pending is %v", kid, i >= 1024)
			}
		}
		if !pending(t, remote, "flood-0") || !pending(t, remote, "flood-1023") {
			t.Error("one of those that came first was forgotten")
		}
		wait(25 * time.Second) // the fetch is over, and the first make room
		if pending(t, remote, "flood-0") || pending(t, remote, "flood-1023") {
			t.Error("pending when the fetch has ended")
		}
		if !pending(t, remote, "rotated") || pending(t, remote, "flood-1023") {
			t.Error("no room for a new one, or more was forgotten than the first")
		}
		// One that goes on to be named is not made pending again by a flood of others.
		for i := range 1000 {
			pending(t, remote, fmt.Sprintf("another-%d", i))
			if pending(t, remote, "flood-0") {
				t.Fatalf("pending again, after %d others", i)
			}
		}
		if n := strings.Count(log.String(), "JWKS refresh for unknown kids"); n != 1 || !strings.Contains(log.String(), "level=INFO") || !strings.Contains(log.String(), "kids=1024 kid=flood-0") {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}

// An issuer whose keys have no kid, and whose tokens have one, changes its key.
func TestAnUnknownKidBesideKeysWithoutOneIsFetchedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bare := func() []byte { return []byte(strings.ReplaceAll(string(setOf(newKey(t))), `"kid"`, `"other"`)) }
		remote, from := run(t, nil)
		from.set(http.StatusOK, bare())
		wait(40 * time.Second)
		before, old := len(from.fetches()), mustKeys(t, remote, "k2")
		from.set(http.StatusOK, bare())
		if err := remote.KeyNotFound("k2"); !errors.Is(err, token.ErrKeyPending) {
			t.Errorf("%v", err)
		}
		synctest.Wait() // no time passes
		if now := mustKeys(t, remote, "k2"); len(from.fetches()) != before+1 || now[0].Equal(old[0]) {
			t.Errorf("%d fetches after %d", len(from.fetches()), before)
		}
		if err := remote.KeyNotFound("k2"); !errors.Is(err, token.ErrUnknownKey) || errors.Is(err, token.ErrKeyPending) {
			t.Errorf("%v", err)
		}
		wait(70 * time.Second)
		// A token without a kid is a bad one, and has the keys fetched all the same.
		before = len(from.fetches())
		if err := remote.KeyNotFound(""); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if len(from.fetches()) != before+1 {
			t.Errorf("%d fetches after %d", len(from.fetches()), before)
		}
	})
}

func mustKeys(t *testing.T, remote *jwks.Remote, kid string) []token.PublicKey {
	t.Helper()
	keys, err := remote.Keys(kid, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// The signature of a token of a known kid is simply wrong, and nobody is asked.
func TestAKnownKidThatDoesNotFitFetchesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		remote, from := run(t, nil)
		if err := remote.KeyNotFound(key.ID()); !errors.Is(err, token.ErrKeysNotLoaded) || errors.Is(err, token.ErrUnknownKey) {
			t.Errorf("before there are keys: %v", err)
		}
		from.set(http.StatusOK, setOf(key))
		wait(40 * time.Second)
		before := len(from.fetches())
		if err := remote.KeyNotFound(key.ID()); err != nil {
			t.Error(err)
		}
		wait(time.Second)
		if len(from.fetches()) != before {
			t.Error("fetched")
		}
	})
}
