package policies

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// The shapes of a policy file as it is written. Each knows its place; what it means is checked when it is compiled.
type (
	fileSyntax struct {
		Place    strictyaml.Place
		Host     word                         `yaml:"host,required"`
		Upstream word                         `yaml:"upstream,required"`
		TLS      *tlsSyntax                   `yaml:"tls"`
		CORS     *corsSyntax                  `yaml:"cors"`
		Defaults *optionsSyntax               `yaml:"defaults"`
		Rules    map[string]*conditionsSyntax `yaml:"rules"`
		Routes   []routeSyntax                `yaml:"routes,required"`
		Tests    []testSyntax                 `yaml:"tests"`
	}

	tlsSyntax struct {
		Place      strictyaml.Place
		MinVersion word `yaml:"min_version"`
		ClientCA   word `yaml:"client_ca"`
	}

	// corsSyntax is a map, or the word none on a route.
	corsSyntax struct {
		Place       strictyaml.Place
		none        bool
		Origins     []word               `yaml:"origins,required"`
		Credentials bool                 `yaml:"credentials"`
		Methods     *[]word              `yaml:"methods"`
		Headers     *[]word              `yaml:"headers"`
		Exposed     []word               `yaml:"exposed_headers"`
		MaxAge      *strictyaml.Duration `yaml:"max_age"`
	}

	routeSyntax struct {
		Place   strictyaml.Place
		Path    word        `yaml:"path,required"`
		Methods *[]word     `yaml:"methods"`
		Allow   allowSyntax `yaml:"allow,required"`
		Bearer  only        `yaml:"bearer"`
		CORS    *corsSyntax `yaml:"cors"`
		optionsSyntax
	}
)

// Words of the language that are to come. To accept one and ignore it would leave a door open that somebody closed.
var (
	laterInFile  = []string{"signature"}
	laterInRoute = []string{"signature"}
)

func (f *fileSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain fileSyntax
	n = withoutLater(d, n, laterInFile)
	n = without(n, optionKeys, func(key *yaml.Node) {
		d.Errorf(key, "%q stands on a route, or under defaults: for every route of the file", key.Value)
	})
	d.Decode(n, (*plain)(f))
}

// DecodeYAML takes a map, or the word none.
func (c *corsSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain corsSyntax
	c.Place = d.Place(n)
	if c.none = isNone(n); !c.none {
		d.Decode(n, (*plain)(c))
	}
}

func (r *routeSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain routeSyntax
	d.Decode(withoutLater(d, n, laterInRoute), (*plain)(r))
}

// withoutLater reports the keys of a mapping that are not supported yet, and returns the mapping without them.
func withoutLater(d *strictyaml.Decoder, n *yaml.Node, later []string) *yaml.Node {
	return without(n, later, func(key *yaml.Node) { d.Errorf(key, "%q is not supported yet", key.Value) })
}

// without returns a mapping without the given keys, and reports those it had.
func without(n *yaml.Node, keys []string, report func(key *yaml.Node)) *yaml.Node {
	if n.Kind != yaml.MappingNode {
		return n
	}
	rest := *n
	rest.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.ScalarNode && slices.Contains(keys, key.Value) {
			report(key)
			continue
		}
		rest.Content = append(rest.Content, key, n.Content[i+1])
	}
	return &rest
}

// A word is a text that knows where it stands.
type word struct {
	text string
	at   strictyaml.Place
}

// DecodeYAML takes a text.
func (w *word) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	w.at = d.Place(n)
	d.Decode(n, &w.text)
}
