// Package backchannel is how gateways ask our own identity provider about sessions: whether the handle in a cookie is good,
// for a token in its place, and whether a session lives. In one process it is a call; between two it is HTTP.
//
//   - sessions.go: what is asked, and what is answered.
//   - message.go: the messages, and the MAC on each.
//   - client.go: the gateway's side over HTTP. server.go: the identity provider's, at [Path] of its own listener.
//
// A message is JSON, in a POST. Its MAC (HMAC-SHA256 by a key derived from the fleet's secret) covers method, path, time and
// body; the answer's covers the request's MAC and its own body, so that neither can be forged or belong to another. What is
// older or newer than [MaxSkew] is refused, and the error tells by how much the clocks differ. All messages are idempotent:
// one that is replayed within that time changes nothing more.
//
// The package stands on floor 1. What a gateway believes of a person is not the channel's word: claims come signed by the
// identity provider's key, and are verified as any token.
package backchannel
