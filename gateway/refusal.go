package gateway

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

func refuseNotFound() error {
	return &refusal{
		status: http.StatusNotFound, decision: decisionOwn, kind: "not-found", title: "Not found",
		detail: "There is nothing at this address.", reason: "unknown gateway path",
	}
}

// refuseLogout is for a sign-out without a cookie that names a session: a person
// is sent to the login host, whose own session may still live, and a program is
// told where that is. Nobody is told "signed out".
func refuseLogout(reason string) error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "login", kind: "unauthenticated", title: "Nobody is signed in here",
		detail: "Nobody is signed in here.", reason: reason, logout: true,
	}
}

// kindForbidden is of what is not open to who asks.
const kindForbidden = "forbidden"

// decisionOwn is recorded of the gateway's own paths.
const decisionOwn = "own"

// refusal is an error that the client is to hear of. What the client reads
// (title, detail) and what the log says (reason) are kept apart: no client
// learns a rule's text.
type refusal struct {
	status          int
	decision        string // for the record: "deny", "login", "error", …
	kind            string // last part of the problem type
	title           string
	detail          string // for a person
	note            string // more for a person, of what was sent; "" for nothing
	reason          string // for the access record and the audit log
	challenge       string // the WWW-Authenticate parameters after the realm
	allow           []string
	offerLogin      bool   // somebody who signs in may have more luck
	redirectToLogin bool   // and a person is sent there
	stepUpQuery     string // what the login has to ask for, as the end of a query
	removeCookies   bool   // a button of the page removes the browser's cookies
	logout          bool   // the login host may know a session that this host does not
	retryAfter      int    // seconds; Retry-After
	cause           error  // for the log
}

func (r *refusal) Error() string {
	if r.cause != nil {
		return r.reason + ": " + r.cause.Error()
	}
	return r.reason
}

func (r *refusal) Unwrap() error { return r.cause }

// isRefusal reports whether an error is for the client to hear of.
func isRefusal(err error) bool {
	_, ok := errors.AsType[*refusal](err)
	return ok
}

// statusClientClosedRequest is recorded, never sent (nginx's 499).
const statusClientClosedRequest = 499

const decisionMalformed = "malformed"

func refuseMalformed(reason string) error {
	return &refusal{
		status: http.StatusBadRequest, decision: decisionMalformed, kind: "malformed", title: "Bad request",
		detail: "The address or the request cannot be understood in one way only.", reason: reason,
	}
}

func refuseMisdirected(reason string) error {
	return &refusal{
		status: http.StatusMisdirectedRequest, decision: "misdirected", kind: "misdirected", title: "Misdirected request",
		detail: "This connection does not serve that host.", reason: reason,
	}
}

func refuseUnknownHost() error {
	return &refusal{
		status: http.StatusNotFound, decision: decisionUnknownHost, kind: "unknown-host", title: "Not found",
		detail: "No such site is served here.", reason: policies.ReasonUnknownHost,
	}
}

func refuseMethodNotAllowed(reason string, allow []string) error {
	return &refusal{
		status: http.StatusMethodNotAllowed, decision: "deny", kind: "method-not-allowed", title: "Method not allowed",
		detail: "This address does not take that method.", reason: reason, allow: allow,
	}
}

func refuseMethodNotImplemented(reason string) error {
	return &refusal{
		status: http.StatusNotImplemented, decision: "deny", kind: "method-not-implemented", title: "Method not implemented",
		detail: "The request's method is not known here.", reason: reason,
	}
}

func refuseLoginRequired() error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "login", kind: "unauthenticated", title: "Sign in to continue",
		detail: "You need to sign in to see this page.", reason: "authentication required, and the request is anonymous", offerLogin: true, redirectToLogin: true,
	}
}

// refuseInvalidCookie is for routes with optional authentication: anonymous requests
// pass, invalid credentials do not.
func refuseInvalidCookie() error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "login", kind: "unauthenticated", title: "Sign in to continue",
		detail: "Your sign-in is no longer valid.", reason: "optional authentication: the SSO cookie is invalid", offerLogin: true,
		redirectToLogin: true,
	}
}

// refuseBearerRequired is for routes that take Bearer tokens only: the login page
// gives none.
func refuseBearerRequired() error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "login", kind: "unauthenticated", title: "A Bearer token is needed",
		detail: "This address is for programs, which send a Bearer token.", reason: "Bearer token required, none sent",
		offerLogin: true,
	}
}

func refuseInvalidToken(cause error) error {
	return &refusal{
		status: http.StatusUnauthorized, decision: "deny", kind: "invalid-token", title: "Invalid token",
		detail: "The Bearer token is not valid here.", reason: "invalid Bearer token", cause: cause,
		challenge: `error="invalid_token", error_description="the token is expired, revoked, malformed or not for this site"`, offerLogin: true,
	}
}

