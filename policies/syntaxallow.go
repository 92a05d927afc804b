package policies

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// The shapes of allow: as it is written.
type (
	// allowSyntax is a word or a map.
	allowSyntax struct {
		word       word
		conditions conditionsSyntax
		optional   bool
	}

	conditionsSyntax struct {
		Place        strictyaml.Place
		Roles        *[]word              `yaml:"roles"`         // has one of these roles
		Users        *[]word              `yaml:"users"`         // is one of these; of another issuer partner:bob
		EmailDomains *[]word              `yaml:"email_domains"` // the verified e-mail address is of one of these domains
		Claims       *claimsSyntax        `yaml:"claims"`        // claims of the token with their values; a list for any one of them
		Issuers      *[]word              `yaml:"issuers"`       // the token is of one of these; our own is vilogate
		Networks     *[]word              `yaml:"networks"`      // the address of the client is in one of these
		AMR          *[]word              `yaml:"amr"`           // signed in with one of these methods (RFC 8176)
		MFA          *ageSyntax           `yaml:"mfa"`           // showed a second factor at most so long ago; else step-up
		MaxAge       *ageSyntax           `yaml:"max_age"`       // signed in at most so long ago; else step-up
		Bearer       only                 `yaml:"bearer"`        // only: the credential is a Bearer token
		When         *expressionSyntax    `yaml:"when"`          // an expression in CEL over user, request and token is true
		Rule         *word                `yaml:"rule"`          // all conditions of this rule of the file hold
		All          *[]*conditionsSyntax `yaml:"all"`           // every one of these maps holds
		Any          *[]*conditionsSyntax `yaml:"any"`           // at least one of these maps holds
		Not          *conditionsSyntax    `yaml:"not"`           // this map does not hold
	}

	// claimsSyntax are claims in the order of the file, with the values that any one of may stand there.
	claimsSyntax struct {
		Place  strictyaml.Place
		claims []claimSyntax
	}

	claimSyntax struct {
		name   word
		values []any // string, bool or float64
	}

	// expressionSyntax is a text that knows where each of its characters stands.
	expressionSyntax struct {
		word
		inside func(characters int) strictyaml.Place
	}

	ageSyntax struct {
		at  strictyaml.Place
		age strictyaml.Duration
	}
)

var allowWords = []string{"public", "authenticated", "optional", "deny"}

// DecodeYAML takes one of the words, or a map of conditions.
func (a *allowSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	type plain struct { // the conditions, and what stands beside them at the top only
		conditionsSyntax
		Optional bool `yaml:"optional"`
	}
	switch {
	case n.Kind == yaml.MappingNode:
		a.word.at = d.Place(n)
		var p plain
		d.Decode(n, &p)
		a.conditions, a.optional = p.conditionsSyntax, p.Optional
	case n.Kind != yaml.ScalarNode:
		d.Errorf(n, "expected public, authenticated, optional, deny or a map of conditions")
	case d.Decode(n, &a.word):
		if !slices.Contains(allowWords, a.word.text) {
			d.Unknown(n, append(slices.Clone(allowWords), "{ roles: […] }", "{ users: […] }", "{ issuers: […] }"))
		}
	}
}

// DecodeYAML takes a map of names to texts, numbers, booleans or lists of them.
func (c *claimsSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var claims map[string]claimValues
	c.Place = d.Place(n)
	if !d.Decode(n, &claims) {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		c.claims = append(c.claims, claimSyntax{word{key.Value, d.Place(key)}, claims[key.Value]})
	}
}

type claimValues []any

// DecodeYAML takes a value, or a list of them.
func (v *claimValues) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		*v = claimValues{claimValue(d, n)}
		return
	}
	if len(n.Content) == 0 {
		d.Errorf(n, "the list of values is empty, so that nobody would be allowed")
	}
	for _, element := range n.Content {
		*v = append(*v, claimValue(d, element))
	}
}

// maxInteger is the greatest number that differs from the next as JSON is usually read. Beyond it one account would pass for
// another.
const maxInteger = 1<<53 - 1

func isExact(f float64) bool { return -maxInteger <= f && f <= maxInteger }

const msgInexactNumber = "numbers beyond 9007199254740991 are not kept apart in a token; have the issuer write a text, and compare that"

func claimValue(d *strictyaml.Decoder, n *yaml.Node) any {
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!bool":
		var b bool
		d.Decode(n, &b)
		return b
	case n.Kind == yaml.ScalarNode && (n.ShortTag() == "!!int" || n.ShortTag() == "!!float"):
		var f float64
		if d.Decode(n, &f) && !isExact(f) {
			d.Errorf(n, "%s", msgInexactNumber)
		}
		return f
	}
	var s string
	d.Decode(n, &s)
	return s
}

// DecodeYAML takes a duration.
func (a *ageSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	a.at = d.Place(n)
	if d.Decode(n, &a.age) && a.age == 0 {
		d.Errorf(n, "nothing is ever 0s old; write how old it may be at most, such as 15m")
	}
}

// DecodeYAML takes a text.
func (s *expressionSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	s.inside = d.PlaceWithin(n)
	d.Decode(n, &s.word)
}
