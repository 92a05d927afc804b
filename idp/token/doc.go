// Package token is what the identity provider, the gateway and the backends
// agree on: which claims a token carries, how it is signed, and when it counts.
// It stands on floor 0: it does no I/O, has no clock, and imports no other room.
//
// Three kinds of token pass through here.
//
//   - The access token ([PrivateKey.SignAccess]) is made by our own IdP with its
//     key, travels in the SSO cookie or as a Bearer token, and is of type
//     at+jwt (RFC 9068).
//   - The assertion ([PrivateKey.SignAssertion], [VerifyAssertion]) is made by a
//     gateway with the gateway's key and tells one backend who is asking. A
//     [Verifier] never accepts one, and VerifyAssertion never accepts anything else.
//   - Tokens of other issuers: those that publish a key set, and those that share a
//     secret with us, of which one may name neither itself nor its audience. README.md
//     has what to configure for the issuers that many have.
//
// A token presented goes through [Verifier.Verify]:
//
//   - compact.go cuts it up: length, segments and base64url in the one canonical spelling;
//   - object.go reads header and claims, once and for every later step: no member
//     twice, no deep nesting, no invalid UTF-8, no number without a value;
//   - issuer.go finds whose token it claims to be and judges its header;
//   - readclaims.go reads the claims by that issuer's rules;
//   - signature.go has golang-jwt check the issuer, the audience and the order of the
//     times as they were read, which cost nothing and need no key;
//   - the issuer's [KeySource] answers with the key, which alone says which algorithm counts,
//     and golang-jwt checks the signature; of a token without a kid, four keys at most are
//     tried, and its [Sender] is asked for all but the first;
//   - verifier.go remembers the result by the token's exact bytes.
//
// cookie.go judges the values of one cookie, of which there may be any number: one rule
// for the gateway and the login host.
//
// access.go and assertion.go sign, and the second verifies for backends. key.go has the
// keys; keyset.go reads and writes them as JWKs, and says which algorithms a key may be
// bound to: ES256, ES384, ES512, EdDSA, RS256 to RS512, PS256 to PS512. A shared secret
// is for HS256, HS384 or HS512 (issuer.go).
//
// [Verifier.Explain] takes the same steps for people who ask why a token does not
// count, and gives no proof of anything.
//
// A Claims value can be had only from a verifier, so holding one is the proof.
//
// What our own IdP signs has one form, and every claim must be there and be as it
// writes it. Other issuers have habits of their own (foreign.go):
//
//   - Whose token it is decides: sub is in any language, without control and
//     direction characters, 255 bytes at most, or a number of at most 15 digits. It
//     stands after the issuer's name, as the user name does, which is
//     preferred_username, or the subject where none can be shown. Where the
//     configuration names the claim with the user name, its names are ours, stand
//     alone, and must be of letters and digits of any script and . _ @ + - (names.IsForeignUser),
//     as Django's are.
//   - The e-mail address decides where a policy asks: a text, or the first of a
//     list. It is verified when email_verified is true or "true".
//   - iat, exp, nbf, auth_time, aud, jti and sid decide, and are read strictly. Where
//     tokens have no aud, client_id and azp decide (audience.go).
//   - The roles (roles.go) are found by a claim's name or a path, in a list, an object
//     or a text. A map gives ours for theirs; the others count as they are, or spelled
//     as ours are, or not at all, and none becomes one that the map gives. What does
//     not count, or cannot be told to backends, is reported once for a token.
//   - The name is shown: control characters become spaces, direction characters go,
//     and it ends after 256 bytes. amr is a list of methods, of objects that name a
//     method, or one method. What cannot be read of these is as good as absent, and
//     refuses nobody.
//
// The package keeps these promises:
//
//   - Invariant 3: no network on the hot path. A KeySource answers from memory;
//     what a token says about where its key is (jku, x5u, jwk, x5c) is never looked at.
//   - Invariant 7: the key that signs logins and the key that signs assertions
//     are never mistaken for each other. The two have different types, the
//     gateway's own issuer is refused by name, and each reader insists on its own type.
//   - Invariant 9: a remembered verification says that these very bytes were
//     signed, and nothing else. Every hit judges afresh the time, the
//     revocation, and whether that very key is still trusted. Decisions key on
//     the claims, since one ES256 signature has more than one spelling.
//
// Errors never quote a token.
package token