// refuseNotSignedIn answers an anonymous request for /.vilogate/me.
func refuseNotSignedIn() error {
	return &refusal{
		status: http.StatusUnauthorized, decision: decisionOwn, kind: "unauthenticated", title: "Nobody is signed in",
		detail: "Nobody is signed in here.", reason: "anonymous request", offerLogin: true,
	}
}

func refuseForbidden(reason string) error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "You are signed in, but this is not open to you.", reason: reason,
	}
}

// refuseForbiddenAnonymous is for what is open to nobody, or not to a stranger who could
// sign in as long as they like.
func refuseForbiddenAnonymous(reason string) error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "This address is not open to you.", reason: reason,
	}
}

// What begins the reasons in the records of requests that their rule had allowed, and that were refused for something else; see also
// policies.ReasonCSRF.
const (
	reasonTooLarge        = "the body is longer than max_body"
	reasonCredentials     = "Authorization by " // of a scheme that logs a connection in
	reasonOddHeader       = "a header name that the upstream refuses"
	reasonNoWebSocket     = "a WebSocket, "
	reasonHandshakeBody   = "a WebSocket handshake with a body"
	reasonKept            = "a kept post " // that cannot be sent
	reasonTooMuchIdentity = "the roles and names in a token of "
	reasonForwardAuth     = "forward auth: " // another proxy holds the request, or asks about it
)

// IsBehindRule reports whether a reason is of a refusal that a rule has no part in, though the record names the one that matched: the
// rule had allowed the request.
func IsBehindRule(reason string) bool {
	return slices.ContainsFunc([]string{
		reasonTooLarge, reasonCredentials, reasonOddHeader, reasonNoWebSocket, reasonHandshakeBody, reasonKept, reasonTooMuchIdentity, reasonForwardAuth,
	}, func(beginning string) bool { return strings.HasPrefix(reason, beginning) })
}

// reasonConnectionAuth ends the reason where credentials or a challenge would log a connection in.
const reasonConnectionAuth = "it logs a connection in, and those to upstreams are shared (connection_auth: refuse)"

func refuseCSRF() error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: "csrf", title: "Not allowed",
		detail: "The request did not come from a page of this site.",
		reason: policies.ReasonCSRF,
	}
}

// refuseConnectionAuth is for credentials of a scheme that logs a connection in.
func refuseConnectionAuth(scheme string) error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: "connection-auth", title: "Authorization of another kind is needed",
		detail: "The request signs in by Negotiate, NTLM or CredSSP, which sign a connection in. Connections to the service behind this address " +
			"are shared by everybody, who would then be signed in as you.",
		reason: reasonCredentials + scheme + ": " + reasonConnectionAuth,
	}
}

// refuseConnectionAuthOverHTTP2 is 421 (RFC 9110, section 15.5.20): another connection
// would do, one of HTTP/1.1. The code HTTP_1_1_REQUIRED of RFC 9113 says that without a
// word for who reads it.
func refuseConnectionAuthOverHTTP2(scheme string) error {
	return &refusal{
		status: http.StatusMisdirectedRequest, decision: "misdirected", kind: "connection-auth", title: "HTTP/1.1 is needed",
		detail: "The request signs in by Negotiate, NTLM or CredSSP, which sign a connection in. That is possible over HTTP/1.1 alone.",
		reason: reasonCredentials + scheme + " over HTTP/2, in which requests of a connection are not one client's alone",
	}
}

// refuseTooManyOwn is for a client that needs a connection to the upstream of its own.
func refuseTooManyOwn(cause error) error {
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not available right now",
		detail: "Too many people are signed in by Negotiate, NTLM or CredSSP at the moment. Try again shortly.",
		reason: "limits.connection_auth: no more connections to upstreams that are one client's", cause: cause, retryAfter: 5,
	}
}

func refuseCookieConflict(cookie string) error {
	return &refusal{
		status: http.StatusBadRequest, decision: "deny", kind: "cookie-conflict", title: "Two sign-ins at once",
		detail: "Your browser keeps sending two different sign-in cookies, and which of them is yours cannot be told. " +
			"Remove the cookies of this site in your browser's settings, then sign in again.",
		reason: "conflicting cookies: two values of " + cookie + " after both were cleared",
	}
}

// refuseTwoPeople is for credentials of two people in one request: of a proxy before
// the gateway, which says who asks in a header, and of the client.
func refuseTwoPeople() error {
	return &refusal{
		status: http.StatusBadRequest, decision: "deny", kind: "credential-conflict", title: "Two people at once",
		detail: "The proxy before this site says that you are one person, and your browser or program sends the sign-in of another. " +
			"Sign out of one of the two, or remove the cookies of this site in your browser's settings.",
		reason: "conflicting credentials: a header with a token and another credential are of two people",
	}
}

