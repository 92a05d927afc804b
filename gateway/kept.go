package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// keptCookie begins the name of the cookie that a browser has for each of its kept posts; the post's id is the rest. One
// cookie for all would be lost where two tabs are answered at once.
const keptCookie = "__Host-vilogate-kept-"

// signedOutCookie is the name of the cookie that says for ten minutes who has signed out with this browser: the forms that its
// other windows send meanwhile are theirs.
const signedOutCookie = "__Secure-vilogate-signed-out"

// keptField is the field of the form by which a person has a kept post sent: its value is the post's id.
const keptField = "vilogate_kept"

// keptParameter is the parameter of the address of the kept page: likewise.
const keptParameter = "id"

// storeTimeout bounds the wait for the store of kept posts.
const storeTimeout = 3 * time.Second

// keptURL is the page of a kept post.
func (l *located) keptURL(id string) string {
	return l.gen.origin(string(l.Name)) + policies.PathKept + "?" + keptParameter + "=" + id
}

// ownerOf is whose the claims are.
func ownerOf(c *token.Claims) posts.Owner {
	return posts.Owner{Issuer: c.IssuerName(), Subject: c.Subject(), Session: c.Session()}
}

// findPost returns a kept post, if this browser has sent it.
func (x *received) findPost(id string) (*posts.Post, error) {
	if x.g.opts.Posts == nil || !posts.IsID(id) || !x.provesKept(id) {
		return nil, refuseKeptGone()
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), storeTimeout)
	defer cancel()
	p, err := x.g.opts.Posts.Find(ctx, id)
	if err != nil {
		return nil, refuseKept(err)
	}
	return p, nil
}

// provesKept reports whether the browser has the cookie of a kept post.
func (x *received) provesKept(id string) bool {
	for value := range request.CookieValues(x.r.Header, keptCookie+id) {
		if x.g.opts.Posts.Proves(id, value) {
			return true
		}
	}
	return false
}

// provesAnyKept reports whether the browser has the cookie of any kept post.
func (x *received) provesAnyKept() bool {
	for _, line := range x.r.Header["Cookie"] {
		for name, value := range request.CookiePairs(line) {
			if id, ok := strings.CutPrefix(name, keptCookie); ok && x.g.opts.Posts.Proves(id, value) {
				return true
			}
		}
	}
	return false
}

// takePost takes a kept post for whoever asks now: for nobody else it was kept, and what is another's is thrown away.
func (d *decided) takePost(id string, owner posts.Owner) (*posts.Post, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.r.Context()), storeTimeout)
	defer cancel()
	p, err := d.g.opts.Posts.Take(ctx, owner, id)
	if err != nil {
		return nil, refuseKept(err)
	}
	d.reply.setCookies = append(d.reply.setCookies, clearHostCookie(keptCookie+id))
	if !owner.Same(ownerOf(d.authentication.claims)) {
		return nil, refuseKeptOfAnother()
	}
	return p, nil
}

// setSignedOutCookie has the browser know who has signed out with it.
func (d *decided) setSignedOutCookie() error {
	if d.g.opts.Posts == nil || d.authentication.claims == nil {
		return nil
	}
	value, err := d.g.opts.Posts.SealOwner(ownerOf(d.authentication.claims))
	if err == nil {
		d.reply.setCookies = append(d.reply.setCookies, domainCookie(signedOutCookie, value, d.gen.Domain, int(posts.Lifetime/time.Second)))
	}
	return err
}

// signedOut is who has signed out with this browser a moment ago.
func (x *received) signedOut() (posts.Owner, bool) {
	for value := range request.CookieValues(x.r.Header, signedOutCookie) {
		if owner, ok := x.g.opts.Posts.OpenOwner(value); ok {
			return owner, true
		}
	}
	return posts.Owner{}, false
}

// isKeptCookie reports whether a piece of a Cookie line is about kept posts.
func isKeptCookie(piece string) bool {
	piece = strings.TrimLeft(piece, " \t")
	return strings.HasPrefix(piece, keptCookie) || strings.HasPrefix(piece, signedOutCookie+"=")
}

// stripKeptCookies removes the cookies about kept posts, which are no business of a backend's. Who has signed out is forgotten
// when somebody is signed in.
func (d *decided) stripKeptCookies() {
	lines := d.r.Header["Cookie"]
	contains := func(text string) bool {
		return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, text) })
	}
	left := contains(signedOutCookie)
	if !left && !contains(keptCookie) {
		return
	}
	if left && d.authentication.byCookie {
		d.reply.setCookies = append(d.reply.setCookies, clearCookie(signedOutCookie, d.gen.Domain))
	}
	for i, line := range lines {
		pieces := slices.DeleteFunc(strings.Split(line, ";"), isKeptCookie)
		lines[i] = strings.TrimLeft(strings.Join(pieces, ";"), " \t")
	}
	if lines = slices.DeleteFunc(lines, func(line string) bool { return line == "" }); len(lines) == 0 {
		delete(d.r.Header, "Cookie")
		return
	}
	d.r.Header["Cookie"] = lines
}

// setKeptCookie gives the browser the cookie of a kept post.
func (x *received) setKeptCookie(id string) {
	x.reply.setCookies = append(x.reply.setCookies, hostCookie(keptCookie+id, x.g.opts.Posts.Proof(id), posts.Lifetime))
}

// refuseKept is for a kept post that could not be read.
func refuseKept(cause error) error {
	if errors.Is(cause, posts.ErrGone) {
		return refuseKeptGone()
	}
	return &refusal{
		status: http.StatusServiceUnavailable, decision: "unavailable", kind: "unavailable", title: "Not available right now",
		detail: "What you sent is kept, and cannot be read at the moment. Try again shortly.",
		reason: "the store of kept posts", cause: cause, retryAfter: 5,
	}
}

func refuseKeptGone() error {
	return &refusal{
		status: http.StatusGone, decision: decisionOwn, kind: "kept-gone", title: "It is not kept any more",
		detail: "What you sent while nobody was signed in has been sent already, or was thrown away, or is older than ten minutes.",
		reason: "no such kept post of this browser",
	}
}

func refuseKeptOfAnother() error {
	return &refusal{
		status: http.StatusForbidden, decision: decisionOwn, kind: "kept-of-another", title: "That was somebody else's",
		detail: "What was to be sent from here was another person's, who was signed in before you. It was thrown away, and nothing was sent.",
		reason: "the kept post is of another subject; it was dropped",
	}
}
