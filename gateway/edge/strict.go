package edge

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http"
)

// strictConn is a connection of HTTP/1 on which no message arrives that could be
// taken apart in two ways. In its place net/http reads something that it refuses
// with 400, and after which it closes; what was asked before is still answered.
// Only one goroutine reads at a time, as net/http does.
type strictConn struct {
	*tls.Conn
	framing framing
	refused bool
	pending []byte // of the poison
}

// Read implements net.Conn.
func (c *strictConn) Read(p []byte) (int, error) {
	if len(c.pending) > 0 {
		n := copy(p, c.pending)
		c.pending = c.pending[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	for c.refused && err == nil { // nobody is to see what follows
		n, err = c.Conn.Read(p)
	}
	if c.refused {
		return 0, err
	}
	good, bad := c.framing.feed(p[:n])
	if bad == nil {
		return n, err
	}
	c.refused, c.pending = true, c.framing.poison()
	if good > 0 {
		return good, nil
	}
	return c.Read(p)
}

type tlsStateKey struct{}

// withTLSState hands the state of TLS on to the requests of a strictConn, in
// which net/http does not find it.
func withTLSState(ctx context.Context, conn net.Conn) context.Context {
	strict, ok := conn.(*strictConn)
	if !ok {
		return ctx
	}
	state := strict.ConnectionState()
	return context.WithValue(ctx, tlsStateKey{}, &state)
}

// seeTLSState gives every request its TLS state, and whoever takes a connection
// over the connection itself: what is spoken there is no longer HTTP.
func seeTLSState(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if state, ok := r.Context().Value(tlsStateKey{}).(*tls.ConnectionState); ok {
			r.TLS = state
			if r.Header["Upgrade"] != nil {
				w = takeover{w}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// takeover is an answer that may become a takeover of the connection.
type takeover struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (t takeover) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements http.Hijacker.
func (t takeover) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if strict, ok := conn.(*strictConn); ok {
		conn = strict.Conn
	}
	return conn, buffered, err
}
