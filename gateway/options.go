package gateway

import (
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// limitBody refuses a body that says itself that it is longer than the route
// takes. One that does not say is cut off where it is (requestBody).
func (x *decided) limitBody() error {
	if most := x.mostBody(); most > 0 && x.r.ContentLength > most {
		return refuseTooLarge(most)
	}
	return nil
}

// mostBody is how many bytes of a body the route takes; 0 for any number.
func (x *decided) mostBody() int64 {
	if x.route() == nil {
		return 0 // the login host
	}
	return x.route().MaxBody
}

// forwardPath is the path that the backend is asked for: the canonical one, less
// the segments that the route strips.
func (x *decided) forwardPath() string {
	if x.route() == nil {
		return x.Target.Path.String()
	}
	return x.route().ForwardPath(x.Target.Path)
}

// optRequest changes the outgoing request as the route says. What identifies
// somebody is not a route's to change; no policy with such a name compiles.
func (x *forwarding) optRequest(out *http.Request) {
	route := x.route()
	if route == nil {
		return
	}
	if route.RewriteHost != "" {
		out.Host = route.RewriteHost
	}
	if route.StripPrefix != "" {
		out.Header["X-Forwarded-Prefix"] = []string{route.ForwardedPrefix}
	}
	if x.upstream.Odd == PassOdd {
		for name := range out.Header {
			if request.ClassifyHeader(name) == request.OddHeader && speaksOf(route, name) {
				delete(out.Header, name)
			}
		}
	}
	editHeader(out.Header, &route.Headers.Request)
}

// speaksOf reports whether the route changes or reads the header of that name, in
// whatever spelling a server takes for it. By an odd name or by a trailer, the client
// has no say in such a header: the backend would see what the policy did not.
func speaksOf(route *policies.Route, name string) bool {
	edits := &route.Headers.Request
	if len(edits.Remove)+len(edits.Set)+len(route.Reads.Headers) == 0 {
		return false
	}
	folded := request.FoldHeader(name)
	same := func(other string) bool { return request.FoldHeader(other) == folded }
	return slices.ContainsFunc(edits.Remove, same) || slices.ContainsFunc(route.Reads.Headers, same) ||
		slices.ContainsFunc(edits.Set, func(f policies.HeaderField) bool { return same(f.Name) })
}

// optResponse changes a backend's answer as the route says.
func (x *forwarding) optResponse(h http.Header) {
	if route := x.route(); route != nil {
		editHeader(h, &route.Headers.Response)
	}
	if _, said := h["Content-Type"]; !said {
		x.reply.Header()["Content-Type"] = nil // else net/http guesses one
	}
}

func editHeader(h http.Header, edits *policies.HeaderEdits) {
	for _, name := range edits.Remove {
		delete(h, name)
	}
	for _, field := range edits.Set {
		h[field.Name] = []string{field.Value}
	}
}
