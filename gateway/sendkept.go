package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/policies"
)

// keptBodyLength is the length in bytes of the body by which the kept page's form asks for a post to be sent.
const keptBodyLength = len(keptField) + len("=") + posts.IDLength

// findKept finds out whether the request is that of the kept page's form, and which post is to be sent in its place. From
// here on its body's type and length are those of the post, so that everything is decided as of a request that brings it;
// the body follows when nothing refuses the request any more (sendKept). Of a browser that has no post kept, nothing is read
// before the request is decided on: then it has to be refused here, since without the cookie, as in a tab that was left open,
// the form is no business of the backend's either.
func (x *exchange) findKept(isDecided bool) error {
	if !x.mayBringKept() || x.provesAnyKept() == isDecided {
		return nil
	}
	body := make([]byte, keptBodyLength)
	if _, err := io.ReadFull(x.r.Body, body); err != nil {
		return refuseBodyRead(err)
	}
	id, ok := strings.CutPrefix(string(body), keptField+"=")
	if !ok || !posts.IsID(id) {
		x.r.Body = readBody{io.MultiReader(bytes.NewReader(body), x.r.Body), x.r.Body}
		return nil
	}
	post, err := x.findPost(id)
	if err != nil {
		return err
	}
	if post.URL != x.located.url() {
		return refuseMalformed(reasonKept + "is to be sent to another address than it was meant for")
	}
	x.kept = kept{id: id, post: post}
	x.r.ContentLength = int64(len(post.Body))
	x.r.Header["Content-Type"] = []string{post.ContentType}
	if x.r.Header["Content-Length"] != nil {
		x.r.Header["Content-Length"] = []string{strconv.Itoa(len(post.Body))}
	}
	return nil
}

// readBody is a body of which some was read beforehand.
type readBody struct {
	io.Reader
	io.Closer
}

// mayBringKept reports whether the request looks like that of the kept page's form, before its body is read. That of
// another proxy stays with it.
func (x *exchange) mayBringKept() bool {
	contentType := x.r.Header["Content-Type"]
	return x.g.opts.Posts != nil && x.forwardAuth == nil && x.r.Method == http.MethodPost && x.located.Kind == policies.Routed &&
		x.r.ContentLength == int64(keptBodyLength) && len(contentType) == 1 && formKind(contentType[0]) == formURLEncoded
}

// sendKept puts the kept body in place of the request's own, once: for who comes second, and had found it as well, it is gone.
func (x *exchange) sendKept() error {
	if x.kept.post == nil {
		return nil
	}
	if x.decided.authentication.claims == nil || !x.decided.authentication.byCookie {
		r := refuseLoginRequired().(*refusal)
		r.reason = reasonKept + "is somebody's, and nobody is signed in; the route is public by now"
		return r
	}
	post, err := x.decided.takePost(x.kept.id, x.kept.post.Owner)
	if err != nil {
		return err
	}
	x.kept.taken = true
	x.r.Body = io.NopCloser(bytes.NewReader(post.Body))
	x.r.ContentLength = int64(len(post.Body))
	x.record.keptSent = x.r.ContentLength
	return nil
}

// putBackKept keeps the post once more where it certainly was not sent. It returns the refusal, which says so.
func (x *exchange) putBackKept(err error) error {
	var r *refusal
	if x.reply.status != 0 || !errors.As(err, &r) {
		return err
	}
	switch ok, failed := x.putBackUnsent(); {
	case failed != nil:
		r.cause = errors.Join(r.cause, failed)
	case ok:
		x.setKeptCookie(x.kept.id)
		r.note = "What you sent is still kept. Reload this page to send it again."
	}
	return r
}

// abandonKept is for a post whose request was given up, as when the client has gone: its browser still has the cookie.
func (x *exchange) abandonKept() {
	if _, err := x.putBackUnsent(); err != nil {
		x.g.opts.Log.Warn("keeping a post that was not sent failed", "request_id", x.requestID, "error", err)
	}
}

// putBackUnsent keeps the post once more, if it was taken and not sent: the request was refused before it was forwarded, or there
// was no connection to the upstream.
func (x *exchange) putBackUnsent() (ok bool, err error) {
	if !x.kept.taken || x.record.upstream != "" && !x.forwarding.unsent {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(x.r.Context()), storeTimeout)
	defer cancel()
	if err := x.g.opts.Posts.PutBack(ctx, x.kept.id, x.kept.post); err != nil {
		return false, err
	}
	x.kept.taken, x.record.keptSent = false, 0
	return true, nil
}
