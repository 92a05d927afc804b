// Package jwks answers with public keys from memory: a fixed set ([Static],
// [File]), or one that is fetched from its issuer and kept current ([Remote]).
// It stands on floor 1, since it fetches, and is what keeps invariant 3 for
// signatures: whoever asks for a key never waits for a network.
//
// A Remote has one goroutine, [Remote.Run]. It alone fetches, so that a fetch
// takes place at most once in [RemoteConfig.MinRefresh] however many tokens with
// an unknown kid arrive. What it fetched last in full and in good order stays in
// force until something better comes: an answer that is too large, too slow, empty,
// malformed, without a usable key, a redirect or an error changes nothing. One
// malformed key among good ones is left out and counted ([Status.Malformed]). A
// redirect of the key set is followed where [RemoteConfig.FollowRedirect] says so:
// once, from https to https, within the same limits.
//
// Issuers sign with a new key as soon as they have published it (OpenID Connect
// Core 1.0, section 10.1.1). A token with a kid that no key has may therefore be
// good: it is [token.ErrKeyPending], not bad, until a fetch that began after its
// kid was first seen has ended, with keys or without. 256 kids are remembered, in
// the order in which they came; one that is settled makes room for another, and
// beyond 256 that are not, a kid is unknown at once ([Remote.Unknown] counts both).
// The same goes for a kid beside keys that have none and do not fit. A token
// without a kid has the keys fetched again when none fits, and is bad meanwhile.
package jwks
