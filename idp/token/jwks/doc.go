// Package jwks answers with public keys from memory: a fixed set ([Static],
// [File]), or one that is fetched from its issuer and kept current ([Remote]).
// It stands on floor 1, since it fetches, and is what keeps invariant 3 for
// signatures: whoever asks for a key never waits for a network.
//
// A Remote has one goroutine, [Remote.Run]. It alone fetches, so that a fetch
// takes place at most once in [RemoteConfig.MinRefresh] however many tokens with
// an unknown kid arrive. What it fetched last in full and in good order stays in
// force until something better comes: an answer that is too large, too slow, empty,
// malformed, a redirect or an error changes nothing. One malformed key among good
// ones is left out and counted ([Status.Malformed]).
package jwks
