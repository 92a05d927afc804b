package policies

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// The shapes of a policy file as it is written. Each knows its place; what it means is checked when it is compiled.
type (
	fileSyntax struct {
		Place    strictyaml.Place
		Host     word          `yaml:"host,required"`
		Upstream word          `yaml:"upstream,required"`
		CORS     *corsSyntax   `yaml:"cors"`
		Routes   []routeSyntax `yaml:"routes,required"`
		Tests    []testSyntax  `yaml:"tests"`
	}

	corsSyntax struct {
		Place       strictyaml.Place
		Origins     []word `yaml:"origins,required"`
		Credentials bool   `yaml:"credentials"`
	}

	routeSyntax struct {
		Place          strictyaml.Place
		Path           word        `yaml:"path,required"`
		Methods        *[]word     `yaml:"methods"`
		Allow          allowSyntax `yaml:"allow,required"`
		Bearer         only        `yaml:"bearer"`
		WebSocket      bool        `yaml:"websocket"`
		OnStale        allowed     `yaml:"on_stale"`
		MethodOverride passed      `yaml:"method_override"`
		EncodedSlash   allowed     `yaml:"encoded_slash"`
		DoubleSlash    allowed     `yaml:"double_slash"`
		Semicolon      allowed     `yaml:"semicolon"`
	}

	// allowSyntax is a word or a map.
	allowSyntax struct {
		word word
		conditionsSyntax
	}

	conditionsSyntax struct {
		Roles   *[]word `yaml:"roles"`
		Users   *[]word `yaml:"users"`
		Issuers *[]word `yaml:"issuers"`
		Bearer  only    `yaml:"bearer"`
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
	laterInFile  = []string{"csrf", "defaults", "max_body", "mode", "rate", "rules", "signature", "timeout", "tls"}
	laterInCORS  = []string{"expose", "exposed_headers", "headers", "max_age", "methods"}
	laterInRoute = []string{
		"cors", "csrf", "headers", "max_body", "mode", "optional", "rate", "rewrite_host", "rule", "signature", "strip_prefix",
		"timeout", "when",
	}
	laterInAllow = []string{
		"all", "amr", "any", "claims", "email_domains", "max_age", "mfa", "networks", "not", "rule", "when",
	}
	laterInTest = []string{"at", "headers", "ip", "rule"}
	laterInAs   = []string{"amr", "claims"}
)

// testMethods are the methods that a test names in lower case. CONNECT and TRACE never reach a policy.
var testMethods = []string{"delete", "get", "head", "options", "patch", "post", "put", "query", "propfind", "report"}

func (f *fileSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain fileSyntax
	d.Decode(withoutLater(d, n, laterInFile), (*plain)(f))
}

func (c *corsSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain corsSyntax
	d.Decode(withoutLater(d, n, laterInCORS), (*plain)(c))
}

func (r *routeSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain routeSyntax
	d.Decode(withoutLater(d, n, laterInRoute), (*plain)(r))
}

func (c *conditionsSyntax) decode(d *strictyaml.Decoder, n *yaml.Node) {
	d.Decode(withoutLater(d, n, laterInAllow), c)
}

func (s *identitySyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain identitySyntax
	d.Decode(withoutLater(d, n, laterInAs), (*plain)(s))
}

// DecodeYAML takes one of three words, or a map of conditions.
func (a *allowSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.MappingNode:
		a.word.at = d.Place(n)
		a.conditionsSyntax.decode(d, n)
	case n.Kind != yaml.ScalarNode:
		d.Errorf(n, "expected public, authenticated, deny or a map of conditions")
	case d.Decode(n, &a.word):
		if !slices.Contains(allowWords, a.word.text) {
			d.Unknown(n, append(slices.Clone(allowWords), "{ roles: […] }", "{ users: […] }", "{ issuers: […] }"))
		}
	}
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
	if n.Kind != yaml.MappingNode {
		return n
	}
	rest := *n
	rest.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.ScalarNode && slices.Contains(later, key.Value) {
			d.Errorf(key, "%q is not supported yet", key.Value)
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

// Settings that are off unless one word stands there.
type (
	allowed bool
	passed  bool
	only    bool
)

// DecodeYAML takes the word allow.
func (a *allowed) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	*a = allowed(isWord(d, n, "allow"))
}

// DecodeYAML takes the word pass.
func (p *passed) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) { *p = passed(isWord(d, n, "pass")) }

// DecodeYAML takes the word only.
func (o *only) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) { *o = only(isWord(d, n, "only")) }

func isWord(d *strictyaml.Decoder, n *yaml.Node, expected string) bool {
	if n.Kind != yaml.ScalarNode || n.Value != expected {
		d.Errorf(n, "the only value that can stand here is %s; leave the key out for the default", expected)
		return false
	}
	return true
}

// oddities are the odd spellings that a route permits.
func (r *routeSyntax) oddities() (o request.Oddity) {
	for oddity, permitted := range map[request.Oddity]allowed{
		request.EncodedSlash: r.EncodedSlash, request.DoubleSlash: r.DoubleSlash, request.Semicolon: r.Semicolon,
	} {
		if permitted {
			o |= oddity
		}
	}
	return o
}
