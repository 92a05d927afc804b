// Package http2 serves connections of HTTP/2 (RFC 9113), and hands each request to an http.Handler.
//
// It belongs to gateway, and knows nothing of it. It is given connections whose TLS handshake has ended with "h2", and says what an
// http.Handler expects of net/http: http.ResponseController, trailers, informational answers, http.ErrAbortHandler. HPACK is
// golang.org/x/net's.
//
// # A request's way
//
// One goroutine reads the connection, and waits for nothing else: it parses a frame, decodes a header block, and starts the handler
// in a goroutine of the pool. The handler writes into a buffer of 16 KiB, nearly, which with the header of its frame fill a TLS record; when that is full, or flushed, or the handler returns, the
// frames are appended to the connection's output under its one mutex, in turn with other streams, a frame of at most 16 KiB each.
// Whoever has appended something and finds nobody writing writes, everything that there is, and goes on until there is nothing:
// answers that are ready together leave together. So a request costs one goroutine's waking, and no channel.
//
// Frames leave in the order in which they were appended. At most 64 KiB wait before a control frame, and what the kernel holds.
//
// Files, from the lowest:
//
//   - code.go, frame.go, limits.go: error codes, frames as bytes, and what bounds a client.
//   - tokenbucket.go: a token bucket for what a client may do too often.
//   - names.go, headerlist.go, request.go: what a header block says, and what a request is made of. Pure.
//   - inbox.go, input.go, pool.go: bodies that wait, the reader's buffer, parked goroutines.
//   - unsent.go: what of an answer is not sent yet.
//   - options.go, conn.go: a connection and its streams, as data: who owns what.
//   - queue.go, output.go, streamend.go, drain.go: frames that wait, and whose turn it is; who writes, and how streams and connections end.
//   - encode.go, body.go, send.go, answer.go: the request's body, and its answer, as the handler sees them.
//   - tunnel.go: the WebSocket that a stream has become.
//   - handle.go, begin.go: a handler's run.
//   - receivedata.go, receiveheaders.go, receivecontrol.go: what each frame does.
//   - watch.go: the timeouts, all by one timer a connection.
//   - read.go, server.go: the reader, and the server.
//
// # What is refused, and how
//
// A malformed request (section 8.1.1) is answered with 400 by Options.Malformed, and its stream is then reset with PROTOCOL_ERROR:
// names that are no tokens in lower case, control characters, fields of HTTP/1.1's
// connections, TE other than trailers, pseudo-header fields that are missing, unknown, repeated or late, a scheme other than https
// and http, a path that does not begin with a slash, has a space in it or cannot be parsed, no authority, one with user
// information, Host that differs from it, a Content-Length that is repeated, no number, or beside no body. A header beyond the limits is
// answered with 431; HPACK's state stays in step. A body of another length than its Content-Length, and malformed trailers, reset
// the stream with PROTOCOL_ERROR, since the handler is under way. A stream beyond the limit is reset with REFUSED_STREAM. What
// RFC 9113 calls a connection error ends the connection with GOAWAY; so do floods, with ENHANCE_YOUR_CALM. What such a client still
// sends is passed over for a second, so that it sees the GOAWAY.
//
// There is no server push, and priorities are not followed (SETTINGS_NO_RFC7540_PRIORITIES): streams take turns.
//
// # WebSockets
//
// Extended CONNECT (RFC 8441) is offered, for WebSockets: the handler is given the GET of HTTP/1.1 that stands for it, with Upgrade and
// without a body, and opens the WebSocket by SwitchProtocols of the writer, which gives it a tunnel: what DATA carries, each way. What a
// client sends before that waits in the stream's window. END_STREAM is the end of one way; header fields in a tunnel, and anything that
// is wrong elsewhere, reset it. An answer of 2xx without a tunnel would open one, and is reset with INTERNAL_ERROR. :protocol of
// anything else is 501 by Options.Malformed; CONNECT without it is the handler's to refuse.
//
// # What differs from net/http
//
// No Content-Type is guessed. Spaces around a value are left out, as in HTTP/1.1. Expect stays in the header. The rest of a request that is not read is refused with RST_STREAM
// NO_ERROR behind the answer. An answer that is shorter than its Content-Length is cut off. What was written before
// http.ErrAbortHandler leaves before the reset. ServeConn waits for its handlers.
//
// # What bounds a client
//
// [Limits] names the bounds and says why. The timeouts count what the client takes, never the handler's own time: the minimum rate of a
// body counts while a read waits, the write timeout while a write waits for the windows, or the connection. While a
// connection waits for a frame it has no read buffer, and while it has nothing to say no write buffer.
//
// The public conformance suite, h2spec, passes in strict mode, all of its 146 cases (TestH2spec). FuzzConnection sends anything;
// TestFlowControlAndStates runs random schedules against a model.
package http2
