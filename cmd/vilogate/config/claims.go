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
