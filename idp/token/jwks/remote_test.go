package jwks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// issuer answers without a network, so that a bubble's clock can run past it.
type issuer struct {
	mu      sync.Mutex
	answer  []byte
	status  int
	fetched []time.Time
}

func (i *issuer) RoundTrip(r *http.Request) (*http.Response, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fetched = append(i.fetched, time.Now())
	if i.status == 0 {
		return nil, errors.New("nobody answers")
	}
	return &http.Response{
		StatusCode: i.status, Status: http.StatusText(i.status), Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewReader(i.answer)),
	}, nil
}

func (i *issuer) set(status int, answer []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.status, i.answer = status, answer
}

func (i *issuer) fetches() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]time.Time(nil), i.fetched...)
}

// run starts a remote set, and ends it with the test.
func run(t *testing.T, change func(*jwks.RemoteConfig)) (*jwks.Remote, *issuer) {
	t.Helper()
	from := &issuer{}
	config := jwks.RemoteConfig{
		URL: "https://id.example.test/keys", Client: &http.Client{Transport: from}, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&config)
	}
	remote, err := jwks.NewRemote(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
	})
	synctest.Wait()
	go func() { done <- remote.Run(ctx) }()
	return remote, from
}

// wait lets the bubble's clock run.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func known(t *testing.T, r *jwks.Remote, key token.PublicKey) bool {
	t.Helper()
	got, err := r.Key(key.ID(), time.Now())
	if err != nil && !errors.Is(err, token.ErrUnknownKey) && !errors.Is(err, token.ErrKeysNotLoaded) {
		t.Fatal(err)
	}
	return err == nil && got.Equal(key)
}

// Envoy CVE-2025-64527: tokens with random kids make one fetch in 30 s, whatever their number.
func TestRandomKidsFetchOnceInThirtySeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		remote, from := run(t, func(c *jwks.RemoteConfig) { c.Interval = 24 * time.Hour })
		from.set(http.StatusOK, setOf(key))
		wait(time.Second)
		if !known(t, remote, key) {
			wait(time.Minute)
		}
		for range 100 {
			var crowd sync.WaitGroup
			for range 10 {
				crowd.Go(func() {
					for i := range 10 {
						if _, err := remote.Key(fmt.Sprintf("random-%d", i), time.Now()); !errors.Is(err, token.ErrUnknownKey) {
							t.Errorf("%v", err)
						}
					}
				})
			}
			crowd.Wait()
			if !known(t, remote, key) {
				t.Error("the good key is gone")
			}
			wait(3 * time.Second)
		}
		fetches := from.fetches()
		for i := 2; i < len(fetches); i++ { // the first two are from before there were keys
			if gap := fetches[i].Sub(fetches[i-1]); gap < 30*time.Second {
				t.Errorf("fetched after %v", gap)
			}
		}
		if n := len(fetches); n < 10 || n > 14 {
			t.Errorf("%d fetches in 5 minutes of 10,000 tokens", n)
		}
	})
}

func TestAnUnknownKidBringsTheNewKeyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := newKey(t), newKey(t)
		remote, from := run(t, nil)
		from.set(http.StatusOK, setOf(before))
		wait(40 * time.Second)
		from.set(http.StatusOK, setOf(after))
		if known(t, remote, after) {
			t.Fatal("known before it was fetched")
		}
		synctest.Wait() // no time passes
		if !known(t, remote, after) || known(t, remote, before) {
			t.Error("the keys are not the issuer's")
		}
	})
}

func TestTheLastGoodKeysStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		remote, from := run(t, nil)
		from.set(http.StatusOK, setOf(key))
		wait(10 * time.Second)
		if !remote.Ready() || remote.Status().Err != nil || remote.Status().Keys != 1 {
			t.Fatalf("%+v", remote.Status())
		}
		good := remote.Status().LastSuccess
		for name, answer := range map[string]struct {
			status int
			body   []byte
		}{
			"an error":     {http.StatusInternalServerError, setOf(newKey(t))},
			"not found":    {http.StatusNotFound, nil},
			"no content":   {http.StatusNoContent, nil},
			"empty":        {http.StatusOK, nil},
			"no keys":      {http.StatusOK, setOf()},
			"only secrets": {http.StatusOK, []byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)},
			"cut short":    {http.StatusOK, setOf(newKey(t))[:50]},
			"HTML":         {http.StatusOK, []byte("<html>")},
			"huge":         {http.StatusOK, append(setOf(newKey(t)), bytes.Repeat([]byte(" "), 300<<10)...)},
			"redirect":     {http.StatusFound, setOf(newKey(t))},
			"nobody":       {0, nil},
		} {
			from.set(answer.status, answer.body)
			wait(6 * time.Minute)
			s := remote.Status()
			if !known(t, remote, key) || !remote.Ready() || s.Err == nil || s.Keys != 1 {
				t.Errorf("%s: %+v", name, s)
			}
			good = s.LastSuccess
		}
		// and when the issuer is back, so are its new keys
		next := newKey(t)
		from.set(http.StatusOK, setOf(next))
		wait(30 * time.Second)
		if s := remote.Status(); !known(t, remote, next) || known(t, remote, key) || s.Err != nil || !s.LastSuccess.After(good) {
			t.Errorf("%+v", s)
		}
	})
}

// Until there are keys a failed fetch is tried again soon, then less and less often.
func TestTheFirstKeysAreFetchedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		key := newKey(t)
		remote, from := run(t, nil)
		wait(63 * time.Second)
		var at []time.Duration
		for _, when := range from.fetches() {
			at = append(at, when.Sub(start))
		}
		if fmt.Sprint(at) != "[0s 1s 3s 7s 15s 31s 1m1s]" {
			t.Errorf("fetched at %v", at)
		}
		if _, err := remote.Key(key.ID(), time.Now()); !errors.Is(err, token.ErrKeysNotLoaded) || remote.Ready() {
			t.Errorf("%v", err)
		}
		from.set(http.StatusOK, setOf(key))
		wait(30 * time.Second)
		if !known(t, remote, key) || !remote.Ready() {
			t.Errorf("%+v", remote.Status())
		}
	})
}

func TestAnHTTPSIssuersKeysAreNotFetchedInTheClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, from := run(t, func(c *jwks.RemoteConfig) { c.URL, c.DiscoveryIssuer = "", "https://id.example.test" })
		from.set(http.StatusOK, []byte(`{"issuer":"https://id.example.test","jwks_uri":"http://id.example.test/keys"}`))
		wait(10 * time.Second)
		if err := remote.Status().Err; err == nil || !strings.Contains(err.Error(), "is not https") {
			t.Errorf("%v", err)
		}
	})
}

func TestPollingKeepsItsInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		remote, from := run(t, func(c *jwks.RemoteConfig) { c.Interval = 10 * time.Minute })
		from.set(http.StatusOK, setOf(newKey(t)))
		wait(time.Hour + time.Minute)
		// Seven, and one more where the first came before there was an answer.
		if n := len(from.fetches()); n < 6 || n > 8 || !remote.Ready() {
			t.Errorf("%d fetches in an hour", n)
		}
	})
}

func TestTheLogSaysEachTroubleOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		_, from := run(t, func(c *jwks.RemoteConfig) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
		wait(time.Hour)
		from.set(http.StatusBadGateway, nil)
		wait(time.Hour)
		from.set(http.StatusOK, setOf(newKey(t)))
		wait(time.Hour)
		if n := strings.Count(log.String(), "\n"); n != 3 {
			t.Errorf("%d lines:\n%s", n, log.String())
		}
	})
}

func TestRemoteConfigurationIsChecked(t *testing.T) {
	t.Parallel()
	client, log := &http.Client{}, slog.New(slog.DiscardHandler)
	for want, c := range map[string]jwks.RemoteConfig{
		"either a URL or an issuer":      {Client: client, Log: log},
		"either a URL or an issuer, too": {URL: "https://a.test", DiscoveryIssuer: "https://a.test", Client: client, Log: log},
		"is not an http or https":        {URL: "file:///etc/passwd", Client: client, Log: log},
		"a client and a log":             {URL: "https://a.test", Log: log},
	} {
		want = strings.TrimSuffix(want, ", too")
		if _, err := jwks.NewRemote(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
}
