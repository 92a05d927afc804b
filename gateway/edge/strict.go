package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// strictConn is a connection of HTTP/1 that passes on no message with ambiguous
// framing (request smuggling). In its place net/http reads an invalid message,
// which it answers with 400 before it closes; earlier requests are still answered.
// Only one goroutine reads at a time, as net/http does.
type strictConn struct {
	*tls.Conn
	framing framing
	refused bool
	invalid []byte // rest of the invalid message to be read
	onClose func() // of Options.ConnContext, or nil; set before the connection is served
	closed  sync.Once
}

// end says once that the connection is closed, or speaks HTTP no longer.
func (c *strictConn) end() {
	if c.onClose != nil {
		c.closed.Do(c.onClose)
	}
}

// Close implements net.Conn.
func (c *strictConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// Read implements net.Conn.
func (c *strictConn) Read(p []byte) (int, error) {
	if len(c.invalid) > 0 {
		n := copy(p, c.invalid)
		c.invalid = c.invalid[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	for c.refused && err == nil { // what follows is discarded
		n, err = c.Conn.Read(p)
	}
	if c.refused {
		return 0, err
	}
	unambiguous, framingErr := c.framing.feed(p[:n])
	if framingErr == nil {
		return n, err
	}
	c.refused, c.invalid = true, c.framing.invalidMessage()
	if unambiguous > 0 {
		return unambiguous, nil
	}
	return c.Read(p)
}

type tlsStateKey struct{}

// withTLSState puts the tls.ConnectionState of a strictConn into the context of
// its requests: net/http does not find it there.
func withTLSState(ctx context.Context, strict *strictConn) context.Context {
	state := strict.ConnectionState()
	return context.WithValue(ctx, tlsStateKey{}, &state)
}

// restoreTLSState sets Request.TLS, and has Hijack return the bare connection:
// what is spoken there after an upgrade is no longer HTTP.
func restoreTLSState(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(tlsStateKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
			if r.Header["Upgrade"] != nil {
				w = hijackable{w}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// hijackable is a ResponseWriter whose Hijack returns the tls.Conn under a strictConn.
type hijackable struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (t hijackable) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements http.Hijacker.
func (t hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if strict, ok := conn.(*strictConn); ok {
		strict.end()
		conn = strict.Conn
	}
	return conn, buffered, err
}
