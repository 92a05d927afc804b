// Package request makes of a request's method, host and target the one spelling that is decided on and forwarded, and
// answers what is asked before any policy, or beside it: is this a CORS preflight, could a cookie have been abused to send
// it (csrf.go), who asks, behind which proxies (client.go, forwarded.go), which headers may a client send on (header.go),
// and is a person on the way to a page (navigation.go)?
//
// It stands on floor 0 and is pure: no I/O, no clock, no net/http. The live gateway and the policy tools use this very
// package, so that they cannot differ. It allocates nothing for a request that is canonical already, unless it holds a
// segment with escapes that stands for more than 256 bytes.
//
// # What was authorised is what is forwarded
//
// Many gateways were broken by a path that they read in one way and the server behind them in another. This package
// keeps to spellings that every server reads alike, whether it decodes the path once (net/http, WSGI), twice, removes
// parameters (servlets), takes \ for / (Windows) or treats what it decoded as a URL again. [Canonicalise] and
// [ParsePath] sort every byte of a path into one of these:
//
//   - Rewritten: escapes of unreserved characters are decoded, %41 to A and %2E to a dot; bytes that RFC 3986 does not
//     allow in a path are escaped; hexadecimal digits become upper case. Canonicalising again changes nothing.
//   - Refused, always: a segment "." or "..", also with a parameter (..;x), spaces or an escaped ? or # behind it, between
//     slashes or backslashes, and in any spelling and at any depth of decoding; \ and # as they are; NUL, also at any depth,
//     and the other control characters, raw or escaped (a pattern that ends in $ matches before a line feed too); an escape
//     that is none (%zz, %u002e); bytes that are no UTF-8 after one decoding, and overlong forms at any depth. Full-width forms and other characters
//     that become dots and slashes by NFKC or best fit count as those where they make a dot segment.
//   - An [Ambiguity]: an escaped slash, two slashes in a row, a semicolon; an escaped # or \; an escaped percent sign where
//     decoding further yields /, \ or #, and which is a literal one anywhere else. Servers disagree about them, some
//     applications need them, and so only a route that permits them sees them. How a server reads such a path that decodes it
//     to its end and takes \ for / is [DecodeFully]; package policies holds the one against the other.
//
// The query is forwarded byte for byte. Only what could not stand on a request line (a space, a control character, #)
// is refused. [CheckQuery] refuses for a policy that reads a parameter what servers read in more than one way: which way
// PHP, Rack, node, Django and Werkzeug read is in testdata/query, written by its read.sh.
//
// Case of a path counts, unless a policy says otherwise: then what is judged is [Path.FoldCase], and what is forwarded is
// what was sent (fold.go).
//
// The method is compared and forwarded as it is written. [IsKnownMethod] tells those that every host takes: some servers
// (gunicorn, Werkzeug) fold case, and what no rule could know is not forwarded.
package request
