package policies

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A rule is a compiled `allow:`.
type rule struct {
	kind      ruleKind
	condition *Condition // with ruleConditions, an All; with ruleAuthenticated, the Bearer or nil
	optional  bool       // nobody need be anybody
	freshens  bool       // a login just now could make a difference
}

type ruleKind uint8

const (
	rulePublic ruleKind = iota + 1
	ruleAuthenticated
	ruleDeny
	ruleConditions
)

// decide judges somebody, or nobody, by the rule. The condition is the one that failed.
func (r *rule) decide(e *evaluation) (Outcome, string, *Condition) {
	switch {
	case r.kind == rulePublic:
		return Allow, "public", nil
	case r.kind == ruleDeny:
		return Deny, "the route is open to nobody", nil
	case e.id == nil && !r.optional:
		return Login, "somebody is needed, and nobody is signed in", nil
	}
	failed := r.failing(e)
	if failed == nil {
		return Allow, r.admission(e.id), nil
	}
	if e.id == nil {
		return Login, "what is asked of nobody does not hold, and nobody is signed in", failed
	}
	if r.freshens {
		e.fresh = true
		lasting := r.failing(e)
		if lasting == nil {
			return StepUp, failed.denial, failed
		}
		failed = lasting
	}
	return Deny, failed.denial, failed
}

func (r *rule) failing(e *evaluation) *Condition {
	if r.condition == nil {
		return nil
	}
	return r.condition.failing(e)
}

func (r *rule) admission(id *Identity) string {
	switch {
	case id == nil:
		return "optional, and nobody is signed in"
	case r.kind == ruleAuthenticated:
		return "authenticated"
	}
	return "every condition of allow holds"
}

// rule compiles the allow of a route.
func (c *compiler) rule(route *routeSyntax) rule {
	a := &route.Allow
	r := rule{optional: a.optional}
	var bearer *Condition
	if route.Bearer {
		bearer = bearerCondition(route.Place)
	}
	switch a.word.text {
	case "public":
		r.kind = rulePublic
		if route.Bearer {
			c.errorf(a.word.at, "a public route asks nobody who they are; bearer: only has no meaning there")
		}
		return r
	case "deny":
		r.kind = ruleDeny
		return r
	case "authenticated", "optional":
		r.kind, r.condition, r.optional = ruleAuthenticated, bearer, a.word.text == "optional"
	default:
		r.kind, r.condition = ruleConditions, c.conditions(&a.conditions)
		if len(r.condition.Of) == 0 && bearer == nil {
			c.errorf(a.word.at, "a map without a condition; write public, authenticated or deny")
		}
		if bearer != nil {
			r.condition.Of = append([]*Condition{bearer}, r.condition.Of...)
		}
		r.freshens = r.condition.Freshens()
	}
	if r.optional && r.bearerOnly() {
		c.errorf(a.word.at, "with optional nobody need be anybody, and with bearer: only a cookie is refused: "+
			"a browser with one would fare worse than without; choose one of them")
	}
	return r
}

// bearerOnly reports whether a cookie can never be enough.
func (r *rule) bearerOnly() bool { return r.condition != nil && r.condition.bearerOnly() }

func bearerCondition(at strictyaml.Place) *Condition {
	return &Condition{Kind: Bearer, Place: at, Text: "bearer: only", denial: "bearer: only, and the credential is a cookie"}
}

// conditions compiles a map, whose keys must all hold.
func (c *compiler) conditions(s *conditionsSyntax) *Condition {
	all := &Condition{Kind: All, Place: s.Place}
	add := func(kind ConditionKind, key string, list *[]word, check func(word), denial string) {
		if list != nil {
			words := c.words(s.Place, key, *list, check)
			all.Of = append(all.Of, &Condition{
				Kind: kind, Place: placeOf(s.Place, *list), Words: words,
				Text: key + ": [" + strings.Join(words, ", ") + "]", denial: denial + strings.Join(words, ", "),
			})
		}
	}
	if s.Bearer {
		all.Of = append(all.Of, bearerCondition(s.Place))
	}
	add(Roles, "roles", s.Roles, c.checkRole, "none of the roles ")
	add(Users, "users", s.Users, c.checkUser, "none of the users ")
	add(Issuers, "issuers", s.Issuers, c.checkIssuer, "the token is of none of the issuers ")
	add(EmailDomains, "email_domains", s.EmailDomains, c.checkDomain, "no verified e-mail address of ")
	add(AMR, "amr", s.AMR, c.checkAMR, "not signed in with any of ")
	if s.Networks != nil {
		all.Of = append(all.Of, c.networks(s.Place, *s.Networks))
	}
	if s.Claims != nil {
		all.Of = append(all.Of, c.claims(s.Claims)...)
	}
	if s.MaxAge != nil {
		text := "max_age: " + s.MaxAge.age.String()
		all.Of = append(all.Of, &Condition{
			Kind: MaxAge, Place: s.MaxAge.at, Age: s.MaxAge.age.Std(), Text: text,
			denial: "the login is older than " + s.MaxAge.age.String(),
		})
	}
	if s.MFA != nil {
		all.Of = append(all.Of, &Condition{
			Kind: MFA, Place: s.MFA.at, Age: s.MFA.age.Std(), Text: "mfa: " + s.MFA.age.String(),
			denial: "no second factor within " + s.MFA.age.String(),
		})
	}
	return c.compositions(all, s)
}

