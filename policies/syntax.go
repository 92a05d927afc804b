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
		Host     word                         `yaml:"host,required"`     // the host in lower case, or "*.preview.example.com" for any one label
		Upstream word                         `yaml:"upstream,required"` // where its requests go: a name under upstreams: of the configuration
		Paths    word                         `yaml:"paths"`             // case-insensitive where the server behind folds case (Express, IIS, Windows), or case-sensitive, as when left out
		TLS      *tlsSyntax                   `yaml:"tls"`               // what connections must be like
		CORS     *corsSyntax                  `yaml:"cors"`              // which pages of other origins may call this host; none, as when left out, for none
		Defaults *optionsSyntax               `yaml:"defaults"`          // options for every route that does not have its own
		Rules    map[string]*conditionsSyntax `yaml:"rules"`             // conditions under a name, for routes and rules of this file
		Routes   []routeSyntax                `yaml:"routes,required"`   // who may ask for what; what no route lists is refused
		Tests    []testSyntax                 `yaml:"tests"`             // requests and what is expected of them; a file whose tests fail is refused

		Acknowledge []word `yaml:"acknowledge"` // kinds of warnings of policy check that are known and meant, in the whole file
	}

	tlsSyntax struct {
		Place      strictyaml.Place
		MinVersion word `yaml:"min_version"` // the lowest version of TLS
		ClientCA   word `yaml:"client_ca"`   // a file of CA certificates (PEM) by which clients have to be certified, relative to the folder of the policy
	}

	// corsSyntax is a map, or the word none.
	corsSyntax struct {
		Place       strictyaml.Place
		none        bool
		Origins     []word               `yaml:"origins,required"` // https://host[:port], "https://*.example.com", or "*" for all
		Credentials bool                 `yaml:"credentials"`      // with the cookie of whoever looks at the page; never beside a star
		Methods     *[]word              `yaml:"methods"`          // what a preflight may ask for; default: the methods of the path's routes
		Headers     *[]word              `yaml:"headers"`          // what requests may carry; default: Authorization, Content-Type, X-Request-Id
		Exposed     []word               `yaml:"exposed_headers"`  // of answers, what scripts may read besides
		MaxAge      *strictyaml.Duration `yaml:"max_age"`          // how long browsers keep the answer to a preflight; default: 10m
	}

	routeSyntax struct {
		Place   strictyaml.Place
		Path    word        `yaml:"path,required"`  // the pattern, decoded: /users/:id for any one segment, /files/*rest for all below
		Methods *[]word     `yaml:"methods"`        // which methods; GET implies HEAD; default: every one
		Allow   allowSyntax `yaml:"allow,required"` // who may
		CORS    *corsSyntax `yaml:"cors"`           // in place of the host's; none for none

		Acknowledge []word `yaml:"acknowledge"` // kinds of warnings of policy check about this route that are known and meant
		optionsSyntax
	}
)

// Words of the language that are to come. To accept one and ignore it would leave a door open that somebody closed.
var (
	unsupportedInFile  = []string{"signature"}
	unsupportedInRoute = []string{"signature"}
)

func (f *fileSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain fileSyntax
	n = rejectUnsupported(d, n, unsupportedInFile)
	n = withoutKeys(n, optionKeys, func(key *yaml.Node) {
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
	d.Decode(rejectUnsupported(d, n, unsupportedInRoute), (*plain)(r))
}

// rejectUnsupported reports the keys of a mapping that are not supported yet, and returns the mapping without them.
func rejectUnsupported(d *strictyaml.Decoder, n *yaml.Node, later []string) *yaml.Node {
	return withoutKeys(n, later, func(key *yaml.Node) { d.Errorf(key, "%q is not supported yet", key.Value) })
}

// withoutKeys returns a mapping without the given keys, and reports those it had.
func withoutKeys(n *yaml.Node, keys []string, report func(key *yaml.Node)) *yaml.Node {
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
