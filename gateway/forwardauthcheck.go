package gateway

import (
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// proxies says who is believed about who asks; nil before the first generation. Those that ask about requests are believed about
// these.
func (x *received) proxies() *request.Proxies {
	switch {
	case x.gen == nil:
		return nil
	case x.forwardAuth == nil:
		return &x.gen.proxies
	}
	p := x.gen.proxies
	return &request.Proxies{Networks: slices.Concat(x.g.opts.ForwardAuth, p.Networks), Headers: p.Headers, Forwarded: p.Forwarded}
}

// hasClientAddress reports whether a header says who asks, in one of the ways that count.
func hasClientAddress(p *request.Proxies, h http.Header) bool {
	says := func(name string) bool {
		return slices.ContainsFunc(h[name], func(line string) bool { return request.TrimOWS(line) != "" })
	}
	switch {
	case len(p.Headers) > 0:
		return slices.ContainsFunc(p.Headers, says)
	case p.Forwarded:
		return says("Forwarded")
	}
	return says("X-Forwarded-For")
}

// checkForwardAuth refuses what a proxy asks about and is not to: what the gateway or the login host answers has to be asked of the
// gateway itself, and a proxy that takes a success for leave cannot pass on the answer to a preflight.
func (x *exchange) checkForwardAuth() error {
	if x.forwardAuth == nil {
		return nil
	}
	switch kind := x.located.Kind; {
	case kind == policies.OwnPath, kind == policies.LoginHost:
		return refuseForwardAuthOwn()
	case kind == policies.CORSPreflight && !x.forwardAuth.answersAny():
		return refuseForwardAuthPreflight()
	}
	return nil
}
