// Package limits says how often somebody may ask: 10/m for each user, address or route.
//
// It stands on floor 1 and knows neither HTTP nor policies. [Limiter.Take] decides, from memory and at once, whether one
// more request of a [Key] fits its [Rate], and says what a client is told of it. The algorithm is GCRA, a pure function
// (gateway/limits/gcra): all that is remembered of a key is the moment at which nothing is owed any more.
//
// # Memory
//
// The TATs are in a set-associative table of fixed size (table.go): sets of a few slots each, found by a keyed hash that
// nobody outside can predict. A key without a backlog has no slot. Where a set is full, the key with the least backlog,
// as a share of its burst, is evicted: whoever sends from a million addresses pushes out addresses that asked
// once, and never one that is near its limit. Evictions are counted; they mean that the table is too small for the
// traffic.
//
// # A fleet
//
// Every gateway decides alone. With a [Shared] store, which is Redis (redis.go), [Limiter.Run] pushes in the
// background what was let through here, and merges the backlogs of all (reconcile.go). No request waits for that. While
// the store is away, each gateway limits what it sees itself; when it is back, the remaining backlog is pushed. Between two
// syncs a fleet may let through more than the quota: the backlog is that much longer then, up to some bursts, so that
// the rate holds in the long run.
//
// limiter.go has Take, key.go who is counted, fleet.go the contract of a shared store. Other limits are not of this package:
// those of connections are in gateway/edge, that of a body is an option of a route, and failed logins are counted in idp.
//
// What this package keeps: a key is made of who asks and where (issuer and subject, address, route), never of a token's
// text; what stands in Redis is a hash that tells nobody's name; deciding allocates nothing.
package limits
