// Package acme obtains certificates from a certificate authority that speaks
// ACME (RFC 8555), by DNS-01 through Cloudflare, and renews them (RFC 9773). It
// belongs to gateway/edge, on floor 1, and joins certmagic (storage, locks,
// keys, propagation) with libdns/cloudflare.
//
//   - manager.go: a [Manager] has one certificate for each name, and looks after
//     them in one goroutine; status.go tells how they are.
//   - look.go: from the storage, and from the copy, to what is served, and back.
//   - schedule.go: when a certificate is due, and when a failure is tried again.
//     Pure.
//   - resource.go: a certificate with its key as it is stored, and the copy of
//     what is served.
//   - issuance.go, order.go, account.go: one attempt, step by step.
//   - pending.go: what of an attempt survives the end of the process.
//   - solver.go, cloudflare.go: the TXT record of a challenge.
//   - problem.go: why there is no certificate, and what to do about it.
//   - clock.go: what the authority's answers say about our clock and our pace.
//   - staple.go: OCSP, where an authority still has it.
//
// # What it keeps
//
// Serving never waits. What was served before is served again at once, from a
// copy that is written whole and needs neither the shared storage nor the
// authority; it goes on being served, even past its end, until there is
// something better.
//
// Nothing is ordered twice. Before anything costs something at the authority it
// is written down: the account's key before the account, the order and its key
// before the challenge, a failure with the time before which there is no other
// attempt. A process that ends at any moment is followed by one that goes on
// from there. In a fleet the storage's lock makes it one attempt for all.
//
// Nothing is issued for a name that nobody configured, and no error, log line or
// status holds a secret.
package acme
