package policies

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// ownIssuer is the name of our own identity provider among the issuers.
const ownIssuer = "vilogate"

// testTime is when tests take place that name no time. What can be asked there does not depend on it.
var testTime = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

var expectations = []string{"allow", "bad-request", "deny", "limit", "login", "step-up"}

// A TestResult is what came of one test.
type TestResult struct {
	Place    strictyaml.Place // of the test
	Name     string           // "GET /invoices as alice"
	Expected string
	Failure  string // what happened instead; "" where it passed
	Answer   Answer
}

// A test is one that is ready to be run.
type test struct {
	syntax  *testSyntax
	request Request
	times   int // the request is made so often; 0 for more often than any rate permits
}

// tests compiles tests of a host. Those with anything wrong are reported and left out.
func (c *compiler) tests(h *HostPolicy, list []testSyntax) (tests []test) {
	for i := range list {
		s := &list[i]
		before := len(c.errs)
		if !slices.Contains(expectations, s.Expect.text) {
			c.checkKnown(s.Expect, "outcome", expectations)
		}
		if !strings.HasPrefix(s.target.text, "/") {
			c.errorf(s.target.at, "a test's path begins with /, found %q", s.target.text)
		}
		if rule := s.Rule.text; rule != "" && rule != "none" && !slices.ContainsFunc(h.routes, func(r *Route) bool { return r.Pattern == rule }) {
			patterns := []string{"none"}
			for _, r := range h.routes {
				patterns = append(patterns, r.Pattern)
			}
			c.checkKnown(s.Rule, "route", slices.Compact(patterns))
		}
		t := test{syntax: s, times: 1, request: Request{
			Method: s.method, Host: strings.Replace(h.Host, "*", "any", 1), Target: s.target.text, Client: s.IP.Addr,
			Header: c.fields(s), Now: s.At.Time,
		}}
		if s.At.IsZero() {
			t.request.Now = testTime
		}
		switch {
		case s.Times != nil:
			if t.times = *s.Times; t.times < 1 || t.times > maxRateEvents+1 {
				c.errorf(s.Place, "times is a number from 1 to %d", maxRateEvents+1)
			}
		case s.Expect.text == "limit":
			t.times = 0
		}
		t.request.Identity = c.identity(s, t.request.Now)
		if len(c.errs) == before {
			tests = append(tests, t)
		}
	}
	return tests
}

// fields are the headers of a test.
func (c *compiler) fields(s *testSyntax) Fields {
	fields := Fields{}
	for _, name := range slices.Sorted(maps.Keys(s.Headers)) {
		canonical, ok := request.CanonicalHeader(name)
		switch {
		case !ok:
			c.errorf(s.Place, "a header's name is of letters, digits and hyphens, found %q", name)
		case fields[canonical] != nil:
			c.errorf(s.Place, "%s is given twice; several lines of a header are a list", canonical)
		}
		fields[canonical] = s.Headers[name]
	}
	return fields
}

// run decides about the request of a test, as the gateway would.
func (t *test) run(h *HostPolicy) TestResult {
	r := TestResult{Place: t.syntax.Place, Name: t.String(), Expected: t.syntax.Expect.text}
	r.Answer, _ = h.Decide(&t.request) // without an Authenticator there is no error
	a := &r.Answer
	switch route := a.Route; {
	case route != nil && route.Reads.Now && t.syntax.At.IsZero():
		r.Failure = "the route " + route.Pattern + " asks for the time; a test of it says when it takes place, such as at: 2030-01-02T15:04:05Z"
	case !t.matchesExpectation(a):
		r.Failure = fmt.Sprintf("expected %s, got %s: %s (%s, %s)", r.Expected, t.actual(a), a.Reason, describeRule(a), a.Place)
	case t.syntax.Rule.text != "" && t.syntax.Rule.text != ruleOf(a):
		r.Failure = fmt.Sprintf("%s as expected, but by the rule %s instead of %s: %s (%s)", r.Expected, ruleOf(a), t.syntax.Rule.text, a.Reason, a.Place)
	}
	return r
}

