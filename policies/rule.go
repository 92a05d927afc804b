package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A rule is a compiled `allow:`.
type rule struct {
	kind       ruleKind
	bearerOnly bool
	conditions []condition // with ruleConditions: all must hold
}

type ruleKind uint8

const (
	rulePublic ruleKind = iota + 1
	ruleAuthenticated
	ruleDeny
	ruleConditions
)

// A condition is one key of an allow map. Whatever the language learns to ask becomes one.
type condition struct {
	holds  func(Facts, *Identity) bool
	reason string // why the answer is no, made at load so that saying it costs nothing
}

var allowWords = []string{"public", "authenticated", "deny"}

func (r *rule) decide(f Facts, id *Identity) (Outcome, string) {
	switch {
	case r.kind == rulePublic:
		return Allow, "public"
	case r.kind == ruleDeny:
		return Deny, "the route is open to nobody"
	case id == nil:
		return Login, "somebody is needed, and nobody is signed in"
	case r.bearerOnly && !id.Bearer:
		return Deny, "bearer: only, and the credential is a cookie"
	}
	for i := range r.conditions {
		if c := &r.conditions[i]; !c.holds(f, id) {
			return Deny, c.reason
		}
	}
	if r.kind == ruleAuthenticated {
		return Allow, "authenticated"
	}
	return Allow, "every condition of allow holds"
}

// rule compiles the allow of a route.
func (c *compiler) rule(route *routeSyntax) rule {
	a := &route.Allow
	r := rule{bearerOnly: bool(route.Bearer || a.Bearer)}
	switch a.word.text {
	case "public":
		r.kind = rulePublic
		if r.bearerOnly {
			c.errorf(a.word.at, "a public route asks nobody who they are; bearer: only has no meaning there")
		}
		return r
	case "authenticated":
		r.kind = ruleAuthenticated
		return r
	case "deny":
		r.kind = ruleDeny
		return r
	}
	r.kind = ruleConditions
	if a.Roles != nil {
		roles := c.words(a.word.at, "roles", *a.Roles, c.checkRole)
		r.conditions = append(r.conditions, condition{
			reason: "none of the roles " + strings.Join(roles, ", "),
			holds: func(_ Facts, id *Identity) bool {
				return slices.ContainsFunc(id.Roles, func(role string) bool { return slices.Contains(roles, role) })
			},
		})
	}
	if a.Users != nil {
		users := c.words(a.word.at, "users", *a.Users, c.checkUser)
		r.conditions = append(r.conditions, condition{
			reason: "none of the users " + strings.Join(users, ", "),
			holds:  func(_ Facts, id *Identity) bool { return slices.Contains(users, id.User) },
		})
	}
	if a.Issuers != nil {
		issuers := c.words(a.word.at, "issuers", *a.Issuers, c.checkIssuer)
		r.conditions = append(r.conditions, condition{
			reason: "the token is of none of the issuers " + strings.Join(issuers, ", "),
			holds:  func(_ Facts, id *Identity) bool { return slices.Contains(issuers, id.Issuer) },
		})
	}
	if len(r.conditions) == 0 && !r.bearerOnly {
		c.errorf(a.word.at, "a map without a condition; write public, authenticated or deny")
	}
	return r
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
