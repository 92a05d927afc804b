package gateway

import (
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/forwardauth"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// forwardAuth is what is known of a request that another proxy holds and asks about (forward auth): it goes all the way of other requests, and
// where they are forwarded, what they would be sent with is told to the proxy.
type forwardAuth struct {
	dialect forwardauth.Dialect
	sent    []string // the names of its fields, as they were sent
	allowed *allowed // what the proxy is to change of the request; nil where it is refused
}

// allowed is what a proxy is to change of a request before it forwards it.
type allowed struct {
	set    field.List // fields in place of any of their names
	remove []string   // names, of which no field may be left
}

// name is how records call the dialect; "" for none.
func (h *forwardAuth) name() string {
	if h == nil {
		return ""
	}
	return h.dialect.String()
}

// canRemove reports whether the proxy is told to remove fields. Others overwrite what they are given, and no more.
func (h *forwardAuth) canRemove() bool { return h.dialect == forwardauth.Envoy }

// answersAny reports whether the proxy passes on an answer of any status but 200, so that what the gateway answers itself may be
// a success too.
func (h *forwardAuth) answersAny() bool {
	return h.dialect == forwardauth.Envoy || h.dialect == forwardauth.Prefixed
}

// proxies says who is believed about who asks; nil before the first generation. Those that ask about requests are believed about
// these.
func (x *received) proxies() *request.Proxies {
	switch {
	case x.gen == nil:
		return nil
	case x.held == nil:
		return &x.gen.proxies
	}
	p := x.gen.proxies
	return &request.Proxies{Networks: slices.Concat(x.g.opts.ForwardAuth, p.Networks), Headers: p.Headers, Forwarded: p.Forwarded}
}

// saysWhoAsks reports whether a header says who asks, in one of the ways that count.
func saysWhoAsks(p *request.Proxies, h http.Header) bool {
	switch {
	case len(p.Headers) > 0:
		return slices.ContainsFunc(p.Headers, func(name string) bool { return len(h[name]) > 0 })
	case p.Forwarded:
		return len(h["Forwarded"]) > 0
	}
	return len(h["X-Forwarded-For"]) > 0
}

// checkHeld refuses what a proxy asks about and is not to: what the gateway or the login host answers has to be asked of the
// gateway itself, and a proxy that takes a success for leave cannot pass on the answer to a preflight.
func (x *exchange) checkHeld() error {
	if x.held == nil {
		return nil
	}
	switch kind := x.located.Kind; {
	case kind == policies.OwnPath, kind == policies.LoginHost:
		return refuseHeldOwn()
	case kind == policies.CORSPreflight && !x.held.answersAny():
		return refuseHeldPreflight()
	}
	return nil
}
