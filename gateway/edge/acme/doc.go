// Package acme obtains certificates from a certificate authority that speaks
// ACME (RFC 8555), by DNS-01 through Cloudflare, and renews them (RFC 9773). It
// belongs to gateway/edge, on floor 2, and joins certmagic (storage and locks, the
// solver of DNS-01) and its acmez with libdns/cloudflare.
//
//   - manager.go, run.go: a [Manager] has one certificate for each name, and renews them
//     in one goroutine; status.go reports their status, and takes renewal requests.
//   - schedule.go: when a renewal is due, and the backoff after a failure. Pure.
//   - record.go: what is stored, each value whole or not at all.
//   - look.go: from the storage to what is served, and back.
//   - attempt.go: one attempt under the lock of a name; issuance.go, order.go and
//     account.go: its steps at the authority; pending.go: what the next one resumes.
//   - solver.go, cloudflare.go: the TXT record of a challenge.
//   - problem.go, advice.go: why there is no certificate, and what to do about it.
//   - clock.go: clock skew and Retry-After, from the authority's answers.
//   - staple.go: OCSP stapling, where an authority still has it.
//
// # What it keeps
//
// Serving never waits. What was served before is served again at once, from a
// copy that is written whole and needs neither the shared storage nor the
// authority; it goes on being served, even past its end, until there is
// something better.
//
// Nothing is ordered twice. Before anything costs something at the authority it
// is written down: the account's key before the account, the certificate's key
// before the order, the order before the challenge, a failure with the time before
// which there is no other attempt. A process that ends is followed by one that
// goes on from there; only an order whose answer was lost is lost. The lock of a
// name is held from the first look to the last word, so that in a fleet one
// process's success, and its failure, is everybody's.
//
// Nothing is issued for a name that nobody configured, and no error, log line or
// status holds a secret.
//
// # Why an attempt of our own
//
// certmagic gives what is hard to get right and changes with the world: storage,
// locks that are leases, and the search for the zone and the wait for the record
// of DNS-01. Its own obtain and renew keep in memory what they are about: after a
// kill the order is placed anew, and why the last one failed, or until when the
// authority wants to be left alone, is forgotten. An authority counts both. So the
// steps between lock and certificate are written here, on acmez, each behind a
// record of what it is about to cost.
//
// # Why a certificate for each name
//
// An order for several names fails as a whole when one of them does, and another
// list of names is another certificate, to be ordered at once for all. With one
// each, a name that cannot be validated any more costs the others nothing, and
// lock, schedule and failure are all of a name.
package acme
