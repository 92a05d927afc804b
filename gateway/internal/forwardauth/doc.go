// Package forwardauth reads which request a proxy asks about: forward auth, in which a proxy in front of a backend holds a
// request, asks for a decision, and forwards the request itself. It is pure, and stands on floor 0.
//
// Method, scheme, host and target (path and query) of the request that is held stand in headers, or in the request that asks:
//
//   - X-Forwarded-Method, X-Forwarded-Uri, X-Forwarded-Proto, X-Forwarded-Host: ForwardAuth of Traefik, forward_auth of Caddy,
//     HAProxy with the action of deploy/forward-auth.
//   - X-Original-Method, and X-Original-URI or X-Original-URL, besides Host, X-Forwarded-Host and X-Forwarded-Proto:
//     auth_request of nginx, ingress-nginx.
//   - The method, the Host, and the target behind [Path], besides X-Forwarded-Proto: ext_authz of Envoy over HTTP, with
//     path_prefix.
//
// Clients can send all of these headers, and proxies overwrite only those of their own way. So whatever is said counts: what is
// said twice, by two headers that differ, or in a spelling that other servers fold into one of them, is refused, and so is what is
// not said at all. Nothing is preferred to anything else.
//
// Whose word it is, and what becomes of the request, is for the gateway.
package forwardauth
