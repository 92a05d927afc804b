package policies

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Condition is something that allow: asks, compiled: a key of its map, or what composes them. It is never written
// again.
type Condition struct {
	Kind  ConditionKind
	Place strictyaml.Place
	Text  string // as it is written, in one spelling: "roles: [admin, root]"

	Words    []string       // of Roles, Users, EmailDomains, Issuers, AMR: any one of them
	Claim    string         // of HasClaim
	Values   []any          // of HasClaim, any one of them: string, bool or float64
	Networks []netip.Prefix // of Networks, any one of them
	Age      time.Duration  // of MFA and MaxAge, at most
	Of       []*Condition   // of All, Any and Not
	Rule     string         // the name of the rule that an All is; "" for none
	When     string         // of Expression, as it is written

	expression *expression // of Expression; nil after an error

	size       int    // how many conditions it is made of, itself included; set once it is whole
	denyReason string // why the answer is no, made at load so that saying it costs nothing
}

// maxConditions bounds what a condition is made of once its rules are written out. Rules that are made of other rules
// double with every step, and each of their conditions is asked anew.
const maxConditions = 4096

// computeSize is the size of a condition whose parts are whole.
func (c *Condition) computeSize() int {
	size := 1
	for _, of := range c.Of {
		size += max(1, of.size)
	}
	return size
}

// A ConditionKind is what a condition asks for.
type ConditionKind uint8

// The kinds of conditions.
const (
	All          ConditionKind = iota + 1 // every one of Of
	Any                                   // at least one of Of
	Not                                   // the one of Of does not hold
	Roles                                 // has one of these roles
	Users                                 // is one of these, as X-User has it
	EmailDomains                          // the e-mail is verified and of one of these domains
	HasClaim                              // the token has one of these values as, or in, the claim
	Issuers                               // the token is of one of these issuers
	Networks                              // the client's address is in one of these networks
	AMR                                   // signed in with one of these methods
	MFA                                   // showed a second factor at most so long ago
	MaxAge                                // signed in at most so long ago
	Bearer                                // came with a Bearer token, not with a cookie
	Expression                            // when: is true
)

// truth evaluates a condition. It allocates nothing, but for expressions.
func (c *Condition) truth(e *evaluation) Truth {
	switch c.Kind {
	case All:
		least := True
		for _, of := range c.Of {
			if least = min(least, of.truth(e)); least == False {
				break
			}
		}
		return least
	case Any:
		most := False
		for _, of := range c.Of {
			if most = max(most, of.truth(e)); most == True {
				break
			}
		}
		return most
	case Not:
		return True + False - c.Of[0].truth(e)
	case Networks:
		if !e.facts.Client.IsValid() {
			return Unknown
		}
		return toTruth(request.InNetworks(c.Networks, e.facts.Client))
	case Expression:
		truth, _ := c.expression.evaluate(e)
		return truth
	}
	if e.id == nil {
		return False
	}
	return toTruth(c.identity(e))
}

// identity evaluates a condition about somebody.
func (c *Condition) identity(e *evaluation) bool {
	id := e.id
	switch c.Kind {
	case Roles:
		return intersects(id.Roles, c.Words)
	case Users:
		return slices.Contains(c.Words, id.User)
	case EmailDomains:
		return id.EmailVerified && hasEmailDomain(id.Email, c.Words)
	case HasClaim:
		return c.claims(id)
	case Issuers:
		return slices.Contains(c.Words, id.Issuer)
	case AMR:
		return intersects(id.AMR, c.Words) || e.afterStepUp && slices.Contains(c.Words, amrMFA)
	case MFA:
		return e.afterStepUp || within(c.Age, e.facts.Now, id.SecondFactor())
	case MaxAge:
		return e.afterStepUp || within(c.Age, e.facts.Now, id.AuthTime)
	case Bearer:
		return id.Bearer
	}
	return false
}

// within reports whether something happened, and at most so long ago.
func within(age time.Duration, now, then time.Time) bool {
	return !then.IsZero() && now.Sub(then) <= age
}

// intersects reports whether two lists have a word in common.
func intersects(have, want []string) bool {
	for _, w := range want {
		if slices.Contains(have, w) {
			return true
		}
	}
	return false
}

// hasEmailDomain reports whether an address has one @, and one of the domains behind it. Case counts for nothing, as far as
// ASCII goes.
func hasEmailDomain(address string, domains []string) bool {
	local, domain, _ := strings.Cut(address, "@")
	return local != "" && strings.IndexByte(domain, '@') < 0 &&
		slices.ContainsFunc(domains, func(d string) bool { return equalASCII(d, domain) })
}

// equalASCII compares a text in lower case with one in any.
func equalASCII(lower, s string) bool {
	if len(lower) != len(s) {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// claims reports whether the claim, or an element of it where it is a list, is one of the values.
func (c *Condition) claims(id *Identity) bool {
	if id.Claims == nil {
		return false
	}
	value, ok := id.Claims.Claim(c.Claim)
	if !ok {
		return false
	}
	list, isList := value.([]any)
	if !isList {
		return c.isValue(value)
	}
	for _, element := range list {
		if c.isValue(element) {
			return true
		}
	}
	return false
}

func (c *Condition) isValue(value any) bool {
	for _, want := range c.Values {
		switch want := want.(type) {
		case string:
			if s, ok := value.(string); ok && s == want {
				return true
			}
		case bool:
			if b, ok := value.(bool); ok && b == want {
				return true
			}
		case float64:
			if f, ok := value.(float64); ok && f == want {
				return true
			}
		}
	}
	return false
}

// firstUnmet is what keeps a condition from holding: of several that all must, the first that does not; nil where it holds.
func (c *Condition) firstUnmet(e *evaluation) *Condition {
	if c.Kind == All {
		for _, of := range c.Of {
			if failed := of.firstUnmet(e); failed != nil {
				return failed
			}
		}
		return nil
	}
	if c.truth(e) == True {
		return nil
	}
	return c
}

// bearerOnly reports whether a condition holds for Bearer tokens alone.
func (c *Condition) bearerOnly() bool {
	switch c.Kind {
	case Bearer:
		return true
	case All:
		return slices.ContainsFunc(c.Of, (*Condition).bearerOnly)
	case Any:
		return !slices.ContainsFunc(c.Of, func(of *Condition) bool { return !of.bearerOnly() })
	}
	return false
}

// CanStepUp reports whether a login just now, with a second factor, could make a difference.
func (c *Condition) CanStepUp() bool {
	switch c.Kind {
	case MFA, MaxAge:
		return true
	case AMR:
		return slices.Contains(c.Words, amrMFA)
	}
	return slices.ContainsFunc(c.Of, (*Condition).CanStepUp)
}

// reads adds the facts that a condition depends on.
func (c *Condition) reads(r *Reads) {
	switch c.Kind {
	case Networks:
		r.Client = true
	case HasClaim:
		r.Claims = insertSorted(r.Claims, c.Claim)
	case Expression:
		if c.expression != nil {
			r.add(&c.expression.reads)
		}
	}
	for _, of := range c.Of {
		of.reads(r)
	}
}

// readsPath reports whether a condition depends on the path, or on a parameter of it.
func (c *Condition) readsPath() bool {
	return c.expression != nil && c.expression.readsPath || slices.ContainsFunc(c.Of, (*Condition).readsPath)
}

// Reads are the facts that a condition depends on besides who asks.
func (c *Condition) Reads() (r Reads) {
	c.reads(&r)
	return r
}
