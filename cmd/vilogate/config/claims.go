package config

import (
	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Claims are names of claims. Each is optional.
type Claims struct {
	User  string `yaml:"user"`
	Email string `yaml:"email"`
	Name  string `yaml:"name"`
	// Roles is the name of the claim with the roles; where a token has none of that name, a dotted path to it
	// (realm_access.roles); or the path as a list ([resource_access, "my.app", roles]). It is a list of texts, an object with a
	// member for each role, or a text.
	Roles ClaimPath `yaml:"roles"`
	// Delimiter divides a text with several roles, such as ",". Optional: a text is one role, but for scope and scp, which are
	// words.
	Delimiter string `yaml:"delimiter"`

	Places strictyaml.Places
}

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
