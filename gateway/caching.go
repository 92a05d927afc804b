package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// limitCaching keeps caches outside from giving one person's answer to another. An
// answer that varies by an identity header is private, and varies by the credentials
// that these headers were made of: a client sends no identity header, so that for a
// cache outside everybody's requests would be alike. An answer to which the gateway
// adds cookies of its own is private too. Where the backend says nothing, the route
// says it.
func (x *forwarding) limitCaching(h *field.List) {
	names, identity := x.outsideVary(*h)
	if identity {
		h.Set("Vary", strings.Join(names, ", "))
	}
	if identity || len(x.reply.setCookies) > 0 {
		h.Set("Cache-Control", privateCacheControl(slices.Collect(h.Values("Cache-Control"))))
		h.DelFunc(isTargetedCacheControl)
		return
	}
	if h.Has("Cache-Control") || h.Has("Expires") {
		return
	}
	switch r := x.route(); {
	case r == nil:
	case r.PrivateByDefault(x.authentication.principal != nil), x.own != nil && r.DefaultCacheControl == "":
		h.Set("Cache-Control", "private")
	}
}

// outsideVary is Vary as it is true outside: the credentials in place of identity
// headers. identity reports whether there was one.
func (x *forwarding) outsideVary(h field.List) (names []string, identity bool) {
	for line := range h.Values("Vary") {
		for name := range strings.SplitSeq(line, ",") {
			switch name = strings.TrimSpace(name); {
			case name == "":
			case x.isIdentityHeader(name):
				identity = true
			default:
				names = append(names, name)
			}
		}
	}
	if !identity || slices.Contains(names, "*") {
		return names, identity
	}
	credentials := []string{"Cookie", "Authorization"}
	for _, header := range x.gen.TokenHeaders {
		credentials = append(credentials, header.Name)
	}
	for _, credential := range credentials {
		if !slices.ContainsFunc(names, func(name string) bool { return field.Same(name, credential) }) {
			names = append(names, credential)
		}
	}
	return names, true
}

// isIdentityHeader reports whether a backend is told in a header of that name who
// asks: by the gateway, whatever the upstream's preset, or in the place of another
// product.
func (x *forwarding) isIdentityHeader(name string) bool {
	if x.Kind != policies.Routed {
		return false
	}
	return request.ClassifyHeader(name) == request.IdentityHeader || x.gen.isTokenHeader(name) || isContractName(name)
}

// privateCacheControl is Cache-Control (RFC 9111, section 5.2) with private in place
// of what lets a shared cache keep an answer. private with the names of fields lets it
// keep the rest. What cannot be read is no-store.
func privateCacheControl(lines []string) string {
	kept := make([]string, 0, 4)
	directives, ok := splitList(strings.Join(lines, ","))
	if !ok {
		return "private, no-store"
	}
	for _, directive := range directives {
		name, _, _ := strings.Cut(directive, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "public", "s-maxage", "private":
		default:
			kept = append(kept, directive)
		}
	}
	return strings.Join(append(kept, "private"), ", ")
}

// isTargetedCacheControl reports whether a header is what some shared caches obey in
// place of Cache-Control: CDN-Cache-Control and its like (RFC 9213), and older ones.
func isTargetedCacheControl(name string) bool {
	switch name = http.CanonicalHeaderKey(name); name {
	case "Surrogate-Control", "Edge-Control", "X-Accel-Expires":
		return true
	}
	return strings.HasSuffix(name, "-Cache-Control")
}

// splitList splits a list at its commas (RFC 9110, section 5.6.1), those in quoted
// strings apart; false where a quoted string does not end.
func splitList(s string) (elements []string, ok bool) {
	start, quoted := 0, false
	for i := 0; i <= len(s); i++ {
		switch {
		case i < len(s) && quoted && s[i] == '\\':
			i++
		case i < len(s) && s[i] == '"':
			quoted = !quoted
		case i >= len(s) || s[i] == ',' && !quoted:
			if element := strings.TrimSpace(s[start:min(i, len(s))]); element != "" {
				elements = append(elements, element)
			}
			start = i + 1
		}
	}
	return elements, !quoted
}
