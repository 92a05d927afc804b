package analysis

import (
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
)

// exampleTime is when examples take place.
var exampleTime = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)

// example is somebody for whom the variables have the given values, and who is as plain as can be besides.
func (s *space) example(a assignment) *person {
	p := &person{
		now: exampleTime, claims: map[string][]any{}, expressions: map[string]policies.Truth{},
		id: policies.Identity{Issuer: "vilogate", User: "someone", Subject: "someone"},
	}
	for i, v := range s.vars {
		if x := a[i]; x >= 0 {
			v.values[x].apply(p)
		} else if i > 0 {
			s.defaultValue(a, i).apply(p)
		}
	}
	slices.Sort(p.id.Roles)
	p.id.Subject = p.id.User
	p.id.IssuedAt, p.id.Expires = p.now, p.now.Add(15*time.Minute)
	claims := fixedClaims{}
	for name, values := range p.claims {
		if len(values) == 1 {
			claims[name] = values[0]
		} else {
			claims[name] = values
		}
	}
	p.id.Claims = claims
	return p
}

// defaultValue is the first value of a variable that goes with the others.
func (s *space) defaultValue(a assignment, variable int) value {
	for i, v := range s.vars[variable].values {
		if s.possible(a, variable, i) {
			return v
		}
	}
	return s.vars[variable].values[0]
}

// identity is the person, nil if anonymous.
func (p *person) identity() *policies.Identity {
	if p.anonymous {
		return nil
	}
	return &p.id
}

// describe says what the given values of variables are.
func (s *space) describe(a assignment) string {
	var texts []string
	for i, x := range a {
		if x < 0 || i == 0 && x == somebody {
			continue
		}
		texts = append(texts, s.vars[i].values[x].text)
	}
	switch {
	case a[0] == somebody:
		texts = append([]string{"somebody"}, texts...)
	case len(texts) == 0:
		return "anybody"
	}
	return strings.Join(texts, ", ")
}

// fixedClaims are claims that are known.
type fixedClaims map[string]any

// Claim implements policies.Claims.
func (c fixedClaims) Claim(name string) (any, bool) {
	v, ok := c[name]
	return v, ok
}
