// Package client sends requests to upstreams over HTTP/2 (RFC 9113), and reads what they answer.
//
// It belongs to gateway, and is on its floor; internal/http1/client does the same over HTTP/1.1, and what connections are kept apart by, how
// they are dialled, and what a body is are that package's. Frames and HPACK are golang.org/x/net's. Files, from the lowest:
//
//   - request.go: what is asked, and how it can fail.
//   - conn.go: a connection and the exchanges on it, as data: who owns what.
//   - output.go: frames that wait and who writes them; how exchanges and connections end.
//   - upload.go: a request's body on its way, as the windows let it.
//   - exchange.go: one request and its answer, as who asks sees them.
//   - head.go, receive.go: what an answer's header says, and what each frame does.
//   - dial.go: a new connection, and its reader.
//   - pool.go: connections by address, and room on them.
//
// # Why connections of our own
//
// The client of x/net and net/http forwards a URL, which it spells anew, and not the path that was decided on; it does not say whether an
// upstream may have read a request that failed, on which it depends who may be asked next; and a read of an answer does not tell
// that it is about to wait, which is when what has come is to leave. Its connections (NewClientConn) are deprecated besides.
//
// # Goroutines
//
// A connection has one, which reads, and a second one while something waits to be written, so that neither who asks nor the reader waits for
// an upstream that takes nothing. An exchange has one while its body is sent, which has ended when [Exchange.Close] returns. Everything
// that they share is guarded by the connection's mu, which nobody holds while reading or writing.
//
// # What is bounded
//
// Of an answer 256 KiB wait for who reads it, and the upstream is let send more as that is taken; what is on its way on all of a
// connection is given back as it comes, so that a slow reader holds up no other. 64 KiB wait to be written before bodies do; an
// upstream that takes nothing for 30 seconds loses its connection. A header has the bounds of HTTP/1.1. Pings are not sent: some
// servers end connections for them, and TCP's own find out who has gone.
//
// # Reuse, and what may be sent again
//
// A request goes on a connection that has room by the upstream's SETTINGS_MAX_CONCURRENT_STREAMS, else on a new one; those who come
// while one is being made wait for it. It is ready when the upstream has sent its settings: who speaks anything else has been sent nothing
// of a request. With GOAWAY no more requests follow. What is above its last stream, refused (REFUSED_STREAM), or was not written when the
// connection ended is an [UnprocessedError]; what may have been read is a ClosedError.
package client
