// Package http3 serves HTTP/3 (RFC 9114) over QUIC, by github.com/quic-go/quic-go: the transport, QPACK and the messages are that
// library's. What is here is what the gateway asks of every server: time limits, a bound of connections, draining.
//
//   - server.go: the listener, and its end.
//   - limits.go: what one client may use.
//   - connection.go: how long a connection may have no request.
//   - timed.go: the body and the answer of a request, with the time that a client may let its own bytes be waited for.
//
// A connection without a request ends after Limits.IdleTime; streams whose header has not come whole are no requests, and there are
// Limits.Streams of them at most. An upload of known length has Limits.BodyMinRate; a client that takes nothing of an answer has
// Limits.WriteTimeout. A client address is validated (Retry, RFC 9000, section 8.1.2) while many connections are open.
// 0-RTT is refused: what it brings could be a replay. A malformed message ends its stream, and a header beyond Limits.HeaderBytes
// is 431; both are the library's answers, and leave no access record. There are no upgrades, and no datagrams.
package http3
