// Package edge is where bytes come in: listeners, TLS, certificates and the
// limits of connections. It stands on floor 2 and knows nothing of policies or
// logins; what it hands on are requests whose header arrived whole, in time,
// and within bounds.
//
//   - listen.go: sockets on both loopbacks, errors that name port and setting.
//   - conn.go: how many connections, and the write timeout for slow readers.
//   - proxyproto.go: the client's address from load balancers that are trusted.
//   - accept.go: connections, each with a goroutine of its own.
//   - server.go: TLS handshakes, each with a timeout of its own; HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3. internal/http1/server speaks HTTP/1.1 (a message with ambiguous framing, which is request
//     smuggling, is refused there), internal/http2 HTTP/2. What they refuse, Options.Refuse answers. They bound how slow uploads
//     and readers may be.
//   - drain.go, connections.go: the way down: drain, GOAWAY, end. Whoever was accepted has an answer, as far as it asks in time.
//   - http3.go: HTTP/3, by internal/http3, where there are sockets for it.
//   - redirect.go: plain HTTP, which redirects and does nothing else; a host with a final
//     dot to the name without it. What cannot be redirected is refused as over TLS.
//   - plain.go: plain HTTP for proxies nearby that ask about requests, HTTP/1.1 or HTTP/2 with prior knowledge.
//   - tickets.go: session ticket keys, rotated together by a fleet.
//   - hosttls.go: what one host asks of its connections: a version, client certificates.
//   - source.go: where certificates come from, [Source]. files.go reads them
//     from files, localca.go makes them for machines that are not public, and
//     [Managed] is given them by package acme below, which obtains them from an
//     ACME authority. validity.go: which have expired, or will soon.
//
// Below it in the tree, and imported by no other room than cmd/vilogate, which
// joins them: acme obtains certificates and renews them, certstore is where they
// are kept. These alone know certmagic, libdns and Redis.
//
// What it keeps: serving never waits for a certificate, since a source answers
// from memory; a certificate that cannot be used never replaces one that can;
// and nobody but a trusted proxy says where a connection comes from.
package edge
