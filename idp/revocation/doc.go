// Package revocation is the one list of what no longer counts although its
// signature is good: tokens, sessions, and everything that a subject was issued
// up to a moment. It stands on floor 1.
//
//   - entry.go: an [Entry], and how it is written down and sealed with a MAC.
//   - list.go: the [List] that every gateway and IdP holds in memory. Reading it
//     takes no lock and no allocation.
//   - follow.go: how a list follows its log, and puts back what the log forgot.
//   - sql.go: the log in the embedded database, for one process.
//   - redis.go: the log in Redis, for a fleet: a stream that spreads entries in
//     milliseconds, and an expiring index that says all of them, written in one
//     step. scripts.go has what Redis executes.
//   - keys.go: the public keys of a fleet's gateways, which travel the same way.
//
// # What this package keeps
//
// A revocation is not lost while Redis or any one gateway remembers it. The list
// only grows, until entries expire; applying one twice, late or in another order
// changes nothing. Every list puts back what a flushed or failed-over Redis has
// forgotten.
//
// [List.Publish] returns nil only after the log has acknowledged the entries.
//
// Whoever can write to Redis but does not know the secret can neither add an
// entry nor change one: entries carry a MAC, and forged ones are refused and
// counted.
package revocation
