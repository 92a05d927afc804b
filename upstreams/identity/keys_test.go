package identity_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/upstreams/identity"
)

// jwksServer is where gateways publish their keys, without a network.
type jwksServer struct {
	mu       sync.Mutex
	keys     []token.PublicKey // guarded by mu; nil: it is unreachable
	requests int               // guarded by mu
}

func (p *jwksServer) publish(keys ...*token.PrivateKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = nil
	for _, k := range keys {
		p.keys = append(p.keys, k.Public())
	}
}

func (p *jwksServer) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if p.keys == nil {
		return nil, errors.New("nobody is there")
	}
	body := io.NopCloser(bytes.NewReader(token.MarshalSet(p.keys)))
	return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Header: http.Header{}, Body: body, Request: r}, nil
}

func (p *jwksServer) requestCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

// withJWKSServer runs a test in a synctest bubble, with a kit that Run keeps current.
func withJWKSServer(t *testing.T, test func(t *testing.T, p *jwksServer, ask func(key *token.PrivateKey) int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &jwksServer{}
		kit := kitWith(t, identity.Config{JWKS: "http://gateway.test/jwks.json", Client: &http.Client{Transport: p}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- kit.Run(ctx) }()
		h := kit.Require(echoIdentity(t))
		test(t, p, func(key *token.PrivateKey) int { return get(h, sign(t, key, alice(time.Now()))).Code })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestUntilThereAreKeysItIs503NotUnauthorized(t *testing.T) {
	t.Parallel()
	withJWKSServer(t, func(t *testing.T, p *jwksServer, ask func(*token.PrivateKey) int) {
		one := newKey(t)
		synctest.Wait()
		if status := ask(one); status != http.StatusServiceUnavailable {
			t.Errorf("without keys: %d", status)
		}
		p.publish(one)
		<-time.After(time.Minute)
		if status := ask(one); status != http.StatusOK {
			t.Errorf("with keys: %d", status)
		}
	})
}

func TestKeyOfAGatewayThatHasJustStarted(t *testing.T) {
	t.Parallel()
	withJWKSServer(t, func(t *testing.T, p *jwksServer, ask func(*token.PrivateKey) int) {
		one, two := newKey(t), newKey(t)
		p.publish(one)
		<-time.After(2 * time.Minute)
		p.publish(one, two)
		if status := ask(two); status != http.StatusOK {
			t.Errorf("the new gateway's: %d", status)
		}
		if status := ask(one); status != http.StatusOK {
			t.Errorf("the old gateway's: %d", status)
		}
	})
}

func TestUnknownKeysCauseOneFetchInThirtySeconds(t *testing.T) {
	t.Parallel()
	withJWKSServer(t, func(t *testing.T, p *jwksServer, ask func(*token.PrivateKey) int) {
		one := newKey(t)
		p.publish(one)
		<-time.After(2 * time.Minute)
		before := p.requestCount()
		began := time.Now()
		var askers sync.WaitGroup
		for range 50 {
			stranger := newKey(t)
			askers.Go(func() {
				if status := ask(stranger); status != http.StatusUnauthorized {
					t.Errorf("a stranger's: %d", status)
				}
			})
		}
		askers.Wait()
		if fetches := p.requestCount() - before; fetches != 1 {
			t.Errorf("%d fetches", fetches)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %s", took)
		}
		if status := ask(one); status != http.StatusOK {
			t.Errorf("a good one: %d", status)
		}
	})
}

func TestKeysOutliveTheirPublisher(t *testing.T) {
	t.Parallel()
	withJWKSServer(t, func(t *testing.T, p *jwksServer, ask func(*token.PrivateKey) int) {
		one := newKey(t)
		p.publish(one)
		<-time.After(2 * time.Minute)
		p.publish()
		<-time.After(time.Hour)
		if status := ask(one); status != http.StatusOK {
			t.Errorf("%d", status)
		}
		if status := ask(newKey(t)); status != http.StatusUnauthorized {
			t.Errorf("a stranger's: %d", status)
		}
	})
}

func TestFileOfKeysIsReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set := func(k *token.PrivateKey) []byte { return token.MarshalSet([]token.PublicKey{k.Public()}) }
	one, two := newKey(t), newKey(t)
	write(set(one))
	synctest.Test(t, func(t *testing.T) {
		kit := kitWith(t, identity.Config{JWKS: path})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- kit.Run(ctx) }()
		h := kit.Require(echoIdentity(t))
		ask := func(key *token.PrivateKey, want int) {
			t.Helper()
			if status := get(h, sign(t, key, alice(time.Now()))).Code; status != want {
				t.Errorf("%d, want %d", status, want)
			}
		}
		ask(one, http.StatusOK)
		write(set(two))
		ask(two, http.StatusUnauthorized) // the file was read a moment ago
		<-time.After(time.Minute)
		ask(two, http.StatusOK)
		ask(one, http.StatusUnauthorized)
		write([]byte("half a fi"))
		<-time.After(time.Minute)
		ask(one, http.StatusUnauthorized) // looks, and finds nothing good
		ask(two, http.StatusOK)
		write(set(one))
		<-time.After(10 * time.Minute) // nobody asks for an unknown key; Run looks by itself
		ask(two, http.StatusUnauthorized)
		ask(one, http.StatusOK)
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}
