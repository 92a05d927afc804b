package analysis

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// newSpace is the space of the conditions of some sides.
func newSpace(sides ...side) *space {
	s := &space{atoms: map[*policies.Condition][]atom{}, credential: -1, crossSiteVar: -1}
	s.add(
		value{text: "nobody", apply: func(p *person) { p.anonymous = true }},
		value{text: "signed in", apply: func(*person) {}},
	)
	leaves := map[policies.ConditionKind][]*policies.Condition{}
	var roots []*policies.Condition
	routes := map[*policies.Condition]*policies.Route{}
	for _, side := range sides {
		roots = append(roots, side.condition())
		eachLeaf(side.condition(), func(c *policies.Condition) {
			routes[c] = side.route
			if !slices.Contains(leaves[c.Kind], c) {
				leaves[c.Kind] = append(leaves[c.Kind], c)
			}
		})
	}
	s.people(leaves[policies.Users], leaves[policies.Issuers])
	s.domains(leaves[policies.EmailDomains])
	s.lists(leaves[policies.Roles], "with the role", "with none of the roles", func(p *person, role string) { p.id.Roles = append(p.id.Roles, role) })
	s.claims(leaves[policies.HasClaim])
	s.lists(leaves[policies.AMR], "signed in by", "not signed in by any of", func(p *person, method string) { p.id.AMR = append(p.id.AMR, method) })
	s.networks(leaves[policies.Networks], roots)
	s.ages(leaves[policies.MaxAge], "a login", func(p *person, age time.Duration) { p.id.AuthTime = p.now.Add(-age) })
	s.ages(leaves[policies.MFA], "a second factor", func(p *person, age time.Duration) { p.id.MFATime = p.now.Add(-age) })
	s.bearer(leaves[policies.Bearer])
	s.expressions(leaves[policies.Expression], routes, roots)
	return s
}

// A class is words that the conditions at hand do not tell apart: they stand in the same of them.
type class struct {
	words []string
	in    []bool // by condition
}

// classes sorts the words of conditions. Words for which apart differs are told apart all the same.
func classes(conditions []*policies.Condition, wordsOf func(*policies.Condition) []string, apart func(word string) string) (all []class) {
	var words []string
	for _, c := range conditions {
		words = append(words, wordsOf(c)...)
	}
	slices.Sort(words)
	index := map[string]int{}
	for _, word := range slices.Compact(words) {
		in, key := make([]bool, len(conditions)), apart(word)+"\x00"
		for i, c := range conditions {
			in[i] = slices.Contains(wordsOf(c), word)
			key += strconv.FormatBool(in[i])
		}
		if at, known := index[key]; known {
			all[at].words = append(all[at].words, word)
			continue
		}
		index[key] = len(all)
		all = append(all, class{[]string{word}, in})
	}
	return all
}

func noDistinction(string) string { return "" }

func wordsOf(c *policies.Condition) []string { return c.Words }

// lists are conditions on words of which somebody may have several: a variable a class.
func (s *space) lists(conditions []*policies.Condition, with, without string, give func(*person, string)) {
	for _, class := range classes(conditions, wordsOf, noDistinction) {
		plural := ""
		if len(class.words) > 1 {
			plural = "one of "
		}
		v := s.add(
			value{text: without + " " + strings.Join(class.words, ", "), apply: func(*person) {}},
			value{text: with + " " + plural + strings.Join(class.words, ", "), apply: func(p *person) { give(p, class.words[0]) }},
		)
		for i, c := range conditions {
			if class.in[i] {
				s.decides(c, v, func(value int) bool { return value == 1 })
			}
		}
	}
}

