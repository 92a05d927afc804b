package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// ClientIPHeader is the canonical name of a header in which a trusted proxy says who asks.
type ClientIPHeader string

// otherHeaders have a meaning of their own, and hold nobody's address.
var otherHeaders = []string{
	"Authorization", "Content-Length", "Content-Type", "Cookie", "Host",
}

// DecodeYAML takes the name of a header that is one address, and not a list, or anything else.
func (h *ClientIPHeader) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	name, ok := headerName(d, n)
	switch class := request.ClassifyHeader(name); {
	case !ok:
	case name == "X-Forwarded-For":
		d.Errorf(n, "X-Forwarded-For is a list, and counts where client_ip_headers is left out")
	case name == "Forwarded":
		d.Errorf(n, "Forwarded is a list; write client_address: forwarded instead")
	case name == "X-Real-Ip", name == "X-Original-Forwarded-For", class == request.ClientIPHeader:
	case class != request.OrdinaryHeader, request.IsHopByHop(name), slices.Contains(otherHeaders, name):
		d.Errorf(n, "%s does not say where a client is", d.Written(n))
	}
	*h = ClientIPHeader(name)
}

// IdentityHeader is the canonical name of an identity header of another product.
type IdentityHeader string

// DecodeYAML takes the name of an identity header that would not pass otherwise.
func (h *IdentityHeader) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	name, ok := headerName(d, n)
	switch class := request.ClassifyHeader(name); {
	case !ok, class == request.IdentityHeader:
	case class == request.ClientIPHeader:
		d.Errorf(n, "%s says where a client is; write client_ip_headers instead", d.Written(n))
	case request.IsReservedHeader(name):
		d.Errorf(n, "%s is the gateway's own to write, and passes from nobody", d.Written(n))
	}
	*h = IdentityHeader(name)
}

// TokenHeader is the canonical name of a header in which a proxy before the gateway sends a token.
type TokenHeader string

// requestHeaders say what the request is.
var requestHeaders = []string{"Expect", "Content-Encoding", "Set-Cookie", "Origin", "Referer", "Accept", "User-Agent"}

// DecodeYAML takes the name of a header that has no other meaning.
func (h *TokenHeader) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	name, ok := headerName(d, n)
	switch class := request.ClassifyHeader(name); {
	case !ok:
	case name == "Authorization":
		d.Errorf(n, "Bearer tokens of Authorization are read anyway")
	case name == "Cookie":
		d.Errorf(n, "write `cookie` with the name of the cookie")
	case request.IsReservedHeader(name):
		d.Errorf(n, "%s is the gateway's own to write", d.Written(n))
	case class == request.ClientIPHeader:
		d.Errorf(n, "%s says where a client is", d.Written(n))
	case request.IsHopByHop(name), slices.Contains(otherHeaders, name), slices.Contains(requestHeaders, name),
		strings.HasPrefix(name, "Sec-"), strings.HasPrefix(name, "Access-Control-"):
		d.Errorf(n, "%s has another meaning, and carries no token", d.Written(n))
	}
	*h = TokenHeader(name)
}

// headerName is the canonical form of a header's name; false where there is none to judge.
func headerName(d *strictyaml.Decoder, n *yaml.Node) (string, bool) {
	var s string
	if !d.Decode(n, &s) || s == "" {
		return "", false
	}
	name, ok := request.CanonicalHeader(s)
	if !ok {
		d.Errorf(n, "a header's name is of letters, digits and hyphens, found %q", d.Written(n))
	}
	return name, ok
}
