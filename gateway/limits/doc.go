// Package limits says how often somebody may ask: 10/m for each user, address or route.
//
// It stands on floor 1 and knows neither HTTP nor policies. [Limiter.Take] decides, from memory and at once, whether one
// more request of a [Key] fits its [Rate], and says what a client is told of it. The algorithm is GCRA, a pure function
// (gateway/limits/gcra): all that is remembered of a key is the moment at which nothing is owed any more.
//
// # Memory
//
// The moments stand in a table of fixed size (table.go): sets of a few places each, found by a keyed hash that nobody
// outside can predict. A key that owes nothing any more has no place. Where a set is full, the key that owes the least,
// as a share of its quota, gives up its place: whoever sends from a million addresses pushes out addresses that asked
// once, and never one that is near its limit. Evictions are counted; they mean that the table is too small for the
// traffic.
//
// # A fleet
//
// Every gateway decides alone. With a [Shared] store, which is Redis (redis.go), [Limiter.Run] tells the others from
// behind what was let through here, and learns what is owed altogether (reconcile.go). No request waits for that. While
// the store is away, each gateway limits what it sees itself; when it is back, what is still owed is told. In the moment
// between two exchanges a fleet may let through more than the quota: that much more is owed then, up to some quotas, so
// that the rate holds in the long run.
//
// What this package keeps: a key is made of who asks and where (issuer and subject, address, route), never of a token's
// text; what stands in Redis is a hash that tells nobody's name; deciding allocates nothing.
package limits
