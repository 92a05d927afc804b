package policies

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

func bearerCondition(at strictyaml.Place) *Condition {
	return &Condition{Kind: Bearer, Place: at, Text: "bearer: only", denyReason: "bearer: only, and the credential is a cookie"}
}

// conditions compiles a map, whose keys must all hold.
func (c *compiler) conditions(s *conditionsSyntax) *Condition {
	all := &Condition{Kind: All, Place: s.Place}
	add := func(kind ConditionKind, key string, list *[]word, check func(word), denial string) {
		if list != nil {
			words := c.words(s.Place, key, *list, check)
			all.Of = append(all.Of, &Condition{
				Kind: kind, Place: placeOf(s.Place, *list), Words: words,
				Text: key + ": [" + strings.Join(words, ", ") + "]", denyReason: denial + strings.Join(words, ", "),
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
			denyReason: "the login is older than " + s.MaxAge.age.String(),
		})
	}
	if s.MFA != nil {
		all.Of = append(all.Of, &Condition{
			Kind: MFA, Place: s.MFA.at, Age: s.MFA.age.Std(), Text: "mfa: " + s.MFA.age.String(),
			denyReason: "no second factor within " + s.MFA.age.String(),
		})
	}
	return c.compositions(all, s)
}

// namedRule is a rule of the file's rules:, compiled when it is first used; an empty one after an error.
func (c *compiler) namedRule(w word) *Condition {
	s, ok := c.rules[w.text]
	switch {
	case !ok:
		c.checkKnown(w, "rule", slices.Sorted(maps.Keys(c.rules)))
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
			denyReason: "the expression of when is not true",
		})
	}
	if all.size = all.computeSize(); all.size > maxConditions {
		c.errorf(s.Place, "this is made of %d conditions once its rules are written out, and may be of %d", all.size, maxConditions)
		return &Condition{Kind: All, Place: s.Place, Of: []*Condition{{Kind: Roles}}} // the rest of the file is to be read too
	}
	all.Text = joined(all.Of, ", ")
	return all
}

// composition compiles the maps that any, all or not is made of.
func (c *compiler) composition(kind ConditionKind, key string, at strictyaml.Place, list []*conditionsSyntax, denyReason string) *Condition {
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
		composed.Of = append(composed.Of, of.unwrapSingle())
	}
	if composed.size = composed.computeSize(); len(list) > 0 {
		composed.Place = list[0].Place
	}
	if kind == Not {
		composed.Text = "not: { " + joined(composed.Of, ", ") + " }"
		composed.denyReason = "what must not hold does: " + joined(composed.Of, ", ")
		return composed
	}
	composed.Text = key + ": [{ " + joined(composed.Of, " }, { ") + " }]"
	composed.denyReason = denyReason + joined(composed.Of, " | ")
	return composed
}

// unwrapSingle is the only condition of a map that has no other, else the map.
func (c *Condition) unwrapSingle() *Condition {
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

// networks compiles networks and single addresses.
func (c *compiler) networks(at strictyaml.Place, list []word) *Condition {
	words := c.words(at, "networks", list, func(word) {})
	n := &Condition{
		Kind: Networks, Place: placeOf(at, list), Text: "networks: [" + strings.Join(words, ", ") + "]",
		denyReason: "the address is in none of the networks " + strings.Join(words, ", "),
	}
	for _, w := range list {
		network, err := request.ParseNetwork(w.text)
		if err != nil {
			c.errorf(w.at, "%q: %v", w.text, err)
		}
		n.Networks = append(n.Networks, network)
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
			Text: "claims: { " + claim.name.text + ": " + values + " }", denyReason: "the claim " + claim.name.text + " is not " + values,
		})
	}
	return conditions
}

// rule compiles the allow of a route.
func (c *compiler) rule(route *routeSyntax) rule {
	a := &route.Allow
	r := rule{optional: a.optional}
	var bearer *Condition
	if route.Bearer.is("only") {
		bearer = bearerCondition(route.Place)
	}
	switch a.word.text {
	case "public":
		r.kind = rulePublic
		if route.Bearer.is("only") {
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
		r.canStepUp = r.condition.CanStepUp()
	}
	if r.optional && r.bearerOnly() {
		c.errorf(a.word.at, "optional lets anonymous requests pass, and bearer: only refuses a cookie: "+
			"a browser with one would fare worse than without; choose one of them")
	}
	return r
}
