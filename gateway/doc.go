// Package gateway is the request path: it decides, once and at the edge,
// whether a request may reach a backend, and forwards it with identity headers
// that only the gateway can have made. It stands on floor 2: it knows policies,
// tokens and revocations, and never the identity provider, whose handler (or
// address) it is handed.
//
// # A request's way
//
// A request is an exchange in four stages. Each stage is made whole by one step,
// is read-only afterwards, and knows the stages before it alone; what all of them
// write to are the access record and the reply. exchange.go has the stages; serve, in
// serve.go, reads like this list.
//
// Received:
//
//   - receive.go: when it began, who asks as far as trusted proxies can be believed,
//     and under which id.
//
// Located, before anybody is asked who they are:
//
//   - locate.go: policies.Locate makes host, method and path canonical, once, and
//     finds out what they are for: one of the gateway's own paths, the login host, a
//     preflight, or a route. Whatever is ambiguous ends here. The connection's
//     certificate has to cover the host. A navigation to a host with a final dot is
//     redirected to the name without it.
//
// Decided, in memory:
//
//   - credentials.go, cookiename.go, cookievalues.go, tokenheaders.go, authenticate.go, principal.go: the Bearer token (of a WebSocket also as a subprotocol, subprotocol.go),
//     or what a proxy in front has put into a header, or the SSO cookies, to a
//     principal, where the answer depends on it. keytries.go: who pays for tokens that do not name their key.
//   - renew.go: an expired token of our own IdP is checked there before a byte of the body is
//     read, unless another site could have brought the request about; internal/renewals asks
//     once for all. The successor is added when the answer's header leaves.
//   - sendkept.go: whether it asks for a form to be sent that was kept while its sender signed in; the rest of its way is then
//     that form's, which is taken from where it is kept when nothing refuses it any more.
//   - decide.go: what policies.Decide says of it, CSRF protection included; a refusal
//     for everything but Allow.
//   - shadow.go: shadow decisions: what other policies would have decided. It changes nothing.
//   - stepup.go: who has to sign in again, and how that cannot become a loop.
//   - own.go, logout.go, cors.go: what the gateway answers itself; keptpage.go: the page that asks whether to send such a form.
//   - options.go, limit.go: how large the body may be, and how often may be asked;
//     rate.go: a route's rate at run time.
//
// Forwarding:
//
//   - headers.go, identityheaders.go, identity.go: what a stranger could have forged is removed;
//     the principal's headers and the signed assertion are added.
//   - auditlog.go: the decision is put into the audit log, before it takes effect.
//   - clientcert.go: what the backend is told of the client's certificate, where the host has asked for one.
//   - connectionauth.go, ownconnection.go: logins that are bound to a connection are
//     refused, or have a connection to the backend that is one client's alone.
//   - forward.go, proxy.go: the one narrow seam to the backend. outgoing.go and requestbody.go are what it is sent, answer.go
//     and upgrade.go what becomes of its answer, extendedconnect.go what is different where a WebSocket comes over HTTP/2, connections.go over which connections: package
//     internal/http1/client speaks HTTP/1.1 to it, by the grammar of internal/http1, and internal/http2/client HTTP/2, for which
//     sendhttp2.go writes the request and upstreamanswer.go is what both give back. Fields go through as a list
//     (internal/field), in the order and spelling in which they were sent: what headers.go leaves of the request's, and the
//     answer's, which answer.go, options.go and caching.go edit in place. options.go: what a route changes of request
//     and answer; login.go: the same to the identity provider.
//   - buffers.go, buffering.go: bodies that are held in memory, so that slow clients hold no backend, but on routes with stream: true. A request's is taken in before an
//     address is chosen, and an answer is read ahead of a reader who falls behind by internal/readahead; internal/quota bounds the memory, and
//     internal/spool has the files of what that does not take.
//   - grpc.go: which request is a call of gRPC, its deadline, and the statuses in place of refusals and cut-off answers.
//   - streams.go, streamend.go: what ends a request under way before its time; internal/streams knows which there are,
//     internal/websocket ends a WebSocket at a frame's end.
//   - affinity.go: what requests have in common that go to the same address; affinityinflight.go: how many of one client's may;
//     proxyheader.go: how an upstream is told of the client before HTTP begins.
//   - attempts.go: which address of the backend is asked, and when another one is;
//     internal/balancer knows which can be, addresses.go keeps that and the health
//     checks from one generation to the next. resolved.go: names, of which internal/resolve knows the addresses, which are looked up
//     again. upstreamurl.go and upstreamtls.go are what an address can be, endpoint.go
//     and tlsconfigs.go how it is asked.
//   - upstreamlimits.go, slot.go, admission.go: how much may be under way, at an upstream, of one client and in all, and what is
//     refused; internal/admission has the slots and the queue before them.
//
// Or, for a request that another proxy holds and asks about (forward auth), in place of the last three:
//
//   - forwardauth.go, authrequest.go, extauthz.go: what a proxy asks, in HTTP (internal/forwardauth) or by Envoy's call of gRPC
//     (internal/extauthz), becomes a request that takes all of the way above; forwardauthstate.go and forwardauthcheck.go are what is known of it besides,
//     and what is refused for it (refusalforwardauth.go).
//   - forwardauthanswer.go: what it would be forwarded with is told to the proxy, and what is to be removed. It needs no backend. Leave is
//     given there alone, whatever the status of an answer.
//   - authreply.go, authreplywrite.go, extauthzreply.go: the answer in the form that the proxy takes. It says of no cookie that it has left.
//
// And on every way:
//
//   - gateway.go, generation.go: what a Gateway is made of, and what a reload swaps.
//   - loginloop.go: how often a browser may be sent to somebody else's login page, and
//     what ours is told of its cookie.
//   - refusal.go: the refusals; refuse.go writes them, as a page for people (page.go) and as
//     problem+json for programs; return.go: where a login comes back to; keep.go: a form of somebody whose session has ended
//     is kept (package posts) for after the login, kept.go whose it is.
//   - refusemessage.go: what is no request, because it is not HTTP as it may be, or too long: package edge has it refused here.
//   - upstreamfailure.go: what becomes of a request that was not answered; reply.go: what every answer carries.
//   - accesslog.go, record.go: one access record a request, also after a panic; sampler.go: of a flood, a part.
//
// # What this package keeps
//
// What was authorised is what is forwarded: the outgoing request line is
// written from the canonical target, never from what the server parsed. A route that
// strips a prefix takes whole segments from its front; nothing is read anew.
//
// Identity headers come from the gateway alone: every name that folds into a
// reserved one is removed, whether it comes in the header, is named in
// Connection, or arrives as a trailer. So is what other products are known to set,
// and what frameworks take for the client's address (request.ClassifyHeader).
//
// No network on the hot path: keys, revocations, limits and policies are read from
// memory. A request that passes costs no round trip but its upstream's, and one to the
// identity provider for each token that has expired.
//
// It fails closed and keeps serving the rest: a stale revocation view or
// missing keys are 503 on protected routes, and public routes go on. So is a token
// whose key is not known yet, while its issuer is asked for it. What is 503 keeps
// its cookie, and is sent to no login.
//
// What a backend may have read is not sent again, unless its method is idempotent and it has no body: to another address, or,
// where a kept connection was closed at that moment, once to the same one. With retry: off it never is.
//
// A body that is taken in is held until it was sent; neither it nor what is read ahead of an answer changes what leaves when: what
// has come of an answer leaves as soon as the client takes it. An aborted upload of that kind reaches no backend.
//
// What a backend answers is taken by one strict reading or not at all (internal/http1): a status outside 100 to 599, or a
// length that could be read in two ways, is 502. It leaves when the backend pauses. An answer that the backend cuts off is cut
// off for the client too, behind its header and what came of it, and never taken for a whole one. A
// connection on which a backend has said something unasked is not used again; what it says in the very moment in which the next
// request leaves cannot be told from an answer (RFC 9112, section 9.3).
//
// # Upstreams of HTTP/2, and gRPC
//
// An upstream speaks HTTP/1.1, or HTTP/2 where its addresses say so. All is decided, cleaned and added alike; the last step writes
// fields in place of lines. There are no upgrades there, and no connection is one client's. What such an upstream says that
// it has not processed is sent again, whatever its method, as long as all that was read of its body is 16 KiB at most.
//
// A call of gRPC is a POST over HTTP/2 or later whose Content-Type is application/grpc, for an upstream of HTTP/2. What a client says of itself
// changes nothing for any other upstream, and no decision anywhere. A call is never held or read ahead, and has the time that
// its grpc-timeout says in place of the upstream's. Refused, it is answered by 200 with a grpc-status, and what every refusal
// carries; records and metrics have the status of HTTP, and grpc_status beside it. A call whose answer is cut off ends with a
// status too: 4 at its deadline, 16 or 7 when its sign-in or the policies end it, 14 else. gRPC-Web is a request as any other.
//
// # WebSockets
//
// A handshake is a GET with Upgrade in HTTP/1.1, and an extended CONNECT in HTTP/2 (RFC 8441), which the server makes the same GET of:
// it is decided, cleaned, counted, recorded and forwarded alike (extendedconnect.go). The upstream is asked by an upgrade of HTTP/1.1 in
// either case. The client's frames and extensions are passed through. Over HTTP/2 there is no Sec-WebSocket-Key: the gateway sends one
// of its own, whose Sec-WebSocket-Accept has to be right; 101 is 200 there, so any other answer of 2xx is 502, and where there can be
// no WebSocket (a route without websocket: true, an upstream of HTTP/2, the gateway's own paths, the login host) the handshake is 400.
// An extended CONNECT for anything else is 501, and CONNECT 405. HTTP/3 has no WebSockets here (RFC 9220).
//
// The scripts of browsers cannot send Authorization with a handshake. A subprotocol bearer.<token> is one that counts as
// Authorization: Bearer (subprotocol.go), where an issuer of ours could have made the token; any other is a name that the backend may
// know. It is taken out before the backend, and selected in the answer where that selects none, since browsers fail a WebSocket with
// subprotocols of which none is selected. Two, or one beside Authorization, are 400. With forward_token the backend gets it as Authorization.
//
// # What ends with the sign-in
//
// A request that outlives its decision (a WebSocket, an event stream, a gRPC stream, a long download or upload, an answer
// that is waited for) is bound to it, where it depended on who asks: it ends within a second, at every gateway, when the token, the
// session or the subject that it was admitted by is revoked. Public routes are not bound so, whoever is signed in, nor are
// anonymous requests to optional ones. Every request ends likewise when the policies of a reload would not admit it, judged
// as it was made and with who made it, at the time of the reload; a route or host that is gone admits nobody. Rates, sizes and
// upstreams are not judged again, nor is the token. A route with streams: keep is left out of all that.
//
// A token's end is not the end of what it admitted. Of our own identity provider's, it is asked at that time whether the session
// lives, once for all streams of the session, and then when it says (Options.Sessions): by the session's sid and the iat
// that they were admitted with, which is no use of the session. Without an answer it is asked again after a second, and at
// last every minute, and after fifteen the streams end. Streams by other issuers' tokens, whose sessions are not known, go
// on until a revocation names the token, the session or the subject; so do all where there is nobody to ask.
//
// A call of gRPC is answered by a status, or where that cannot leave within a second, reset. A WebSocket is sent a close frame, 4401 "signed out" or "not allowed any more", behind the frame that is on its way, and so is
// its backend; nothing more of what the client sends arrives there. Where no frame ends within a second, the connection is
// cut. Everything else is cut off so that a client sees it: by a reset of the stream in HTTP/2, by the end of the connection in
// HTTP/1.1. When the process drains, what has been upgraded has as long as other requests to end by itself, and is closed
// with 1001 then.
//
// A WebSocket one end of which takes nothing for a minute of what the other sends, or goes on for a minute when the other has
// ended, is closed.
//
// # What is too much
//
// A request has a slot at its upstream from before an address is chosen until the answer has come, and a WebSocket as long as it
// is open. Where there is none it waits in a short queue, and is refused with 503 behind that; a retry gives its slot back and
// waits anew. What is held for slow clients (a body that is taken in, an answer that is read ahead) holds no slot. Beside that, one
// client has a bounded number of requests under way at all upstreams (429), and all together as many as there are files for (503).
// An upstream with a breaker is not asked at all for a while, when too many requests in a row had no answer, or 502, 503 or 504.
// The login host counts for neither, and in another process has a part of its own.
//
// An open stream costs about 500 bytes in the index (TestWhatAStreamCosts in internal/streams). An idle WebSocket takes 29 KB of heap
// and stacks behind a collection, HTTP/1.1 with TLS in front and without behind: 12 of them are the stacks of two goroutines, 6 what
// TLS keeps, 640 bytes the frames that are followed; over HTTP/2 it is a stream, and takes less. Resident are 36 KiB where the collector runs often (TestIdleConnectionsAreSmall in
// cmd/vilogate). A buffer of 512 bytes each way is all that waits. A request of less than a quarter of a second costs two locks, and no
// allocation.
//
// A request keeps the [Generation] that it began with, whichever
// is the current one by the time it ends.
package gateway
