// Package resolve keeps the addresses of names, and looks again whether they have changed.
//
// It belongs to gateway, and is on its floor. What uses the addresses is told that some have changed, by one goroutine. No name waits for
// the resolver of another. Files, from the lowest:
//
//   - ttl.go: the time to live (TTL) of records, recorded from what DNS servers answer.
//   - lookup.go: asking a resolver, the system's or another one, and which of its answers can be used.
//   - names.go: what is known of names.
//   - run.go: looking them up, each when it is time.
//
// # Intervals
//
// A name is looked up when the TTL of what was found ends, the least of the addresses and aliases that led to it: a TTL is the longest
// that an answer may be held for (RFC 1035, 3.2.1). It is never looked up sooner than after a second, since Consul says 0, nor later than
// after its interval, since Docker says 600 s for containers that are replaced at once, whose address another one may have then. What
// has no TTL (a hosts file, a resolver that does not answer) is looked up after 10 s, or after 2 s where there is no address yet. An answer
// that there are none holds for as long as the zone's SOA record says (RFC 2308); that there are none of one family beside those of the
// other is no such answer.
//
// Go's resolver, which knows hosts files, search domains, several servers and truncated answers, does not tell the TTL. It is heard on
// the connections that the resolver has made for it: of answers to its very questions, as it takes them itself.
//
// # Failures
//
// A name keeps its last addresses while it cannot be looked up, also where the resolver says that it does not exist: a name that has
// gone for good is rarer than a resolver, or a registry behind it, that has lost it for a while, and requests to addresses that are
// gone fail in any case.
package resolve
