package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// failover retries at the upstream's other addresses when dialling one failed.
// Nothing was sent then, so that nothing is sent twice (also not idempotent requests).
type failover struct {
	next     http.RoundTripper
	upstream *upstream
}

func (f *failover) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.next.RoundTrip(r)
	for range len(f.upstream.URLs) - 1 {
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "dial" || r.Context().Err() != nil {
			break
		}
		again := *r
		address := *r.URL
		again.URL = &address
		again.URL.Host = f.upstream.nextURL().Host
		resp, err = f.next.RoundTrip(&again)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", f.upstream.Name, err)
	}
	return resp, nil
}

// loginTimeout bounds the wait for an identity provider in another process.
const loginTimeout = 30 * time.Second

// transports are the connections to the upstreams: one pool for each header
// timeout in use. They outlive generations, so that a reload drops nothing.
type transports struct {
	mu    sync.Mutex
	pools sync.Map // time.Duration → *http.Transport; written under mu
}

// of returns the pool for that header timeout; zero means none.
func (t *transports) of(timeout time.Duration) http.RoundTripper {
	if pool, ok := t.pools.Load(timeout); ok {
		return pool.(*http.Transport)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pool, _ := t.pools.LoadOrStore(timeout, newTransport(timeout))
	return pool.(*http.Transport)
}

// prepare makes the pools that gen needs, and gives them to its upstreams.
func (t *transports) prepare(gen *Generation) {
	for _, u := range gen.upstreams {
		u.transport, u.noTimeout = &failover{t.of(u.Timeout), u}, &failover{t.of(0), u}
	}
	if u := gen.login; u != nil {
		u.transport = &failover{t.of(loginTimeout), u}
	}
}

// retire forgets the pools that gen does not need, and closes what is idle in
// them; requests under way finish on theirs.
func (t *transports) retire(gen *Generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	needed := map[time.Duration]bool{}
	if gen != nil {
		needed[0], needed[loginTimeout] = true, true
		for _, u := range gen.upstreams {
			needed[u.Timeout] = true
		}
		for _, host := range gen.Policies.Hosts() {
			for _, route := range gen.Policies.Policy(host).Routes() {
				needed[route.Timeout] = true
			}
		}
	}
	t.pools.Range(func(key, pool any) bool {
		if !needed[key.(time.Duration)] {
			t.pools.Delete(key)
			pool.(*http.Transport).CloseIdleConnections()
		}
		return true
	})
}

func newTransport(headerTimeout time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext:            dialer.DialContext,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        60 * time.Second,
		ResponseHeaderTimeout:  headerTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // what the backend sent is what the client gets
	}
}
