// Package gateway is the request path: it decides, once and at the edge,
// whether a request may reach a backend, and forwards it with identity headers
// that only the gateway can have made. It stands on floor 2: it knows policies,
// tokens and revocations, and never the identity provider, whose handler (or
// address) it is handed.
//
// # A request's way
//
// [Gateway.ServeHTTP] reads like this list; each step is one file.
//
//   - canonical.go: host, method and path are made canonical, once. Whatever is
//     ambiguous ends here. What is authorised later is this very value, and
//     this very value is forwarded.
//   - own.go, logout.go, login.go: the gateway's own paths, and the login host,
//     which no policy names.
//   - route.go: the host's policy, the connection's certificate, the route.
//   - cors.go: preflights are answered here, and nobody is asked who they are.
//   - credentials.go, authenticate.go: the Bearer token, or the SSO cookies, to a
//     principal. Everything needed is in memory.
//   - authorise.go: the route's decision, and the CSRF rule for cookies.
//   - stepup.go: who has to sign in again, and how that cannot become a loop.
//   - shadow.go: what policies in the shadow would have decided. It changes nothing.
//   - options.go, rate.go: how large the body may be, and how often may be asked.
//   - headers.go, identity.go: what a stranger could have forged is removed;
//     the principal's headers and the signed assertion are added.
//   - account.go: the decision is put into the audit log, before it takes effect.
//   - forward.go, options.go: the one narrow seam to the backend, and what a route
//     changes of request and answer.
//   - refuse.go: every refusal, as a page for people and as problem+json for
//     programs.
//   - record.go: one access record a request, also after a panic.
//
// # What this package keeps
//
// What was authorised is what is forwarded: the outgoing request line is
// written from the canonical target, never from what net/http parsed. A route that
// strips a prefix takes whole segments from its front; nothing is read anew.
//
// Identity headers come from the gateway alone: every name that folds into a
// reserved one is removed, whether it comes in the header, is named in
// Connection, or arrives as a trailer.
//
// No network on the hot path: keys, revocations, limits and policies are read from
// memory. A request that passes costs no round trip but its upstream's.
//
// It fails closed and keeps serving the rest: a stale revocation view or
// missing keys are 503 on protected routes, and public routes go on.
//
// A request keeps the [Generation] that it began with, whichever
// is the current one by the time it ends.
package gateway