// namedRule is a rule of the file's rules:, compiled when it is first used; an empty one after an error.
func (c *compiler) namedRule(w word) *Condition {
	s, ok := c.rules[w.text]
	switch {
	case !ok:
		c.known(w, "rule", slices.Sorted(maps.Keys(c.rules)))
		return &Condition{Kind: All}
	case s.compiled != nil:
		return s.compiled
	case s.compiling:
		c.errorf(w.at, "the rule %s is made of itself", w.text)
		return &Condition{Kind: All}
	}
	s.compiling = true
	rule := c.conditions(s.syntax)
	if len(rule.Of) == 0 {
		c.errorf(s.syntax.Place, "a map without a condition")
	}
	rule.Rule, rule.Text = w.text, "rule: "+w.text
	s.compiling, s.compiled = false, rule
	return rule
}

// A namedRule is a rule of rules: on its way.
type namedRule struct {
	syntax    *conditionsSyntax
	compiled  *Condition
	compiling bool
}

// compositions adds what composes other conditions.
func (c *compiler) compositions(all *Condition, s *conditionsSyntax) *Condition {
	if s.All != nil {
		all.Of = append(all.Of, c.composition(All, "all", s.Place, *s.All, "").Of...)
	}
	if s.Rule != nil {
		all.Of = append(all.Of, c.namedRule(*s.Rule))
	}
	if s.Any != nil {
		all.Of = append(all.Of, c.composition(Any, "any", s.Place, *s.Any, "none of the alternatives of any holds: "))
	}
	if s.Not != nil {
		all.Of = append(all.Of, c.composition(Not, "not", s.Place, []*conditionsSyntax{s.Not}, ""))
	}
	if s.When != nil {
		all.Of = append(all.Of, &Condition{
			Kind: Expression, Place: s.When.at, When: s.When.text, Text: "when: " + oneLine(s.When.text), expression: c.expression(s.When),
			denial: "the expression of when is not true",
		})
	}
	all.Text = joined(all.Of, ", ")
	return all
}

// composition compiles the maps that any, all or not is made of.
func (c *compiler) composition(kind ConditionKind, key string, at strictyaml.Place, list []*conditionsSyntax, denial string) *Condition {
	composed := &Condition{Kind: kind, Place: at}
	if len(list) == 0 {
		c.errorf(at, "the list of %s is empty", key)
	}
	for _, s := range list {
		of := c.conditions(s)
		if len(of.Of) == 0 {
			c.errorf(s.Place, "a map without a condition")
		}
		composed.Place = s.Place
		composed.Of = append(composed.Of, of.simple())
	}
	if len(list) > 0 {
		composed.Place = list[0].Place
	}
	if kind == Not {
		composed.Text = "not: { " + joined(composed.Of, ", ") + " }"
		composed.denial = "what must not hold does: " + joined(composed.Of, ", ")
		return composed
	}
	composed.Text = key + ": [{ " + joined(composed.Of, " }, { ") + " }]"
	composed.denial = denial + joined(composed.Of, " | ")
	return composed
}

// simple is the only condition of a map that has no other, else the map.
func (c *Condition) simple() *Condition {
	if c.Kind == All && len(c.Of) == 1 && c.Rule == "" {
		return c.Of[0]
	}
	return c
}

func joined(conditions []*Condition, separator string) string {
	texts := make([]string, len(conditions))
	for i, c := range conditions {
		texts[i] = c.Text
	}
	return strings.Join(texts, separator)
}

// placeOf is where a list begins, as far as its first word tells.
func placeOf(otherwise strictyaml.Place, list []word) strictyaml.Place {
	if len(list) > 0 {
		return list[0].at
	}
	return otherwise
}

