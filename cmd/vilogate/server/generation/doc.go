// Package generation is what a reload replaces: one immutable value of all that is served by, made of a configuration and
// of the files that it names.
//
// There is one builder, and it is what `vilogate check`, a start and a reload have in common: what one of them refuses the
// others refuse, in the same words at the same place. It reads files and touches nothing else: it opens no socket, writes no
// file and starts no goroutine. What of the process a generation names (the keys and pages of the identity provider here,
// the revocation list) is handed in, and asked only when something is served.
//
//   - generation.go: the value, and what its builder is given.
//   - build.go: the builder; login, upstreams, cookies, addresses to return to.
//   - policyfiles.go: the policies' files, and the hash that names them. hosttls.go: what hosts ask of connections.
//   - issuers.go: whose tokens are believed. Keys that were fetched already are taken over. rolefindings.go: what the log is told of
//     roles in them.
//   - certificates.go: certificates from files, and whom to trust as an authority.
//   - changes.go: what is different from the one before, for a person.
//
// What cannot be known without a side effect is not judged here: that a port is free, that a folder can be written to, that
// Redis answers.
package generation
