// Package certstore is where certificates, their keys and the accounts of an
// authority are kept: certmagic's storage, in files of one machine or in the Redis
// of a fleet. It belongs to gateway/edge, on floor 2.
//
//   - files.go: in a folder of the state, which one process owns.
//   - redis.go, lock.go: in Redis, with locks that are leases.
//   - sealed.go: encryption, so that whoever reads Redis reads no private key.
//   - tickets.go: session ticket keys, which a fleet rotates together.
//
// One contract suite (contract_test.go) holds the stores to what certmagic
// expects: a value is there whole or not at all, what is missing is
// fs.ErrNotExist, a lock is one process's at a time, and one that dies with a
// lock blocks the others for the lease and no longer.
package certstore