// networks compiles networks and single addresses.
func (c *compiler) networks(at strictyaml.Place, list []word) *Condition {
	words := c.words(at, "networks", list, func(word) {})
	n := &Condition{
		Kind: Networks, Place: placeOf(at, list), Text: "networks: [" + strings.Join(words, ", ") + "]",
		denial: "the address is in none of the networks " + strings.Join(words, ", "),
	}
	for _, w := range list {
		if address, err := netip.ParseAddr(w.text); err == nil && address.Zone() == "" {
			address = address.Unmap()
			n.Networks = append(n.Networks, netip.PrefixFrom(address, address.BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(w.text)
		switch {
		case err != nil:
			c.errorf(w.at, "%q is no network; one is written 10.0.0.0/8, 192.0.2.7 or fd00::/8", w.text)
		case prefix != prefix.Masked():
			c.errorf(w.at, "%q has bits beyond its mask; the network is %s", w.text, prefix.Masked())
		case prefix.Addr().Is4In6():
			c.errorf(w.at, "%q is IPv4 written as IPv6; write it as IPv4", w.text)
		}
		n.Networks = append(n.Networks, prefix)
	}
	return n
}

// claims compiles a condition a claim.
func (c *compiler) claims(s *claimsSyntax) (conditions []*Condition) {
	if len(s.claims) == 0 {
		c.errorf(s.Place, "a map without a claim")
	}
	for _, claim := range s.claims {
		texts := make([]string, len(claim.values))
		for i, v := range claim.values {
			switch v := v.(type) {
			case string:
				texts[i] = v
			case bool:
				texts[i] = strconv.FormatBool(v)
			case float64:
				texts[i] = strconv.FormatFloat(v, 'g', -1, 64)
			}
		}
		values := strings.Join(texts, ", ")
		if len(texts) != 1 {
			values = "[" + values + "]"
		}
		conditions = append(conditions, &Condition{
			Kind: HasClaim, Place: claim.name.at, Claim: claim.name.text, Values: claim.values,
			Text: "claims: { " + claim.name.text + ": " + values + " }", denial: "the claim " + claim.name.text + " is not " + values,
		})
	}
	return conditions
}

// words are the texts of a list that any one of may hold, each checked. An empty one could never hold.
func (c *compiler) words(at strictyaml.Place, key string, list []word, check func(word)) []string {
	if len(list) == 0 {
		c.errorf(at, "the list of %s is empty, so that nobody would be allowed; write allow: deny if that is meant", key)
	}
	texts := make([]string, 0, len(list))
	for _, w := range list {
		if slices.Contains(texts, w.text) {
			c.errorf(w.at, "%q stands in the list twice", w.text)
		}
		check(w)
		texts = append(texts, w.text)
	}
	return texts
}

const maxRole = 64

func (c *compiler) checkRole(w word) {
	if !isRole(w.text) {
		c.errorf(w.at, "a role is at most 64 of a-z, 0-9, dot, underscore and hyphen, and begins with a letter or digit; found %q", w.text)
	}
}

func isRole(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && strings.IndexByte("._-", c) >= 0 {
			continue
		}
		return false
	}
	return 0 < len(s) && len(s) <= maxRole
}

// checkUser takes a name as X-User has it: of another issuer, the issuer's name and a colon stand before it.
func (c *compiler) checkUser(w word) {
	issuer, name, foreign := strings.Cut(w.text, ":")
	if foreign {
		c.known(word{issuer, w.at}, "issuer", c.o.Issuers)
	} else {
		name = w.text
	}
	if !isUser(name) {
		c.errorf(w.at, "a user name is of A-Z, a-z, 0-9 and . _ @ + -, as X-User has it; found %q", w.text)
	}
}

func isUser(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._@+-", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

func (c *compiler) checkIssuer(w word) { c.known(w, "issuer", c.o.Issuers) }

// checkDomain takes the domain of e-mail addresses, in lower case.
func (c *compiler) checkDomain(w word) {
	host, err := request.ParseHost(w.text)
	switch {
	case strings.Contains(w.text, "@"):
		c.errorf(w.at, "an e-mail domain is what stands behind the @, found %q", w.text)
	case err != nil:
		c.errorf(w.at, "%v, found %q", err, w.text)
	case string(host) != w.text:
		c.errorf(w.at, "an e-mail domain is written in lower case, found %q", w.text)
	}
}

// checkAMR takes a name of a method of authentication: a word of RFC 8176, or what else an issuer says.
func (c *compiler) checkAMR(w word) {
	if w.text == "" || strings.IndexFunc(w.text, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0 {
		c.errorf(w.at, `an authentication method is a word such as pwd, otp, hwk or mfa (RFC 8176), found %q`, w.text)
	}
}
