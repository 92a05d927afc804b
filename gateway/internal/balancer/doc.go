// Package balancer chooses which address of an upstream a request goes to, by what is known of each.
//
// It belongs to gateway, and is on its floor. [Pool.Pick] reads memory alone, takes no lock and allocates nothing; the
// clock and chance are handed in. Files, from the lowest:
//
//   - address.go: what is known of one address: requests in flight, ejection (passive health), health by checks.
//   - weight.go: drawing addresses by their weights, also in slow start.
//   - pool.go: choosing one of those of an upstream, and what a request tells of it; the retry budget.
//   - affinity.go: choosing the same address for whoever asks again.
//   - table.go: what stays known from one generation to the next.
//   - check.go: checks (active health) of one upstream's addresses.
//
// # States
//
// An address is healthy; or ejected, after a connection error (refused, timeout, closed before an answer) or, where that
// is asked for, 5xx answers in a row; or unhealthy, after failed checks. An ejection takes 1 s, then 2, 4, … and 30 at
// most, less up to a fifth by chance. After it one request tries the address: a success makes it healthy, an error ejects it for
// the next longer time.
//
// Requests go to healthy addresses, and of two of them that chance picks, by their weights, to the one with fewer requests in
// flight for its weight. One of the weight 0 is drained: it has none, and what is known of it, by checks too, is known on. In slow
// start an address has a tenth of its weight at first, and all of it in the end. One
// that never succeeded, or not since its ejection, has one request at a time while there is another. Where none is
// healthy, the unhealthy that are not ejected are tried in turn, and where there are none of these, all are. Where an address may
// have so many connections alone, no more requests go there; while all that are healthy are full, none goes to one that is not.
package balancer
