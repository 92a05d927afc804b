package gateway

import (
	"net/http"
	"slices"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// limitBody refuses a Content-Length beyond the route's max_body. A body without
// one is cut off at the limit (requestBody).
func (x *decided) limitBody() error {
	if limit := x.maxBody(); limit > 0 && x.r.ContentLength > limit {
		return refuseTooLarge(limit, reasonTooLarge)
	}
	return nil
}

// maxBody is the route's max_body, in bytes; 0 for no limit.
func (x *decided) maxBody() int64 {
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

// prefixed puts a path behind that of the upstream's addresses.
func (x *forwarding) prefixed(path string) string {
	if x.upstream == nil { // the identity provider
		return path
	}
	return x.upstream.prefix + path
}

// editRequest applies the route's options to the outgoing request. Identity headers
// are not a route's to change; no policy with such a name compiles.
func (x *forwarding) editRequest(out *outgoing) {
	route := x.route()
	if route == nil {
		return
	}
	if route.RewriteHost != "" {
		out.host = route.RewriteHost
	}
	if route.StripPrefix != "" {
		out.header.Set("X-Forwarded-Prefix", route.ForwardedPrefix)
	}
	if x.upstream.OddHeaders == PassOdd {
		out.header.DelFunc(func(name string) bool {
			return request.ClassifyHeader(http.CanonicalHeaderKey(name)) == request.OddHeader && controlsHeader(route, name)
		})
	}
	editHeader(&out.header, &route.Headers.Request)
}

// controlsHeader reports whether the route sets, removes or reads the header of that
// name, after folding. Odd names and trailers that fold into such a header are
// dropped: the backend would see what the policy did not.
func controlsHeader(route *policies.Route, name string) bool {
	edits := &route.Headers.Request
	if len(edits.Remove)+len(edits.Set)+len(route.Reads.Headers) == 0 {
		return false
	}
	folded := request.FoldHeader(name)
	same := func(other string) bool { return request.FoldHeader(other) == folded }
	return slices.ContainsFunc(edits.Remove, same) || slices.ContainsFunc(route.Reads.Headers, same) ||
		slices.ContainsFunc(edits.Set, func(f policies.HeaderField) bool { return same(f.Name) })
}

// editResponse applies the route's options to the upstream's response.
func (x *forwarding) editResponse(h *field.List) {
	if route := x.route(); route != nil {
		editHeader(h, &route.Headers.Response)
	}
}

// editsResponse reports whether the route sets or removes the field of that name in answers: it is no trailer of theirs either.
func (x *forwarding) editsResponse(name string) bool {
	route := x.route()
	if route == nil {
		return false
	}
	edits := &route.Headers.Response
	return slices.ContainsFunc(edits.Remove, func(other string) bool { return field.Same(other, name) }) ||
		slices.ContainsFunc(edits.Set, func(f policies.HeaderField) bool { return field.Same(f.Name, name) })
}

func editHeader(h *field.List, edits *policies.HeaderEdits) {
	for _, name := range edits.Remove {
		h.Del(name)
	}
	for _, f := range edits.Set {
		h.Set(f.Name, f.Value)
	}
}
