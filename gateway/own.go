package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies"
)

// serveOwn answers a request for one of the gateway's own endpoints, which is
// allowed.
func (d *decided) serveOwn() error {
	d.record.decision = decisionOwn
	switch d.Endpoint {
	case policies.Keys:
		return d.serveKeys()
	case policies.Me:
		return d.serveMe()
	case policies.RemoveCookies:
		return d.serveRemoveCookies()
	case policies.Kept:
		return d.serveKept()
	case policies.Clear:
		return d.serveClear()
	}
	return d.serveLogout()
}

// serveKeys answers with the keys that backends verify assertions with.
func (x *decided) serveKeys() error {
	h := x.reply.Header()
	x.reply.setCommonHeaders(h)
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=60")
	h.Set("X-Content-Type-Options", "nosniff")
	x.reply.WriteHeader(http.StatusOK)
	x.reply.write(x.g.opts.AssertionKeys())
	return nil
}

// me is what /.vilogate/me answers. Times are seconds since 1970, as in tokens.
type me struct {
	User     string   `json:"user"`
	ID       string   `json:"id"`
	Email    string   `json:"email"`
	Name     string   `json:"name"`
	Roles    []string `json:"roles"`
	Session  string   `json:"session"`
	Issuer   string   `json:"issuer"`
	AuthTime int64    `json:"auth_time"`
	Expires  int64    `json:"expires"`
}

// serveMe answers with who asks.
func (x *decided) serveMe() error {
	c := x.authentication.claims
	answer := me{
		User: c.User(), ID: c.Subject(), Email: c.Email(), Name: c.Name(), Roles: c.Roles(),
		Session: c.Session(), Issuer: c.IssuerName(), Expires: c.Expires().Unix(),
	}
	if answer.Roles == nil {
		answer.Roles = []string{}
	}
	if t := c.AuthTime(); !t.IsZero() {
		answer.AuthTime = t.Unix()
	}
	if successor := x.rotate(http.StatusOK); successor != nil {
		answer.Expires = successor.Expires().Unix()
	}
	x.reply.setCommonHeaders(x.reply.Header())
	x.reply.Header().Set("Cache-Control", "no-store")
	x.received.writeJSON(http.StatusOK, answer)
	return nil
}

// answerPreflight answers a preflight that is allowed. It was matched by its path
// and the method asked for, without credentials.
func (l *located) answerPreflight() error {
	answer := &l.Preflight
	l.reply.cors = corsResult{varies: true, origin: l.r.Header["Origin"][0], credentials: answer.Credentials}
	h := l.reply.Header()
	h.Set("Access-Control-Allow-Methods", strings.Join(answer.Methods, ", "))
	if len(answer.Headers) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(answer.Headers, ", "))
	}
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(answer.MaxAge.Seconds())))
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	l.reply.setCommonHeaders(h)
	l.record.decision = "preflight"
	l.reply.WriteHeader(http.StatusNoContent)
	return nil
}
