package policies

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// The shapes of tests as they are written.
type (
	// testFileSyntax is a *_test.yaml, which stands beside the policy file of the same name.
	testFileSyntax struct {
		Place strictyaml.Place
		Tests []testSyntax `yaml:"tests,required"` // tests of the policy file beside this one
	}

	testSyntax struct {
		Place   strictyaml.Place
		method  string
		target  word
		As      *identitySyntax         `yaml:"as"`              // who asks; left out for nobody
		At      momentSyntax            `yaml:"at"`              // when
		IP      addressSyntax           `yaml:"ip"`              // the address of the client
		Headers map[string]valuesSyntax `yaml:"headers"`         // of the request; a list for several lines
		Times   *int                    `yaml:"times"`           // made so often in the same moment; the last one counts
		Expect  word                    `yaml:"expect,required"` // what becomes of the request
		Rule    word                    `yaml:"rule"`            // the pattern of the route that has to decide, or none
	}

	identitySyntax struct {
		User          word                 `yaml:"user"`   // the name, as X-User has it
		Issuer        word                 `yaml:"issuer"` // default: vilogate, or what the user begins with
		Email         string               `yaml:"email"`
		EmailVerified *bool                `yaml:"email_verified"` // default: true
		Name          string               `yaml:"name"`
		Roles         []word               `yaml:"roles"`
		AMR           *[]word              `yaml:"amr"`      // how they signed in; default: with two factors
		Claims        map[string]anySyntax `yaml:"claims"`   // of the token
		AuthAge       strictyaml.Duration  `yaml:"auth_age"` // how long ago they signed in; default: just now
		MFAAge        *strictyaml.Duration `yaml:"mfa_age"`  // how long ago they showed a second factor; default: at the login, where amr has mfa
		By            word                 `yaml:"by"`       // cookie or bearer; default: cookie where the headers are a browser's
	}

	momentSyntax  struct{ time.Time }
	addressSyntax struct{ netip.Addr }
	valuesSyntax  []string

	// anySyntax is a value of a claim, as encoding/json would have read it.
	anySyntax struct{ value any }
)

// testKeys are the keys of a test that are no method.
var testKeys = []string{"as", "at", "expect", "headers", "ip", "rule", "times"}

// testMethods are the methods that a test names in lower case. CONNECT and TRACE never reach a policy.
var testMethods = []string{"delete", "get", "head", "options", "patch", "post", "put", "query", "propfind", "report"}

// DecodeYAML takes the one key that is a method, and leaves the others to the struct.
func (t *testSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain testSyntax
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
			if strictyaml.Nearest(key.Value, testKeys) == "" && strictyaml.Nearest(key.Value, testMethods) != "" {
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

// DecodeYAML takes a moment, with quotes or without.
func (m *momentSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	moment, err := time.Parse(time.RFC3339, n.Value)
	if n.Kind != yaml.ScalarNode || err != nil {
		d.Errorf(n, "a moment is written as 2030-01-02T15:04:05Z or 2030-01-02T15:04:05+01:00, found %q", d.Written(n))
	}
	m.Time = moment
}

// DecodeYAML takes an address.
func (a *addressSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var text string
	if !d.Decode(n, &text) {
		return
	}
	address, err := netip.ParseAddr(text)
	if err != nil {
		d.Errorf(n, "an address is written as 192.0.2.7 or 2001:db8::7, found %q", d.Written(n))
	}
	a.Addr = address
}

// DecodeYAML takes the value of a header, or a list of them for several lines.
func (v *valuesSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.SequenceNode {
		d.Decode(n, (*[]string)(v))
		return
	}
	var one string
	d.Decode(n, &one)
	*v = valuesSyntax{one}
}

// DecodeYAML takes whatever JSON has.
func (a *anySyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	switch {
	case n.Kind == yaml.SequenceNode:
		var list []anySyntax
		d.Decode(n, &list)
		values := make([]any, len(list))
		for i := range list {
			values[i] = list[i].value
		}
		a.value = values
	case n.Kind == yaml.MappingNode:
		var fields map[string]anySyntax
		d.Decode(n, &fields)
		values := make(map[string]any, len(fields))
		for name, field := range fields {
			values[name] = field.value
		}
		a.value = values
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
	default:
		a.value = claimValue(d, n)
	}
}
