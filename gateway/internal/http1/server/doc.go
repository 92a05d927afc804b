// Package server serves HTTP/1.1 (RFC 9112) to a handler of package http.
//
// A connection has one goroutine, which reads a request, has the handler answer it, and reads the next. Buffers come with a
// request and go when the connection is idle. Files, from the lowest:
//
//   - options.go: what all connections share.
//   - input.go, output.go: what is read and not taken, what is said and not written.
//   - watch.go: whether the client goes away while its request is served.
//   - body.go: a body, its one reader, and how long the client may take over it.
//   - conn.go: a connection, and how a request is read from it.
//   - request.go, response.go: a request and its answer, as package http has them; upgrade.go: an answer of 101.
//   - close.go: the end of a connection, in stages; serve.go: one request after another.
//   - server.go: all connections.
//
// # What a connection holds
//
// Idle, no buffer. While a head arrives, one of 4 KiB, or of up to Limits.HeaderBytes where it is longer; while a request is served, the
// text of its head besides, and 32 KiB of what is said and not taken: more of an answer is not read from the handler, and the next
// request is not read before. With its stack, of 16 KiB at most, that is twice Limits.HeaderBytes and 52 KiB, 180 KiB by default,
// whatever the client does (TestFloodsOfHTTP1 in cmd/vilogate); bodies are the handler's (buffer_memory of the configuration).
//
// # What is different from net/http
//
// Whatever cannot be served as it was sent goes to Options.Refuse, so that it is answered and recorded as any other request. A
// body has one reader; the answer may begin while it arrives. Nothing is answered for the handler: 100 (Continue) is said when it
// first reads. An answer that ends while its request still arrives reaches its client: what is left is read away for a while,
// behind the answer, and then the connection is closed in stages. Where the handler panics, the connection ends without the
// client being told that the answer is whole. Content-Type is the handler's to say.
package server
