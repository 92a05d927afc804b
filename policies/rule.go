package policies

// A rule is a compiled `allow:`.
type rule struct {
	kind      ruleKind
	condition *Condition // with ruleConditions, an All; with ruleAuthenticated, the Bearer or nil
	optional  bool       // optional authentication
	canStepUp bool       // a login just now could make a difference
}

type ruleKind uint8

const (
	rulePublic ruleKind = iota + 1
	ruleAuthenticated
	ruleDeny
	ruleConditions
)

// Terms are what a rule is, apart from its condition.
type Terms struct {
	Public    bool // nobody is asked who they are
	DeniesAll bool // deny
	Optional  bool // authentication is optional
	CanStepUp bool // a login just now could make the condition hold
}

// A Case is what an outcome depends on besides the rule's terms.
type Case struct {
	Anonymous   bool
	Now         Truth // of the condition; True where there is none
	AfterStepUp Truth // of the condition, had this person just signed in again; only after Now did not hold
	CrossSite   bool  // a cookie alone could have brought the request about from another site
}

// Outcome is the one order in which a rule goes from what holds to what becomes of the request. Decisions go by it, and so
// do tools that compare all cases at once.
func (t Terms) Outcome(c Case) Outcome {
	switch {
	case t.Public:
		return Allow
	case t.DeniesAll:
		return Deny
	case c.Anonymous && !t.Optional:
		return Login
	case c.Now == True && c.CrossSite:
		return Deny
	case c.Now == True:
		return Allow
	case c.Anonymous:
		return Login
	case t.CanStepUp && c.AfterStepUp == True:
		return StepUp
	}
	return Deny
}

func (r *rule) terms() Terms {
	return Terms{Public: r.kind == rulePublic, DeniesAll: r.kind == ruleDeny, Optional: r.optional, CanStepUp: r.canStepUp}
}

// decide judges somebody, or nobody, by the rule. The condition is the one that failed.
func (r *rule) decide(e *evaluation) (Outcome, string, *Condition) {
	terms := r.terms()
	c := Case{Anonymous: e.id == nil, Now: True}
	var unmet *Condition
	if !terms.Public && !terms.DeniesAll && (!c.Anonymous || terms.Optional) {
		if unmet = r.firstUnmet(e); unmet != nil {
			c.Now = False
		}
	}
	if unmet != nil && terms.CanStepUp && !c.Anonymous {
		e.afterStepUp = true
		if unmetAfterStepUp := r.firstUnmet(e); unmetAfterStepUp == nil {
			c.AfterStepUp = True
		} else {
			unmet = unmetAfterStepUp
		}
	}
	outcome := terms.Outcome(c)
	return outcome, r.reason(outcome, c, unmet), unmet
}

// reason is why the rule comes to an outcome.
func (r *rule) reason(o Outcome, c Case, unmet *Condition) string {
	switch {
	case r.kind == rulePublic:
		return "public"
	case r.kind == ruleDeny:
		return "the route denies everybody"
	case o == Allow && c.Anonymous:
		return "optional authentication, anonymous"
	case o == Allow && r.kind == ruleAuthenticated:
		return "authenticated"
	case o == Allow:
		return "every condition of allow holds"
	case c.Anonymous && unmet == nil:
		return "authentication required, and the request is anonymous"
	case c.Anonymous:
		return "authentication required: the conditions do not hold for an anonymous request"
	}
	return unmet.denyReason
}

func (r *rule) firstUnmet(e *evaluation) *Condition {
	if r.condition == nil {
		return nil
	}
	return r.condition.firstUnmet(e)
}

// bearerOnly reports whether a cookie can never be enough.
func (r *rule) bearerOnly() bool { return r.condition != nil && r.condition.bearerOnly() }