// refuseTooMuchIdentity is for who has so many roles that no backend would take what is to be said of them.
func refuseTooMuchIdentity(issuer string) error {
	return &refusal{
		status: http.StatusForbidden, decision: "deny", kind: kindForbidden, title: "Not allowed",
		detail: "You have more roles than the services here can be told of.",
		reason: reasonTooMuchIdentity + issuer + " are longer than backends take in a header; map fewer roles",
	}
}

// refuseTooManyCookies is for a sign-out among more cookies of one name than can
// be verified: others on the domain have planted them.
func refuseTooManyCookies(cookie string) error {
	return &refusal{
		status: http.StatusConflict, decision: "deny", kind: "cookie-conflict", title: "Not signed out",
		detail: "Your browser sends more sign-in cookies of this site than can be checked, so that you could not be signed out of all of them. " +
			"You are still signed in. A site of the same domain may have set them. You can remove the cookies of all sites of the same domain, " +
			"also those that have nothing to do with signing in.",
		reason: "more values of the cookie " + cookie + " than are verified; nothing was revoked", removeCookies: true,
	}
}

// refuseTooLarge is 413 for a body beyond a limit in bytes, which the reason names.
func refuseTooLarge(limit int64, reason string) error {
	return &refusal{
		status: http.StatusRequestEntityTooLarge, decision: "deny", kind: "too-large", title: "Content too large",
		detail: "What was sent is larger than this address takes.",
		reason: reason + ", " + strconv.FormatInt(limit, 10) + " bytes",
	}
}

func refuseUnavailable(reason string) error {
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not available right now",
		detail: "Your sign-in cannot be checked at the moment. You are still signed in; try again shortly.", reason: reason, retryAfter: 5,
	}
}

// refuseKeysMissing is for a token that may be good, and of whose issuer no key is
// known with which to tell, or none may be tried any more.
func refuseKeysMissing(issuer string, err error) error {
	if errors.Is(err, token.ErrTooManyKeys) {
		return &refusal{
			status: http.StatusTooManyRequests, decision: "limit", kind: "rate-limited", title: "Too many requests",
			detail: "Too many tokens that could not be verified came from your network address. Wait a little, then try again.",
			reason: "rate limit exceeded: tokens without a kid, of " + issuer + ", for which several keys were tried in vain", retryAfter: 5,
		}
	}
	if errors.Is(err, token.ErrKeyPending) {
		return refuseUnavailable("the token's key is unknown, and the JWKS of " + issuer + " is being fetched")
	}
	return refuseUnavailable("the JWKS of " + issuer + " is not loaded")
}

// refuseSessionUnknown is for an expired token of our own identity provider, which does not say whether its session lives.
func refuseSessionUnknown(cause error) error {
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not available right now",
		detail: "Your sign-in cannot be renewed at the moment. You are still signed in; try again shortly.",
		reason: "the identity provider does not answer about a session", cause: cause, retryAfter: 2,
	}
}

// refuseAuditFailure is 503 for a request whose audit record could not be written.
func refuseAuditFailure(cause error) error {
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not available right now",
		detail: "Your request cannot be taken at the moment. You are still signed in; try again shortly.",
		reason: "audit write failed", cause: cause, retryAfter: 5,
	}
}

// refuseNoMemory is 503 for a body that has to be taken in, while there is no memory for it.
func refuseNoMemory() error {
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "allow", kind: "unavailable", title: "Not available right now",
		detail: "Your request cannot be taken at the moment. Try again shortly.",
		reason: "no room for a body of unknown length: limits.buffer_memory is used up, and limits.buffer_disk where the upstream has buffer.disk", retryAfter: 2,
	}
}

func refuseUpstream(status int, reason string, cause error) error {
	r := &refusal{
		status: status, decision: "allow", kind: "upstream-failed", title: "Bad gateway",
		detail: "The service behind this address did not answer. Try again shortly.", reason: reason, cause: cause,
	}
	if status == http.StatusGatewayTimeout {
		r.kind, r.title = "upstream-timeout", "Gateway timeout"
	}
	return r
}

// refuseBodyRead is for a failed read of the request's body: 400, 408 or 413.
func refuseBodyRead(cause error) error {
	r := &refusal{
		status: http.StatusBadRequest, decision: "allow", kind: "malformed", title: "Bad request",
		detail: "The request's body could not be read.", reason: "reading the request body", cause: cause,
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(cause, &tooLarge):
		r.status, r.kind, r.title = http.StatusRequestEntityTooLarge, "too-large", "Content too large"
		r.detail = "What was sent is larger than this address takes."
	case errors.Is(cause, os.ErrDeadlineExceeded):
		r.status, r.kind, r.title = http.StatusRequestTimeout, "timeout", "Request timeout"
	}
	return r
}
