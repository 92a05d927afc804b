package policies

import (
	"slices"
	"strings"

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

	testSyntax struct {
		Place  strictyaml.Place
		method string
		target word
		As     *identitySyntax `yaml:"as"`
		Expect word            `yaml:"expect,required"`
	}

	identitySyntax struct {
		User    word                `yaml:"user"`
		Issuer  word                `yaml:"issuer"`
		Email   string              `yaml:"email"`
		Name    string              `yaml:"name"`
		Roles   []word              `yaml:"roles"`
		AuthAge strictyaml.Duration `yaml:"auth_age"`
		MFAAge  strictyaml.Duration `yaml:"mfa_age"`
	}
)

// Words of the language that are to come. To accept one and ignore it would leave a door open that somebody closed.
var (
	laterInFile  = []string{"signature"}
	laterInRoute = []string{"signature"}
	laterInTest  = []string{"at", "headers", "ip", "rule"}
	laterInAs    = []string{"amr", "claims"}
)

// testMethods are the methods that a test names in lower case. CONNECT and TRACE never reach a policy.
var testMethods = []string{"delete", "get", "head", "options", "patch", "post", "put", "query", "propfind", "report"}

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

func (s *identitySyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain identitySyntax
	d.Decode(withoutLater(d, n, laterInAs), (*plain)(s))
}

// DecodeYAML takes the one key that is a method, and leaves the others to the struct.
func (t *testSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain testSyntax
	n = withoutLater(d, n, laterInTest)
	if n.Kind != yaml.MappingNode {
		d.Decode(n, (*plain)(t))
		return
	}
	rest := *n
	rest.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(testMethods, key.Value):
			if strictyaml.Nearest(key.Value, []string{"as", "expect"}) == "" && strictyaml.Nearest(key.Value, testMethods) != "" {
				d.Unknown(key, testMethods)
				t.method = "?" // it was meant to be there
				continue
			}
			rest.Content = append(rest.Content, key, value)
		case t.method != "":
			d.Errorf(key, "a test has one request, and this is a second one")
		default:
			t.method = strings.ToUpper(key.Value)
			d.Decode(value, &t.target)
		}
	}
	if t.method == "" {
		d.Errorf(n, "a test needs a request, such as get: /path")
	}
	d.Decode(&rest, (*plain)(t))
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