// limited reports whether the request would be one too many.
func (t *test) limited(a *Answer) bool {
	return a.Outcome == Allow && a.Route != nil && a.Route.Rate != nil && a.Kind != CORSPreflight && (t.times == 0 || t.times > a.Route.Rate.Events)
}

func (t *test) actual(a *Answer) string {
	if t.limited(a) {
		return "limit"
	}
	return a.Outcome.String()
}

// matchesExpectation reports whether an answer is what a test expects. 400 and 405 are deny too, and a 405 to a stranger is login too,
// as it would be where the methods were not all public.
func (t *test) matchesExpectation(a *Answer) bool {
	switch t.syntax.Expect.text {
	case "allow":
		return a.Outcome == Allow && !t.limited(a)
	case "limit":
		return t.limited(a)
	case "login":
		return a.Outcome == Login || a.Outcome == MethodNotAllowed && a.Identity == nil
	case "step-up":
		return a.Outcome == StepUp
	case "bad-request":
		return a.Outcome == BadRequest
	}
	return a.Outcome == Deny || a.Outcome == MethodNotAllowed || a.Outcome == BadRequest || a.Outcome == NotFound ||
		a.Outcome == MethodNotImplemented
}

// ruleOf names the rule that decided, as a test does.
func ruleOf(a *Answer) string {
	if a.Route == nil {
		return "none"
	}
	return a.Route.Pattern
}

// describeRule says which rule decided.
func describeRule(a *Answer) string {
	switch {
	case a.Route != nil:
		return "the route " + a.Route.Pattern
	case len(a.Allow) > 0:
		return "no route takes it, only " + strings.Join(a.Allow, ", ")
	}
	return "no route"
}

// String is the test in a line.
func (t *test) String() string {
	who := "nobody"
	if t.syntax.As != nil {
		who = t.syntax.As.String()
	}
	return t.syntax.method + " " + t.syntax.target.text + " as " + who
}

// String names somebody as a test does.
func (s *identitySyntax) String() string {
	who := s.User.text
	if who == "" {
		who = "somebody"
	}
	if len(s.Roles) > 0 {
		who += " with the roles " + strings.Join(texts(s.Roles), ", ")
	}
	if s.Issuer.text != "" {
		who += " of " + s.Issuer.text
	}
	return who
}

func texts(words []word) []string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = w.text
	}
	return all
}

// identity is who a test is run as; nil if anonymous. Where the test says nothing, somebody has just signed in at our own
// identity provider, with a second factor, and comes with a Bearer token; unless the headers are a browser's.
func (c *compiler) identity(t *testSyntax, now time.Time) *Identity {
	s := t.As
	if s == nil {
		return nil
	}
	id := &Identity{
		Issuer: ownIssuer, User: s.User.text, Subject: s.User.text, Email: s.Email, EmailVerified: s.Email != "", Name: s.Name,
		Roles: texts(s.Roles), AMR: []string{amrMFA, "pwd"}, AuthTime: now.Add(-s.AuthAge.Std()), IssuedAt: now,
		Expires: now.Add(15 * time.Minute),
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
	}
	slices.Sort(id.Roles)
	if s.EmailVerified != nil {
		id.EmailVerified = *s.EmailVerified
	}
	if s.AMR != nil {
		id.AMR = texts(*s.AMR)
	}
	if s.MFAAge != nil {
		id.MFATime = now.Add(-s.MFAAge.Std())
	}
	id.Claims = testClaims(s.Claims)
	id.Bearer = c.usesBearer(t)
	return id
}

// usesBearer reports whether who asks comes with a Bearer token.
func (c *compiler) usesBearer(t *testSyntax) bool {
	switch by := t.As.By; by.text {
	case "bearer":
		return true
	case "cookie":
		return false
	case "":
	default:
		c.checkKnown(by, "credential", []string{"bearer", "cookie"})
	}
	for name := range t.Headers {
		if folded := request.FoldHeader(name); folded == "origin" || strings.HasPrefix(folded, "sec-fetch-") {
			return false
		}
	}
	return true
}

type testClaims map[string]anySyntax

// Claim implements Claims.
func (c testClaims) Claim(name string) (any, bool) {
	v, ok := c[name]
	return v.value, ok
}
