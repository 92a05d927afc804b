// Package revocation is the list of what was signed out before its time: tokens, sessions, and everything that a subject
// was issued up to a moment. It stands on floor 1.
//
// A revocation's way:
//
//   - [List.Publish] hands [Entry] values to the [Log], and returns once the log has acknowledged them; only then does
//     this list know them too (list.go). Who says "signed out" says it after that.
//   - The log keeps them: in the embedded database ([SQL], sql.go), fsynced, where one process is alone; in Redis
//     ([Redis]) for a fleet, in an index that expires and a stream that tells the others, written by one script, all or
//     nothing (redis.go, index.go, append.lua).
//     What is wrong with a connection to Redis is said in words that name the key that mends it (explain.go, dial.go).
//     An identity provider of a fleet keeps them in both ([Kept], kept.go), and puts back what Redis lost while nobody ran who
//     remembered it; a gateway that starts waits for that a while (restored.go, restored.lua).
//     Another log implements [Log], and joins the stores of contract_test.go.
//   - Every list follows its log ([List.Run]): it loads the index, then reads the stream as it grows (follow.go). What
//     arrives is put into a table that requests read without a lock (table.go).
//
// The package keeps these promises:
//
//   - Invariant 3: [List.Revoked] does no I/O, takes no lock and allocates nothing.
//   - Invariant 4: a list that has not heard from its log for longer than it may says so ([List.Stale]); it recovers by
//     itself. One that has not for two seconds, as after its process was frozen, has who asks wait for news a moment
//     ([List.AwaitSync], gate.go): by the wall clock or the monotonic one, whichever says longer. Writes to a log that is away fail within two seconds; nothing hangs.
//   - Invariant 5: the list only grows, until entries expire. Adding is idempotent and commutes: an entry is merged with
//     one of the same name by taking the later of each time. So replaying and reordering change nothing, and every list
//     can put back what a flushed or failed-over Redis has forgotten: when it notices, and every so often in any case.
//     Nothing is ever taken off the list: with removals, whoever puts back what is missing could not tell a loss from a
//     removal, and would have to agree with the others on an order. There is no need of them either, since who signs in
//     again is given a new jti and sid, and a later iat.
//   - Invariant 9: entries name the issuer and the jti, sid or sub, never a token's text.
//
// Whoever can write to Redis but does not know the secret can delete entries, which are put back, but neither make nor
// change any: each is sealed with a MAC (seal.go), and what does not open is refused and counted.
//
// The gateways of a fleet tell each other their public keys through the same Redis (gatewaykeys.go), sealed likewise.
package revocation
