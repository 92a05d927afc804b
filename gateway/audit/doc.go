// Package audit keeps a record of every decision: who asked for what, what became of it, and which rule of which policies
// said so; and of what was done besides: sign-ins, sign-outs, and what administrators change. `vilogate policy explain --request-id` and `vilogate policy replay` read it.
//
// It stands on floor 1 and knows neither HTTP nor policies. The gateway makes a [Record] and gives it to [Log.Put],
// the identity provider and the server's administration an [Event] to [Log.PutEvent]; one
// goroutine, [Log.Run], writes what waits in a bounded queue, a batch at a time, and flushes it when the process drains.
// [Read], [Files] and [Find] read records back, strictly, and [ReadEvents] events.
//
// # The file
//
// JSON, one record a line, mode 0600, appended to. When a file has reached its size it is renamed to FILE.1, what was
// FILE.1 to FILE.2, and so on; of those, as many are kept as the configuration says. A path that is no regular file, such
// as /dev/stdout, is written to and never rotated. Where something else moves or removes the file, a new one is begun
// within a second.
//
// # What is promised
//
// With fsync "always", a request goes to its backend only when its record is on the disk; requests that come at the same
// time share one fsync. With "interval", a crash of the machine loses a second at most, with "off" what the operating
// system has not written yet. A crash of the process alone loses what waits in the queue.
//
// When a record cannot be written (a full disk, a queue that is full because the disk is slow), on_failure says what
// becomes of requests: "refuse" has them answered 503 before they reach a backend, until a write succeeds again; "drop"
// lets them pass and counts what is missing. Refusals of the gateway's own are answered as ever, and counted when they
// cannot be recorded. What was written stands in whole lines: the rest of a line that did not fit is taken back.
//
// A sign-in is refused likewise, and an administrator's change is not begun. Sign-outs, and people's changes to their own account,
// are never refused for want of a record: what is missing of them is counted.
//
// Refusing is what holds where the configuration is silent: a log of decisions that has holes whenever somebody fills the
// disk proves nothing, and whoever wants to act unseen would begin with that. Who would rather serve says "drop".
//
// # The schema, version 1
//
// A record is an object with these members; what is optional is left out where there is nothing to say.
//
//   - v: 1. A reader refuses versions that it does not know.
//   - time: when the request came, RFC 3339 in UTC.
//   - request_id: as the client and the backend were told.
//   - generation: the policies in force, as the hex SHA-256 that /status names too.
//   - client: the client's address, as far as trusted proxies can be believed.
//   - host, method, path: canonical, as they were decided on. The path has no query. Optional where the request could not
//     be understood.
//   - route: the pattern that the path matched. Optional.
//   - who: who asked; left out for nobody. subject, issuer and user as the backend would be told; email and
//     email_verified, session, roles and amr, each optional; auth_time, when they signed in, optional; credential, "cookie",
//     "bearer", or "header" (that a proxy before the gateway adds, and that counts as a cookie).
//   - facts: what else the rule reads to decide; left out where that is nothing. headers and claims, by name, with their
//     values (of a header, every line), left out where the request or the token has none. withheld names what was read and
//     is not recorded, "headers.NAME" and "query.NAME": the values of queries, and of headers that carry secrets.
//   - decision: allow, login, deny, step-up, limit or bad-request, as tests: of a policy name them; or what was decided
//     before a policy was asked: preflight, own (one of the gateway's own paths), logout, misdirected, unavailable, error.
//   - reason: for people.
//   - rule: the place of the rule that decided, file:line:column. Optional.
//   - shadow: what other policies would have decided, where that differs, a list: decision, reason, rule, and generation
//     where a whole folder of policies was evaluated beside the live one, else it is routes with mode: shadow.
//   - foreign_bearer: true where beside the cookie of whoever asked stood a Bearer token that no configured issuer could have
//     made. Optional.
//   - refused_cookies: sign-in cookies that did not count, a list: name, issuer (whose tokens it carries), and reason:
//     expired, revoked, signature, unknown-key, unknown-issuer, audience, client, not-yet-valid, keys-not-loaded, key-pending,
//     too-many-keys, not-a-user,
//     malformed, conflict where values of several sessions were sent, stale where another token had taken its place, return where the
//     browser has to pass the login host first, or idp-away. Optional.
//   - kept: how many bytes of a form were kept until its sender has signed in. Optional. kept_sent: how many of one that was
//     kept are sent with this request, in place of its own. Optional.
//   - forward_auth: how the proxy asked that holds the request and forwards it itself (forward auth): x-forwarded, x-original,
//     envoy-http or envoy-grpc. Optional.
//   - latency_us: microseconds from the request's header to the decision.
//
// # Events
//
// A line with the member event is about something that was done, and has these members:
//
//   - v, time: as above.
//   - event: login, logout (of one session), logout.everywhere, password.change (by people themselves); session_replay (a token
//     was presented that another one had replaced: a failure where it was refused, a success where the session's own browser
//     brought it, and the other token was revoked), session_behind (a token that is later than any that the database knows); user.add, user.passwd,
//     user.roles, user.disable, user.enable, user.unlock, user.delete, session.revoke, reload, cert.renew (by administrators, through
//     the control socket, or by a command that stands in for a server); stream.end (of a request that was still under way, which
//     a record says was allowed, and whose request_id it has; those that a shutdown ends are not recorded).
//   - result: success or failure; or attempt, of a change by an administrator while the log could not be written a moment ago,
//     with the outcome in a record of its own.
//   - reason: of session_replay and session_behind what was concluded, with the address that has the other token; of stream.end
//     why it ended: revoked, session_over or policy; else why it failed: of a login wrong-password, unknown-user, disabled,
//     rate-limited, busy or changed-meanwhile. Optional.
//   - actor: who did it. Of administrators uid and system_user, whose the process is that asked (SO_PEERCRED), its pid, and
//     login_uid, who logged in to the machine for it, whatever the process has become since, where the kernel knows
//     (root acts as the owner of the state folder). Of people session, user and subject: of a logout the session itself, or
//     another of the same user that ended it. Left out of a login.
//   - client: the client's address, and request_id, as above. Left out of administration.
//   - user, subject, session: whom it is about, as far as is known; what was typed for a name that nobody has is not kept.
//     roles are those that a user was given. Each optional.
//   - new_device: true of a login from a browser that the account was not seen with before, or not for so long that it was
//     forgotten. Optional.
//   - omitted: how many failed logins were not recorded one by one since the last that was: 100 a minute are.
//     vilogate_login_failures_total counts all of them. Optional.
//
// A record never holds a token, a cookie, a password or the value of a query. Values of headers that a rule reads are
// withheld where the name, or a long word of letters and digits in the value, lets them be taken for a secret.
package audit
