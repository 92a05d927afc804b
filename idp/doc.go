// Package idp is the identity provider: the login host's pages, the users and their sessions, and the key that signs
// logins. It stands on floor 2; the gateway never imports it, and is handed it as an http.Handler.
//
// What a person sees is a small state machine, one file a step, and every step keeps the return address in its URL:
//
//	/login    login.go    who has a session goes straight back with a new access token; everybody else gets the form, and
//	          stepup.go   so does who has to show once more who they are (max_age, prompt=login), or wants to be
//	                      somebody else (prompt=select_account)
//	/logout   logout.go   asks, ends the session, and says so only when that is true
//	/account  account.go  who you are and where you are signed in (accountpage.go); a new password; an end to one of your
//	          sessions, to all others (endsessions.go), or to all; back to where you came from
//
// Programs read /.well-known/openid-configuration and /.well-known/jwks.json (discovery.go), and scripts of the login host list and
// end sessions at /.vilogate/sessions (sessionsapi.go). serve.go finds the step,
// events.go records who signed in and out (failures.go bounds that of failures), refuse.go turns its error into a page or a problem, and exchange.go is what every step shares: who asks, from where, with which cookies.
//
// Beneath the steps: users.go and sessions.go keep rows, keys.go the signing key, issue.go makes access tokens, renew.go answers
// gateways that have one renewed (sessiontokens.go keeps which is the latest of a session, by the rules of internal/renewal),
// revoke.go takes them back, and admin.go is what an administrator may do, with a server or without one.
//
// The package keeps these promises:
//
//   - A login returns to an address of a configured origin, or to home (returnto.go). The address is judged where it is
//     used, by a grammar that knows no spelling but the plain one, and then used byte for byte. Of one that is longer than
//     8 KiB (request.MaxReturnURL) the start page of its host is left, and people are told so.
//   - A form counts only in the browser that it was given to (forms.go), the login form too: by its cookie, or because the
//     browser says that a page of the login host sends it, as it does for tabs that were opened before there was a cookie.
//   - A browser in a redirect loop is told why after three rounds (loop.go). Tabs side by side and what a page fetches are
//     no rounds.
//   - A login makes a new session, and ends the one whose cookie was there before.
//   - Whether a user exists shows neither in words nor in work: every attempt costs one hash (authenticate.go). Strangers'
//     failures are counted by account, however its name is spelt, and by address; a browser that the user signed in from
//     has a count of its own (knownbrowsers.go), so that strangers keep nobody out.
//   - A request costs a few signatures at most, however often it repeats its cookies (cookies.go), and a form that does not
//     arrive holds nothing for long (forms.go). A user has so many sessions and no more (newsession.go).
//   - Whoever finds a browser open ends no other session without the password: that wants a login of at most 15 minutes
//     (stepup.go). What a browser calls itself stands on no page; useragent.go has words of its own.
//   - "Signed out" is said after an acknowledged write, and where no session lives. When the revocation list cannot be
//     read or written, the answer is 503 and the cookies stay.
//   - A token in the SSO cookie that has expired stands for its session while no other took its place, and has one successor.
//     One that was replaced proves nothing and ends nothing; beside the session's own cookie it shows that somebody else has the
//     successor, which is revoked.
//   - Nothing is issued to a subject with an iat at or before the moment up to which everything was revoked, and no token
//     outlives its session (issue.go). Issuing and ending exclude each other, subject by subject (revoke.go).
package idp
