package policies

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
