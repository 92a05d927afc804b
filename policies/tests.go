package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// ownIssuer is the name of our own identity provider among the issuers.
const ownIssuer = "vilogate"

// testTime is when tests take place. Nothing that can be written depends on it.
var testTime = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

var expectations = []string{"allow", "deny", "login", "step-up"}

// runTests runs the tests: of a file. A test that fails is an error at its place: the file is refused.
func (c *compiler) runTests(h *HostPolicy, tests []testSyntax) {
	for i := range tests {
		t := &tests[i]
		if !slices.Contains(expectations, t.Expect.text) {
			c.known(t.Expect, "outcome", expectations)
			continue
		}
		if !strings.HasPrefix(t.target.text, "/") {
			c.errorf(t.target.at, "a test's path begins with /, found %q", t.target.text)
			continue
		}
		before := len(c.errs)
		identity := c.identity(t.As)
		if len(c.errs) > before {
			continue
		}
		decision := h.try(t.method, t.target.text, identity)
		if !decision.Outcome.meets(t.Expect.text, identity) {
			c.errorf(t.Place, "%s", t.failure(decision))
		}
	}
}

// try decides about a request as the gateway does.
func (h *HostPolicy) try(method, target string, id *Identity) Decision {
	host := strings.Replace(h.Host, "*", "any", 1)
	asked, err := request.Canonicalise(method, host, target)
	if err != nil {
		return Decision{Outcome: BadRequest, Reason: err.Error(), Place: h.Place}
	}
	return h.Match(asked.Path, method).Decide(Facts{Now: testTime, Method: method, Host: asked.Host, Path: asked.Path}, id)
}

// meets reports whether an outcome is what a test expects. Tests know four words: 400 and 405 are deny, and a 405 to a
// stranger is login too, as it would be where the methods were not all public.
func (o Outcome) meets(expected string, id *Identity) bool {
	switch expected {
	case "allow":
		return o == Allow
	case "login":
		return o == Login || o == MethodNotAllowed && id == nil
	case "step-up":
		return o == StepUp
	}
	return o == Deny || o == MethodNotAllowed || o == BadRequest
}

// failure says what happened instead, and which rule decided.
func (t *testSyntax) failure(d Decision) string {
	who := "nobody"
	if t.As != nil {
		who = t.As.String()
	}
	decided := "no route"
	switch {
	case d.Route != nil:
		decided = "the route " + d.Route.Pattern
	case len(d.Allow) > 0:
		decided = "no route takes it, only " + strings.Join(d.Allow, ", ")
	}
	return fmt.Sprintf("the test failed: %s %s as %s: expected %s, got %s: %s (%s, %s)",
		t.method, t.target.text, who, t.Expect.text, d.Outcome, d.Reason, decided, d.Place)
}

// String names somebody as a test does.
func (s *identitySyntax) String() string {
	who := s.User.text
	if who == "" {
		who = "somebody"
	}
	if len(s.Roles) > 0 {
		roles := make([]string, len(s.Roles))
		for i, r := range s.Roles {
			roles[i] = r.text
		}
		who += " with the roles " + strings.Join(roles, ", ")
	}
	if s.Issuer.text != "" {
		who += " of " + s.Issuer.text
	}
	return who
}

// identity is who a test is run as; nil for nobody. Where the test says nothing, somebody has just signed in at our own
// identity provider, and whatever kind of credential a route takes is the one they have.
func (c *compiler) identity(s *identitySyntax) *Identity {
	if s == nil {
		return nil
	}
	id := &Identity{
		Issuer: ownIssuer, User: s.User.text, Subject: s.User.text, Email: s.Email, Name: s.Name,
		AuthTime: testTime.Add(-time.Duration(s.AuthAge)), Bearer: true,
	}
	if s.User.text != "" {
		c.checkUser(s.User)
	}
	if issuer, _, foreign := strings.Cut(s.User.text, ":"); foreign {
		id.Issuer = issuer
	}
	if s.Issuer.text != "" {
		c.checkIssuer(s.Issuer)
		id.Issuer = s.Issuer.text
	}
	for _, w := range s.Roles {
		c.checkRole(w)
		id.Roles = append(id.Roles, w.text)
	}
	slices.Sort(id.Roles)
	return id
}
