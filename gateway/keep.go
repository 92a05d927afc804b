package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// receiveTimeout bounds the time of a body without a length that is to be kept; those with one are held to a rate by the edge.
const receiveTimeout = 30 * time.Second

// keepPost keeps what a form has sent, where a login is what the request lacks: the page says so, and the login leads to
// where it can be sent. What is kept comes with an SSO cookie of a good signature, run out or revoked, or with the cookie of a
// sign-out: it says whose it is; and CSRF protection would let it pass were an SSO cookie good. The refusal is another one where
// the body could not be read.
func (x *exchange) keepPost(r *refusal) *refusal {
	if x.kept.post != nil && !x.kept.taken && r.decision != decisionOwn && !r.redirectToLogin && r.note == "" {
		r.note = "What you sent is still kept."
	}
	if !r.redirectToLogin || x.g.opts.Posts == nil || x.gen == nil || x.loginURL() == "" {
		return r
	}
	if x.kept.id != "" { // its button was pressed when nobody was signed in again
		r.note = "What you sent is still kept. Sign in, and you are asked whether to send it."
		return r
	}
	if !x.mayKeep() {
		return r
	}
	const again = "Sign in in another tab, then reload this page: your browser sends it again."
	if x.forwardAuth != nil { // the proxy has the body
		r.note = "What you sent was not passed on. " + again
		return r
	}
	owner, ok := x.senderByCookie()
	if !ok {
		r.note = "What you sent was not passed on. " + again
		return r
	}
	size, err := x.keep(owner)
	var unread *refusal
	switch {
	case err == nil:
		x.record.kept = size
		r.note = "What you sent is kept for ten minutes. Sign in, and you are asked whether to send it."
		return r
	case errors.As(err, &unread):
		return unread
	case errors.Is(err, errPostTooLong):
		r.note = "What you sent could not be kept: it is more than " + x.keepLimitText() + "."
	case errors.Is(err, posts.ErrFull):
		r.note = "What you sent could not be kept: too much is kept already."
	default:
		x.g.opts.Log.Warn("keeping a post failed", "request_id", x.requestID, "error", err)
		r.note = "What you sent could not be kept."
	}
	r.note += " " + again
	r.cause = errors.Join(r.cause, fmt.Errorf("not kept: %w", err))
	return r
}

// mayKeep reports whether the request is a form that a person has sent to a page by themselves.
func (x *exchange) mayKeep() bool {
	route := x.located.Match.Route
	return x.r.Method == http.MethodPost && x.located.Kind == policies.Routed && route != nil && request.WantsDocument(x.r.Header) &&
		isForm(x.r.Header) && !x.decided.authentication.credentials.hasBearer && x.located.CSRFSafe(route)
}

// isForm reports whether the header is that of a form as browsers send it.
func isForm(h http.Header) bool {
	lines := h["Content-Type"]
	if len(lines) != 1 || h["Content-Encoding"] != nil {
		return false
	}
	kind := formKind(lines[0])
	return kind == formURLEncoded || kind == formMultipart
}

const (
	formURLEncoded = "application/x-www-form-urlencoded"
	formMultipart  = "multipart/form-data"
)

// formKind is the media type of a Content-Type, without its parameters.
func formKind(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(request.TrimOWS(kind))
}

// senderByCookie is who sent the request, by an SSO cookie that its issuer has signed, good or not any more; where there is none,
// who has signed out.
func (x *exchange) senderByCookie() (posts.Owner, bool) {
	a := &x.decided.authentication
	if a.located == nil {
		return posts.Owner{}, false
	}
	if a.claims != nil {
		return ownerOf(a.claims), a.byCookie && !a.byHeader
	}
	for _, cookie := range x.gen.Cookies {
		signed, err := a.signedValues(cookie)
		if err != nil || len(signed) == 0 {
			continue
		}
		latest, err := latestOfOneSession(signed)
		if err != nil {
			return posts.Owner{}, false
		}
		return ownerOf(latest.Claims), true
	}
	return x.signedOut()
}

var errPostTooLong = errors.New("the body is longer than login.keep_post or the route's max_body")

// keepLimit is the longest body that is kept of this request.
func (x *exchange) keepLimit() int64 {
	limit := x.g.opts.Posts.MaxBody()
	if most := x.located.Match.Route.MaxBody; most > 0 {
		limit = min(limit, most)
	}
	return limit
}

func (x *exchange) keepLimitText() string { return strictyaml.Size(x.keepLimit()).String() }

// keep receives the body and keeps it. The error is a refusal where the body could not be read.
func (x *exchange) keep(owner posts.Owner) (size int64, err error) {
	reserved := x.keepLimit()
	switch length := x.r.ContentLength; {
	case length > reserved:
		return 0, errPostTooLong
	case length >= 0:
		reserved = length
	}
	release, ok := x.g.opts.Posts.Reserve(reserved)
	if !ok {
		return 0, posts.ErrFull
	}
	defer release()
	body, err := x.receiveBody(x.keepLimit())
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), storeTimeout)
	defer cancel()
	id, err := x.g.opts.Posts.Keep(ctx, &posts.Post{
		Owner: owner, URL: x.located.url(), ContentType: x.r.Header["Content-Type"][0], Body: body,
	})
	if err != nil {
		return 0, err
	}
	x.kept.id = id
	x.setKeptCookie(id)
	return int64(len(body)), nil
}

// receiveBody reads the body to its end, which has to come within limit bytes.
func (x *exchange) receiveBody(limit int64) ([]byte, error) {
	if source, ok := x.r.Body.(interrupter); ok && x.r.ContentLength < 0 {
		// It fails where the client's connection is closed, which ends the read as well.
		timer := time.AfterFunc(receiveTimeout, func() { _ = source.Interrupt() })
		defer timer.Stop()
	}
	body, err := io.ReadAll(io.LimitReader(x.r.Body, limit+1))
	switch {
	case err != nil:
		return nil, refuseBodyRead(err)
	case int64(len(body)) > limit:
		return nil, errPostTooLong
	}
	return body, nil
}
