// Package renewal has the rules by which the tokens of one session follow each other. It is pure: it knows no clock, no
// database and no request.
//
// An access token lasts minutes and a session hours. The token in the SSO cookie, once it has expired, is the [Handle] of its
// session: the gateway has it checked before a request goes on ([Row.Check]), and replaced when the answer leaves
// ([Row.Rotate]). The login host, which sees the cookie of the browser's own session, decides what gateways cannot
// ([Row.Login]). What is known of a session's tokens is a [Row].
//
//   - One successor per handle: however many requests bring it, each is given a copy of the same token.
//   - An answer may be lost. The predecessor of the current token counts until that one is known to have arrived, and for the
//     grace after that, in which slower answers may still come.
//   - A stale handle proves nothing and ends nothing. Only the login host concludes something from it, and only beside the
//     cookie of the session itself: then the token that took its place is with somebody else, and counts no more.
//   - iat rises strictly from token to token. One that is later than the row's was issued by a database that has lost it.
package renewal
