package analysis

import (
	"fmt"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Finding is something about a policy that is no error, and is hardly what was meant.
type Finding struct {
	Place strictyaml.Place
	Kind  Kind
	Msg   string

	route     *policies.Route     // that is unreachable, or narrowed
	condition *policies.Condition // that can never be true, or makes no difference
}

// A Kind is what a finding is about.
type Kind string

// The kinds of findings.
const (
	UnreachableRoute     Kind = "unreachable-route"     // no request is decided by it
	NarrowedRoute        Kind = "narrowed-route"        // it matches less than its pattern says
	UnreachableCondition Kind = "unreachable-condition" // it can never be true
	IdleCondition        Kind = "idle-condition"        // nothing would be decided differently without it
	UnsafePublic         Kind = "unsafe-public"         // anybody may change something
	UnusedRule           Kind = "unused-rule"
	CaseVariant          Kind = "case-variant" // a letter in another case leads around a rule
	ShadowOnly           Kind = "shadow-only"  // every route of the host is in the shadow
)

type checker struct{ findings []Finding }

func (c *checker) add(at strictyaml.Place, kind Kind, format string, a ...any) *Finding {
	c.findings = append(c.findings, Finding{Place: at, Kind: kind, Msg: fmt.Sprintf(format, a...)})
	return &c.findings[len(c.findings)-1]
}
