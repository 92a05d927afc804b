// Package policies is the language in which ops say who may ask what of which host, and the decision that follows: from
// the facts of a request and somebody's identity to an outcome with its reason and its place in the file.
//
// It stands on floor 0 and is pure: no I/O, no clock, no net/http, nothing global that changes. [Compile] reads all
// files, runs their tests and answers with a whole [Set] or with everything that is wrong, each error with file, line and
// column; a Set is never written again. [Set.Locate] finds where a request leads, [Location.Decide] what is to become of it,
// and [Set.Decide] is both. On that way nothing is allocated, but for expressions. The gateway and the tests of a policy
// file ([Test]) go it alike, so that what a test says is what happens. Package analysis looks at policies as a whole.
//
// The package keeps these promises: a file with anything in it that is not understood is refused; what no route lists is
// denied; the decision about a path can be read off the patterns, whatever their order in the file; and every decision
// names the rule that made it.
//
// # A policy file
//
// One host, one file, in YAML:
//
//	host: billing-api.viloforge.com
//	upstream: billing
//	cors: { origins: ["https://website.viloforge.com"], credentials: true }
//	routes:
//	  - { path: /healthz, allow: public }
//	  - { path: /invoices, methods: [GET], allow: authenticated }
//	  - path: "/invoices/:id/refund"
//	    methods: [POST]
//	    allow: { roles: [billing-admin] }
//	tests:
//	  - { get: /invoices, expect: login }
//	  - { get: /invoices, as: { user: alice }, expect: allow }
//	  - { post: /invoices/7/refund, as: { user: alice, roles: [member] }, expect: deny }
//
// A key that is unknown, given twice, or of a later version of this language is an error; so are a second document, a
// value of another type, an anchor and a tag.
//
//   - host, required: a host name without scheme and port, in lower case; or "*.preview.viloforge.com" for any one label
//     in place of the star. An exact host wins. It lies under the domain of the configuration, because the sign-in cookie
//     reaches no other, unless every route does without the cookie: by public, deny or bearer: only. The login host is
//     built in and has no file.
//   - upstream, required: the name of an upstream of the configuration.
//   - paths: case-insensitive, where the server behind folds case (Express, IIS, anything on Windows); case-sensitive, as when
//     it is left out. See Matching.
//   - tls: what a connection must be like. min_version is "1.2" or "1.3"; client_ca is a file of CA certificates in PEM, by
//     which clients have to be certified, its name relative to the folder of the policy file.
//   - cors: which pages of other origins may call this host; none, as when it is left out, for none. See below.
//   - defaults: options for every route that does not have its own: all those below from bearer on, but for bearer: only.
//   - rules: conditions under a name, for the routes and rules of this file: { office: { networks: [10.0.0.0/8] } }.
//   - routes, required: see below.
//   - tests: see below.
//   - acknowledge: [unused-rule]. Kinds of warnings of `vilogate policy check` that are known and meant, in all of the file. See
//     Warnings.
//
// # Routes
//
//   - path, required: a pattern. It is written decoded, as it is compared: "/café au lait". A segment :name stands for
//     any one segment that is not empty, and *name, at the end, for all the rest or nothing.
//   - methods: a list, in capital letters. GET implies HEAD. Left out, every method that the host knows: those of the IANA
//     HTTP Method Registry, and those that some route of the host lists. Any other is 501, whatever the path, and so is one
//     in other letters: servers that fold case take delete for DELETE. CONNECT, TRACE and TRACK are 405. Two routes of one pattern with a method in common are an
//     error; the names of parameters make no difference.
//   - allow, required: who may. See below.
//   - bearer: only. A cookie does not count, only a Bearer token. It may stand among the conditions of allow too. pass and
//     verify are options; see below.
//   - cors: as for the host, in its place; none for none.
//   - acknowledge: [unsafe-public]. Kinds of warnings about this route that are known and meant.
//
// And options, which may stand under defaults: too:
//
//   - bearer: pass. Beside a good cookie, an Authorization: Bearer that no configured issuer could have made is the
//     backend's: it is forwarded as it was sent, and the cookie says who asks, with CSRF protection. That is an opaque token,
//     or a JWT whose iss is nobody's here (or that has none, where no issuer with a secret leaves it out); one that claims to
//     be of an issuer of ours and is not good is 401 all the same, and so is what careless servers could read as
//     two tokens (white space, commas, quotation marks). Without a good cookie nothing changes. On a public route the backend
//     learns who is signed in. An error where a cookie is never enough (bearer: only among the conditions). verify for the
//     ordinary: who sends a Bearer token means it, and the cookie beside it does not count.
//   - csrf: { exempt: ["https://forms.example"] }. Forms of these origins may be posted with somebody's cookie. Origins
//     that cors lists need not be exempted.
//   - rate: 10/m per user. So many requests in s, m, h or d, for each user, each ip, or for the route as a whole. They may
//     come all at once, and then as fast as the rate says. On an optional route nobody counts by address. none for none.
//   - max_body: 1MiB. A longer body is 413. none for none.
//   - timeout: 10s. How long the backend may take for the header of its answer. none for the upstream's own.
//   - strip_prefix: /app. The backend is asked for the path without the first segments, which the pattern begins with.
//   - rewrite_host: app.internal. The backend is asked for this host, which may have a port. none for the public one.
//   - headers: { request: { set: { X-Tenant: a }, remove: [User-Agent] }, response: { … } }. What is removed goes first.
//     Names that the gateway writes itself, those of the connection, cookies and Access-Control-* cannot stand there.
//     Identity headers of other products can (X-WEBAUTH-USER; upstreams/README.md lists them): the backend is sent what
//     is set here, and never what a client sent. {} for nothing.
//   - websocket: true. A WebSocket handshake is forwarded, of HTTP/1.1 and of HTTP/2 (RFC 8441).
//   - mode: shadow. The route decides nothing. See below. enforce for the ordinary.
//   - on_stale: allow. The route is served even while revocations cannot be learnt. refuse for the ordinary.
//   - encoded_slash: allow, double_slash: allow, semicolon: allow. The path may hold %2F inside a segment, several
//     slashes in a row, or parameters behind a semicolon. Servers disagree about what those mean, and without permission
//     they are 400. Permit only what the application behind is known to need. refuse for the ordinary.
//   - encoded_hash: allow, double_encoding: allow, encoded_backslash: allow. The path may hold %23; %252F, %255C or %2523
//     (whatever decoding once more makes a slash, a backslash or # of; the last two need the permission for that character
//     as well); or %5C. To most servers these are letters; README.md says to which they are not. Nothing permits a raw # or \,
//     NUL, or a dot segment at any depth of decoding, with \ for / too. With double_encoding or encoded_backslash, a path that
//     reads otherwise when it is decoded further, or with \ for /, has to come to the same route in every reading, else it is
//     400: what could be a separator stands in a *rest, and before it nothing that another pattern begins with there. It is
//     400, too, where a condition reads request.path or request.params, which would be of one reading. refuse for the ordinary.
//   - default_cache_control: private. Cache-Control: private is added to an answer that has neither Cache-Control nor Expires:
//     what says nothing, any cache may keep. Left out, it is added where somebody is signed in, but on public routes; none for
//     never. Whatever is said here, an answer whose Vary names an identity header is private: without public, s-maxage and the
//     headers of CDNs alone, and to the outside it varies by Cookie, Authorization and issuers' headers.
//   - connection_auth: allow. Authorization by Negotiate, NTLM or CredSSP may pass, which log a connection in and not a request. From
//     the first such credentials or challenge on, a client's connection of HTTP/1.1 has a connection to the backend that is
//     nobody else's, for the person that the gateway knew then, and that ends with the client's, at the latest: where somebody
//     else signs in, a request fails, or the backend's address is configured away, the login is gone and the backend asks again.
//     It is used on the routes to this backend that say allow. Over HTTP/2 such credentials are 421 (browsers go over to
//     HTTP/1.1 when they see the challenge), and beyond limits.connection_auth of the configuration, or a quarter of it
//     for one client address (of IPv6 a /64), 503. A trusted proxy (trusted_proxies) that sends requests, of many people,
//     over its own connections is refused. A page of another site can use such a login as it can a cookie, and the gateway
//     does not see it: what the backend does about CSRF counts.
//     refuse for the ordinary: such credentials are 403, and a backend's offer of them is not passed on, since connections
//     to backends are shared.
//   - streams: keep. What ends with the sign-in otherwise goes on: WebSockets, event streams, gRPC streams, long downloads
//     and uploads of this route are not ended when the token, the session or the subject that they were admitted by is revoked, when
//     the session of a token that has run out is over, nor when a reload of the policies would not admit them any more.
//     Somebody who signs out, or is disabled, then keeps what they have open for as long as they or the backend like; only
//     the end of the gateway's process ends it. Of a stream that is open the route counts by which it was admitted. end for
//     the ordinary: it is ended within a second, by the close code 4401 where it is a WebSocket, and cut off where it is anything
//     else. What was admitted whoever asks, on a public route, no sign-out ends, but a reload does. See gateway/doc.go.
//   - stream: true. No body of this route is held, of a request or of an answer: the first bytes of an upload reach the backend
//     before the rest has been sent, however short it is, and of an answer
//     no more is read than its reader takes. So a slow client holds the backend. It is for programs that talk while they send (uploads that report progress, long polling
//     with bodies, exec and attach of containers). false for the ordinary: what the upstream's buffer says.
//   - method_override: pass. X-HTTP-Method-Override and its like reach the backend. An error on a route that has methods,
//     or shares its pattern with one that does: the header would ask for what they refuse. drop for the ordinary.
//
// # CORS
//
// origins is a list of https://host or https://host:port (without a port, the public one is meant), of
// "https://*.example.com" for the hosts one label below a domain, or of "*" for all. credentials: true lets them call with
// the cookie of whoever looks at the page; beside it a star is an error. methods are those that a preflight may ask for
// among the methods of a path's routes, all of them when left out. headers are those that requests may carry:
// Authorization, Content-Type and X-Request-Id, when left out. exposed_headers of answers are shown to scripts. max_age is
// how long browsers keep the answer to a preflight, ten minutes when left out.
//
// CSRF protection trusts origins that are listed one by one, never those that a star stands for.
//
// # Shadow mode
//
// A route with mode: shadow is as if it were not there: each request is decided by the other routes, which match as they
// would without it. It enforces nothing and opens nothing. Beside that decision, a second one is made by the policy as it
// would be were the route live ([HostPolicy.Shadow]), where it takes the place of a live route of its pattern for the
// methods that both take; what differs is recorded, in how the path may be spelt and in csrf: as well. Not seen in the
// shadow is what comes to no decision of a route: preflights, tokens that do not verify, rates, sizes, and, where a whole
// folder is in the shadow, hosts that it alone names. Tests are of the live policy.
//
// The second decision is made of the live request and of whoever was just authenticated for it, because tests ask for what
// their author thought of, and an audit log does not have the facts that only a new rule reads.
//
// # Matching
//
// The path is made canonical by package request, split at its slashes, and each segment decoded once. It is compared
// with the patterns segment by segment from the left, letter by letter: at each, a pattern that has this very word comes
// before one with a parameter, and that before one with the rest. A choice once made is never taken back: with /users/me
// and /users/:id/posts, /users/me/posts is denied, and /*rest does not catch it either. A final slash makes no
// difference, and /reports/*rest matches /reports too. Then the method chooses among the routes of that one pattern.
//
// A path that no route lists is denied: a stranger is asked to sign in, which gives nothing away. A path that is listed
// by other methods only is 405 where all of those are public or somebody is signed in, and denied otherwise.
//
// With paths: case-insensitive, patterns, request.path and request.params are compared with the letters A to Z folded to
// lower case, and what was sent is forwarded; the gateway's own paths (/.vilogate/…) are its own in any case. Two routes
// that only case tells apart are an error then, and a path with a letter beyond ASCII that some server folds into ASCII (ß
// and ﬁ, which become SS and FI, the Turkish İ and ı, U+212A, U+017F) is 400. Other letters beyond ASCII (É) are not
// folded. Servers that fold case are often Windows, which takes other names for one, too: a segment that ends in a dot or
// a space (/admin., /admin%20) or holds a colon (/admin::$INDEX_ALLOCATION) is 400 as well. `vilogate policy check` warns
// of a host that says neither, where case leads around a rule to a wider one.
//
// So one /api/health beside /*rest denies every other path below /api, which takes a route /api/*rest to be listed; `vilogate
// policy check` warns of it (hidden-paths).
//
// In matching, several slashes count as one and what follows a semicolon in a segment does not count; whether the path
// may be spelt so at all is then up to the route that it matched.
//
// # Allow
//
//   - public: nobody is asked who they are; who is signed in is known to the backend all the same.
//   - authenticated: anybody who is signed in.
//   - optional: whoever is signed in, and nobody too. Unlike with public, somebody who shows a credential means it: a bad
//     one is refused, and so is one whose revocation cannot be learnt.
//   - deny: nobody.
//   - a map of conditions, which must all hold for somebody who is signed in. With optional: true beside them they may
//     hold for nobody too, whom conditions about a person never hold for.
//
// The conditions, where in a list any one is enough:
//
//   - roles: [a, b]. Has one of these roles. Those of another issuer whose roles count as it spells them (roles_unmapped:
//     keep, in the configuration) are written so, and not percent-encoded as in X-User-Roles: "Domain Users".
//   - users: [alice]. Is one of these. Of another issuer it is the name as that issuer has it, with the issuer's name and a
//     colon before it, and not percent-encoded as in X-User: "partner:bob", "partner:Jürgen Müller". A token
//     without a name has its subject in the place of one; where an issuer lets people choose their names, one may choose
//     what is another's subject: there, and for machines, ask for user.id instead (when, below). Nor is one of ours
//     percent-encoded, which may be of letters of any script where an issuer's names are ours: "jürgen".
//   - issuers: [partner]. The token is of one of these; our own is vilogate.
//   - email_domains: [example.com]. The e-mail address is verified and of one of these domains, and not of one below.
//   - claims: { department: finance, level: [3, 4] }. Each of these claims of the token has the value, or one of the
//     values; where it is a list itself, one of its elements has. Texts, numbers and booleans are different things. Numbers
//     that JSON does not keep apart, beyond 9007199254740991, cannot be asked for.
//   - networks: [10.0.0.0/8, 192.0.2.7]. The address of the client is in one of these. Where nobody knows the
//     address, as where a trusted proxy names none, this has no answer: not: { networks: […] } does not hold either.
//   - amr: [hwk]. They signed in with one of these methods (RFC 8176).
//   - max_age: 1h. They signed in at most so long ago.
//   - mfa: 15m. They showed a second factor at most so long ago: at the login, where the amr of the token has mfa.
//   - bearer: only. The credential is a Bearer token.
//   - rule: office. All conditions of this rule of the file hold. With its rules written out, a condition may be made of
//     4096 others.
//   - when: 'user.username == request.params.name'. The expression is true. See below.
//   - any: [{ … }, { … }], all: [{ … }, { … }], not: { … }. Of maps of conditions at least one, every one, or the one not.
//
// Step-up is what becomes of a request that would be allowed if the same person had signed in this moment, with a second
// factor, and is not allowed now: max_age, mfa and amr: [mfa] would hold, however any, all and not compose them. Where
// something else would still be missing, it is denied.
//
// # Expressions
//
// The language of when is CEL (https://cel.dev), with what it has as a standard. An expression is compiled and checked when
// the file is loaded, it has no loops but over lists, and both its size and its cost are limited. It can ask for:
//
//   - user.username, as X-User has it; user.id, user.email ("" unless it is verified), user.roles, user.issuer, user.amr,
//     user.auth_time, user.mfa_time. The name for people is not among them: they may choose it themselves.
//   - request.host, request.path (canonical, as it is forwarded), request.method, request.time, and
//     request.ip, the address of the client, which has no answer where nobody knows it, as with networks.
//   - request.params["id"], of the pattern, decoded: the whole segment, with what follows a semicolon in it where the route
//     permits one; of *rest all segments, joined by slashes.
//   - request.query["page"], decoded. A route whose policy reads a parameter refuses (400) queries in which servers could
//     read it in different ways: given twice or in another spelling that some server takes for it (ID, id[], id.x, [id,
//     id], !id; not id_x or x[id]), with a semicolon, with an escape that is none, with a name that is no UTF-8.
//   - request.headers["x-tenant"], whatever its case. A route whose policy reads a header refuses (400) one that is there
//     twice, or that Connection names, which would end at the gateway. Authorization, Cookie, Sec-WebSocket-Protocol, Host, the headers of the
//     connection (Connection, TE, Upgrade) and those that the gateway writes are not among them. A header is what the
//     client says, and no more.
//   - token.issuer, token.bearer (a Bearer token, not a cookie), token.issued_at, token.expires, token.claims["department"].
//
// Names of params, query, headers and claims are written out, and so are regular expressions and time zones, which are
// offsets ("+01:00"). To ask for a name that is not there has no answer; "page" in request.query tells whether it is.
// Neither has a text of
// more than 8 KiB, or a list of more than 1024 elements. What has no answer opens no door: neither by itself nor behind a not, in CEL or outside; any of other alternatives may.
// An expression never leads to a step-up: for fresh logins there are mfa and max_age.
//
// # Tests
//
// A test is a request and what is expected of it. Those under tests: run when the file is loaded, and a file whose tests
// fail is refused: what goes live is what was meant. Those in a file of their own, billing_test.yaml beside billing.yaml
// with nothing but tests: in it, run when `vilogate policy test` is asked for.
//
// The request is a method in lower case with a path: get, head, post, put, patch, delete, options, propfind, query or
// report. It goes the whole way through the policies, from the canonical form of its path to CSRF protection. More can be
// said of it:
//
//   - as: who asks; without it, nobody does. In it, user is as X-User has it, issuer is vilogate unless the user names
//     another, roles, email and name are as the token has them, email_verified is true when left out, claims are those of
//     the token for conditions that ask for claims, amr is how they signed in, with two factors when left out, and auth_age
//     says how long ago they signed in: just now, when it is left out. mfa_age says how long ago they showed a second
//     factor: at the login, when it is left out and amr has mfa. by: cookie or bearer is how they come: with a cookie where
//     the headers are those of browsers (Origin, Sec-Fetch-Site), with a Bearer token otherwise.
//   - at: the time, 2030-01-02T15:04:05Z. A test of a route that asks for request.time names it.
//   - ip: the address of the client; without it nobody knows the address, and neither networks nor request.ip have an answer.
//   - headers: a map of names to values, or to lists for several lines. An Authorization of the Bearer scheme beside by: cookie
//     is a token that no configured issuer could have made.
//   - times: 11. The request is made so often in the same moment, and the last one counts.
//
// expect: is one of
//
//   - allow: the request is forwarded, or, where it is a preflight, answered.
//   - login: somebody has to sign in.
//   - deny: anything else that is no, 400, 404, 405 and 501 included, and what the gateway answers itself (/.vilogate/…). A 405 to a stranger may be called login too.
//   - bad-request: 400 alone.
//   - step-up: a fresher or stronger login is needed.
//   - limit: it would be allowed, had it not been made more often than rate permits: so many times, or, without times, as
//     often as it takes.
//
// rule: is the pattern of the route that has to be the one that decides, or none.
//
// # Warnings
//
// `vilogate policy check` warns of what compiles and is hardly meant, and with --strict fails for it. Each warning is of a
// kind, by which the file acknowledges it, on the route that it is about or for all of the file:
//
//   - unreachable-route, narrowed-route: no request is decided by the route, or fewer than its pattern says.
//   - hidden-paths: a word takes paths from a wider pattern, and no route lists them. It is about the first route with the word.
//   - unreachable-condition, idle-condition: a condition can never be true, or makes no difference.
//   - unsafe-public: anybody may change something.
//   - unused-rule: no route uses the rule.
//   - case-variant: a letter in another case leads around a rule.
//   - shadow-only: every route is in the shadow.
//
// What is acknowledged and not there is a warning itself (unused-acknowledgement), which cannot be acknowledged. An
// acknowledgement decides nothing.
//
// HTTP message signatures (signature) are not part of the language yet. The word is known and refused: a promise that is
// not kept is worse than none.
package policies