// people are conditions on who somebody is and by whose word: of each there is one. A user whose name begins with an
// issuer's is of that issuer.
func (s *space) people(users, issuers []*policies.Condition) {
	named := classes(users, wordsOf, issuerOf)
	var words []string
	for _, c := range issuers {
		words = append(words, c.Words...)
	}
	for _, class := range named {
		if issuer := issuerOf(class.words[0]); issuer != "" {
			words = append(words, issuer)
		}
	}
	slices.Sort(words)
	words = slices.Compact(words)
	issuer := -1
	if len(words) > 0 {
		values := []value{{text: "of another issuer", apply: func(p *person) { p.id.Issuer = otherThan(words, "vilogate", "elsewhere") }}}
		for _, word := range words {
			values = append(values, value{text: "of the issuer " + word, apply: func(p *person) { p.id.Issuer = word }})
		}
		issuer = s.add(values...)
		for _, c := range issuers {
			s.decides(c, issuer, func(value int) bool { return value > 0 && slices.Contains(c.Words, words[value-1]) })
		}
	}
	if len(named) == 0 {
		return
	}
	var all []string
	for _, class := range named {
		all = append(all, class.words...)
	}
	values := []value{{text: "another user than " + strings.Join(all, ", "), apply: func(p *person) { p.id.User = otherThan(all, "someone", "x") }}}
	for _, class := range named {
		v := value{text: "the user " + strings.Join(class.words, " or "), apply: func(p *person) { p.id.User = class.words[0] }}
		if of := issuerOf(class.words[0]); of != "" {
			v.requires.variable, v.requires.value = issuer, 1+slices.Index(words, of)
		}
		values = append(values, v)
	}
	v := s.add(values...)
	for i, c := range users {
		s.decides(c, v, func(value int) bool { return value > 0 && named[value-1].in[i] })
	}
}

// issuerOf is the issuer that a user's name tells; "" for none.
func issuerOf(user string) string {
	issuer, _, foreign := strings.Cut(user, ":")
	if !foreign {
		return ""
	}
	return issuer
}

// otherThan is a word that is none of the given: the first choice, or one made of the second.
func otherThan(words []string, first, made string) string {
	if !slices.Contains(words, first) {
		return first
	}
	for i := 0; ; i++ {
		if word := made + strconv.Itoa(i); !slices.Contains(words, word) {
			return word
		}
	}
}

// domains are conditions on the domain of the verified e-mail address, of which there is one or none.
func (s *space) domains(conditions []*policies.Condition) {
	all := classes(conditions, wordsOf, noDistinction)
	if len(all) == 0 {
		return
	}
	values := []value{{text: "without a verified e-mail address of these domains", apply: func(*person) {}}}
	for _, class := range all {
		values = append(values, value{text: "with an e-mail address of " + strings.Join(class.words, " or "), apply: func(p *person) {
			p.id.Email, p.id.EmailVerified = "someone@"+class.words[0], true
		}})
	}
	v := s.add(values...)
	for i, c := range conditions {
		s.decides(c, v, func(value int) bool { return value > 0 && all[value-1].in[i] })
	}
}

// claims are conditions on claims: a variable a claim and class of values, for a claim may be a list.
func (s *space) claims(conditions []*policies.Condition) {
	names := map[string][]*policies.Condition{}
	for _, c := range conditions {
		names[c.Claim] = append(names[c.Claim], c)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		known := map[string]any{}
		wordsOf := func(c *policies.Condition) (words []string) {
			for _, v := range c.Values {
				word := fmt.Sprintf("%#v", v)
				known[word] = v
				words = append(words, word)
			}
			return words
		}
		for _, class := range classes(names[name], wordsOf, noDistinction) {
			texts := make([]string, len(class.words))
			for i, word := range class.words {
				texts[i] = fmt.Sprint(known[word])
			}
			text := "the claim " + name + " " + strings.Join(texts, " or ")
			v := s.add(
				value{text: "without " + text, apply: func(*person) {}},
				value{text: "with " + text, apply: func(p *person) { p.claims[name] = append(p.claims[name], known[class.words[0]]) }},
			)
			for i, c := range names[name] {
				if class.in[i] {
					s.decides(c, v, func(value int) bool { return value == 1 })
				}
			}
		}
	}
}

