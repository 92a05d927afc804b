package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Audiences are the audiences of which a token must have one; nil for none, where it must not have any.
type Audiences []string

// noAudience is how the file says that tokens name no audience.
const noAudience = "none"

// DecodeYAML takes a list, or none.
func (a *Audiences) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		list := []string{}
		d.Decode(n, &list)
		*a = list
		return
	}
	var s string
	if d.Decode(n, &s) && s != noAudience {
		d.Errorf(n, "audience is a list, such as [billing-api], or none, found %q", d.Written(n))
	}
}

// ClaimPath is the name of a claim, or the names that lead to it, one inside the other.
type ClaimPath []string

// DecodeYAML takes a name or a list of names.
func (p *ClaimPath) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		list := []string{}
		if d.Decode(n, &list) && len(list) == 0 {
			d.Errorf(n, "the path to a claim has at least one name")
		}
		*p = list
		return
	}
	var s string
	if d.Decode(n, &s) {
		*p = ClaimPath{s}
	}
}

// isShared reports whether the issuer shares a secret with us, in place of publishing keys.
func (i *Issuer) isShared() bool { return i.isSet("secret") || i.isSet("secrets") }

// SharedSecrets are the secrets, any of which may have signed; empty for an issuer with published keys.
func (i *Issuer) SharedSecrets() []string {
	if i.Secret != "" {
		return []string{i.Secret}
	}
	return i.Secrets
}

// WithoutAudience reports whether its tokens name no audience.
func (i *Issuer) WithoutAudience() bool { return i.isSet("audience") && i.Audience == nil }

// KeepsRoles reports whether roles count as the issuer spells them.
func (i *Issuer) KeepsRoles() bool {
	return len(i.Claims.Roles) > 0 && i.RolesUnmapped == "keep"
}
