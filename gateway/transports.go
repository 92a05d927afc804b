package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
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
	resp, err := roundTrip(f.next, r)
	for range len(f.upstream.URLs) - 1 {
		if !isDialError(err) || r.Context().Err() != nil {
			break
		}
		again := *r
		address := *r.URL
		again.URL = &address
		again.URL.Host = f.upstream.nextURL().Host
		resp, err = roundTrip(f.next, &again)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream %s: %w", f.upstream.Name, err)
	}
	return resp, nil
}

// isDialError reports whether a connection could not be made.
func isDialError(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// roundTrip ends the reading of the request's body when the upstream's connection is closed before there is an answer: net/http
// would hold its error back until the client has sent more of the body, or all of it.
func roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	body, ok := r.Body.(interface{ interrupt() })
	if !ok {
		return next.RoundTrip(r)
	}
	var used *upstreamConn // owned by this goroutine, from which GotConn is called
	leave := func() {
		if used != nil {
			used.watch(nil)
		}
	}
	client := r.Context()
	resp, err := next.RoundTrip(r.WithContext(httptrace.WithClientTrace(client, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		leave()
		if used, _ = got.Conn.(*upstreamConn); used != nil {
			used.watch(func() {
				if client.Err() == nil { // else the client has gone
					body.interrupt()
				}
			})
		}
	}})))
	leave()
	return resp, err
}

// upstreamConn is a connection to an upstream, whose closing can be watched.
type upstreamConn struct {
	*net.TCPConn
	mu     sync.Mutex
	closed bool   // guarded by mu
	notify func() // guarded by mu
}

// watch has f called when the connection is closed, at once where it is; nil ends that.
func (c *upstreamConn) watch(f func()) {
	c.mu.Lock()
	closed := c.closed
	c.notify = f
	c.mu.Unlock()
	if closed && f != nil {
		f()
	}
}

// Close implements net.Conn.
func (c *upstreamConn) Close() error {
	c.mu.Lock()
	f := c.notify
	c.closed, c.notify = true, nil
	c.mu.Unlock()
	if f != nil {
		f()
	}
	return c.TCPConn.Close()
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
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok {
				return &upstreamConn{TCPConn: tcp}, nil
			}
			return conn, err
		},
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        60 * time.Second,
		ResponseHeaderTimeout:  headerTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // what the backend sent is what the client gets
	}
}