// ages are conditions on how long ago something was: the thresholds cut time into pieces.
func (s *space) ages(conditions []*policies.Condition, what string, set func(*person, time.Duration)) {
	var ages []time.Duration
	for _, c := range conditions {
		ages = append(ages, c.Age)
	}
	if len(ages) == 0 {
		return
	}
	slices.Sort(ages)
	ages = slices.Compact(ages)
	values := make([]value, 0, len(ages)+1)
	for i, age := range ages {
		text := what + " within " + strictyaml.Duration(age).String()
		if i > 0 {
			text += " and not within " + strictyaml.Duration(ages[i-1]).String()
		}
		values = append(values, value{text: "with " + text, apply: func(p *person) { set(p, age) }})
	}
	oldest := ages[len(ages)-1]
	values = append(values, value{
		text:  "without " + what + " within " + strictyaml.Duration(oldest).String(),
		apply: func(p *person) { set(p, oldest+time.Second) },
	})
	v := s.add(values...)
	for _, c := range conditions {
		s.decides(c, v, func(value int) bool { return value < len(ages) && ages[value] <= c.Age })
	}
}

func (s *space) bearer(conditions []*policies.Condition) {
	if len(conditions) == 0 {
		return
	}
	v := s.add(
		value{text: "with a cookie", apply: func(*person) {}},
		value{text: "with a Bearer token", apply: func(p *person) { p.id.Bearer = true }},
	)
	s.credential = v
	for _, c := range conditions {
		s.decides(c, v, func(value int) bool { return value == 1 })
	}
}

// addCrossSite adds whether the request is cross-site: from a page of another site, with the cookie of somebody.
func (s *space) addCrossSite() {
	from := value{text: "by a request of another site", apply: func(p *person) { p.crossSite = true }}
	from.requires.variable, from.requires.value = 0, somebody
	s.crossSiteVar = s.add(value{text: "by a request of this site", apply: func(*person) {}}, from)
}

// expressions are the same where their meanings are. That one has no answer is a case of its own only where a not could make
// a difference between that and false.
func (s *space) expressions(conditions []*policies.Condition, routes map[*policies.Condition]*policies.Route, roots []*policies.Condition) {
	known := map[string]int{}
	for _, c := range conditions {
		means := meaning(c, routes[c])
		v, ok := known[means]
		if !ok {
			cases := []struct {
				truth policies.Truth
				text  string
			}{{policies.False, " is not true"}, {policies.True, " is true"}}
			if anyNegated(roots, func(leaf *policies.Condition) bool { return leaf.Kind == policies.Expression && leaf.When == c.When }) {
				cases[0].text = " is false"
				cases = append(cases, struct {
					truth policies.Truth
					text  string
				}{policies.Unknown, " has no answer"})
			}
			text := c.Text
			if slices.ContainsFunc(conditions, func(o *policies.Condition) bool { return o.When == c.When && meaning(o, routes[o]) != means }) {
				text += strings.TrimPrefix(means, c.When)
			}
			var values []value
			for _, x := range cases {
				values = append(values, value{text: "where " + text + x.text, apply: func(p *person) { p.expressions[text] = x.truth }})
			}
			v = s.add(values...)
			known[means] = v
		}
		truth := []policies.Truth{policies.False, policies.True, policies.Unknown}
		s.atoms[c] = append(s.atoms[c], atom{v, truth[:len(s.vars[v].values)]})
	}
}

// meaning is an expression with what the parameters that it reads are in the pattern of a route: of two patterns, one text
// may ask for different segments.
func meaning(c *policies.Condition, r *policies.Route) string {
	text := c.When
	if r == nil {
		return text
	}
	if r.FoldsCase() && (len(c.Params()) > 0 || strings.Contains(text, "path")) {
		text += " (without regard to case)"
	}
	for _, name := range c.Params() {
		at := slices.IndexFunc(r.Segments(), func(segment string) bool { return segment == ":"+name || segment == "*"+name })
		text += fmt.Sprintf(" (%s is segment %d)", name, at+1)
		if at >= 0 && r.Segments()[at][0] == '*' {
			text += " and all behind it"
		}
	}
	return text
}
