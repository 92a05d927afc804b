package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// roundTrip ends the reading of the request's body when the upstream's connection is closed before there is an answer: net/http
// would hold its error back until the client has sent more of the body, or all of it.
func roundTrip(next http.RoundTripper, r *http.Request) (*http.Response, error) {
	body, ok := r.Body.(*requestBody)
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
		body.connected = true
		if used, _ = got.Conn.(*upstreamConn); used != nil {
			used.watch(func() {
				if client.Err() == nil { // else the client has gone
					body.interrupt()
				}
			})
		}
	}})))
	leave()
	if err != nil && used != nil && body.wasInterrupted() && !isTimeout(err) {
		err = used.closedBy(err) // net/http may say only that the body ended, or that the context did
	}
	return resp, err
}

// isTimeout reports whether something took too long.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// upstreamConn is a connection to an upstream, whose closing can be watched, and whose
// errors say whether an answer had begun. net/http reads from one goroutine, and writes
// from one.
type upstreamConn struct {
	*net.TCPConn
	answered atomic.Bool // anything was read
	asked    atomic.Bool // something was written since

	mu     sync.Mutex
	closed bool   // guarded by mu
	notify func() // guarded by mu
}

// closedError says that a connection was closed before an answer began.
type closedError struct {
	Err   error
	first bool // nothing had been answered on it before
}

func (e *closedError) Error() string { return e.Err.Error() }

func (e *closedError) Unwrap() error { return e.Err }

// Read implements net.Conn.
func (c *upstreamConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if n > 0 {
		if !c.answered.Load() {
			c.answered.Store(true)
		}
		c.asked.Store(false)
	} else if err != nil {
		err = c.closedBy(err)
	}
	return n, err
}

// Write implements net.Conn.
func (c *upstreamConn) Write(p []byte) (int, error) {
	c.asked.Store(true)
	n, err := c.TCPConn.Write(p)
	if err != nil {
		err = c.closedBy(err)
	}
	return n, err
}

// ReadFrom implements io.ReaderFrom: net/http sends bodies by it. An error may be the
// body's, who then knows.
func (c *upstreamConn) ReadFrom(r io.Reader) (int64, error) {
	c.asked.Store(true)
	n, err := c.TCPConn.ReadFrom(r)
	if err != nil {
		err = c.closedBy(err)
	}
	return n, err
}

// closedBy says of an error of the connection whether an answer had begun.
func (c *upstreamConn) closedBy(err error) error {
	if first := !c.answered.Load(); first || c.asked.Load() {
		return &closedError{err, first}
	}
	return err
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

// How long a connection to an upstream may take: to one of several addresses while there
// are others to try, and to the only or the last one.
const (
	dialTimeoutAmongMany = time.Second
	dialTimeout          = 5 * time.Second
)

// lastAddressKey marks requests that have no other address to go to.
type lastAddressKey struct{}

// poolKey is what connections are kept apart by.
type poolKey struct {
	headerTimeout time.Duration // zero for none
	keepAlive     time.Duration // how long a connection may be idle; negative for no use after an answer
	dialTimeout   time.Duration
}

// poolKey is by what the upstream's connections are kept apart from others, for requests
// whose answer's header may take so long; 0 for any time.
func (u *upstream) poolKey(headerTimeout time.Duration) poolKey {
	key := poolKey{headerTimeout: headerTimeout, keepAlive: u.KeepAlive, dialTimeout: dialTimeout}
	if len(u.URLs) > 1 {
		key.dialTimeout = dialTimeoutAmongMany
	}
	return key
}

// transports are the connections to the upstreams: one pool for each poolKey in use.
// They outlive generations, so that a reload drops nothing.
type transports struct {
	mu    sync.Mutex
	pools sync.Map // poolKey → *http.Transport; written under mu
}

// of returns the pool of that key.
func (t *transports) of(key poolKey) http.RoundTripper {
	if pool, ok := t.pools.Load(key); ok {
		return pool.(*http.Transport)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	pool, _ := t.pools.LoadOrStore(key, newTransport(key))
	return pool.(*http.Transport)
}

// prepare makes the pools that gen needs, and gives them to its upstreams.
func (t *transports) prepare(gen *Generation) {
	for _, u := range gen.upstreams {
		u.transport, u.noTimeout = t.of(u.poolKey(u.Timeout)), t.of(u.poolKey(0))
	}
	if u := gen.login; u != nil {
		u.transport = t.of(u.poolKey(loginTimeout))
	}
}

// retire forgets the pools that gen does not need, and closes what is idle in
// them; requests under way finish on theirs.
func (t *transports) retire(gen *Generation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	needed := map[poolKey]bool{}
	if gen != nil {
		if u := gen.login; u != nil {
			needed[u.poolKey(loginTimeout)] = true
		}
		for _, u := range gen.upstreams {
			needed[u.poolKey(u.Timeout)], needed[u.poolKey(0)] = true, true
		}
		for _, host := range gen.Policies.Hosts() {
			policy := gen.Policies.Policy(host)
			if u := gen.upstreams[policy.Upstream]; u != nil {
				for _, route := range policy.Routes() {
					needed[u.poolKey(route.Timeout)] = true
				}
			}
		}
	}
	t.pools.Range(func(key, pool any) bool {
		if !needed[key.(poolKey)] {
			t.pools.Delete(key)
			pool.(*http.Transport).CloseIdleConnections()
		}
		return true
	})
}

func newTransport(key poolKey) *http.Transport {
	dialer := &net.Dialer{Timeout: key.dialTimeout, KeepAlive: 30 * time.Second}
	last := &net.Dialer{Timeout: dialTimeout, KeepAlive: dialer.KeepAlive}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			d := dialer
			if ctx.Value(lastAddressKey{}) != nil {
				d = last
			}
			conn, err := d.DialContext(ctx, network, address)
			if tcp, ok := conn.(*net.TCPConn); ok {
				return &upstreamConn{TCPConn: tcp}, nil
			}
			return conn, err
		},
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        max(key.keepAlive, 0),
		DisableKeepAlives:      key.keepAlive < 0,
		ResponseHeaderTimeout:  key.headerTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true, // what the backend sent is what the client gets
	}
}
