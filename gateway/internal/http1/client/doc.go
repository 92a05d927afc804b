// Package client sends requests to upstreams over HTTP/1.1, and reads what they answer.
//
// It belongs to gateway, and is on its floor. It knows bytes and connections; which address is asked, and what a request
// and its answer say, is gateway's. Files, from the lowest:
//
//   - key.go: what connections are kept apart by, and made from.
//   - dial.go: connecting to one of the addresses of a host.
//   - socket.go: TCP or a Unix socket, and who hears when it has nothing to read.
//   - tls.go: TLS over it.
//   - conn.go: a connection, and the buffer that it has while it is used.
//   - pool.go: connections that are kept, by address.
//   - upload.go: a request's body on its way.
//   - exchange.go: one request and its answer on one connection.
//   - send.go: choosing the connection.
//
// # Goroutines
//
// A connection has none. The goroutine that asks writes the head, reads the answer's and then its body, and has a second
// one only while a body is sent, which has ended when [Exchange.Close] returns. What ends an exchange from elsewhere, the context
// or [Exchange.Abort], closes its connection. Kept connections are looked through by a timer while there are any.
//
// # Reuse
//
// A connection is kept where the request was sent whole, the answer has ended by its own framing, nothing came behind it, and
// neither side has said that it closes. Before it is used again it is looked at without waiting: one that is closed, or has
// something to be read that nobody asked for, is never used. What remains is that a backend closes it at the same moment:
// where nothing could be written, another one is taken; else the error is a [ClosedError].
//
// # TLS
//
// A handshake that fails is a dial that fails: nothing of the request has left. What TLS waits for is what the socket waits for, so
// that a pause is told likewise, and a kept connection is looked at without waiting through it too: what it has read and not given
// out is unasked. What the session's tickets (RFC 8446, section 4.6.1) are is read with the first answer. An answer that the
// connection's end alone ends is whole where a closure alert came before (RFC 9112, section 9.8).
package client
