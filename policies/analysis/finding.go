package analysis

import (
	"fmt"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Finding is something about a policy that is no error, and is hardly what was meant.
type Finding struct {
	Place strictyaml.Place
	Kind  Kind
	Msg   string

	route     *policies.Route     // that it is about; nil for what is the file's
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
	HiddenPaths          Kind = "hidden-paths" // a word takes paths from a wider pattern, and no route lists them

	UnusedAcknowledgement Kind = "unused-acknowledgement" // of what is not there; it cannot be acknowledged
)

// kinds are those that can be acknowledged.
var kinds = []Kind{
	UnreachableRoute, NarrowedRoute, UnreachableCondition, IdleCondition, UnsafePublic, UnusedRule, CaseVariant, ShadowOnly, HiddenPaths,
}

func kindsText() string {
	var names []string
	for _, kind := range kinds {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}

type checker struct {
	findings []Finding
	route    *policies.Route // that is looked at; nil for what is the file's
}

func (c *checker) add(at strictyaml.Place, kind Kind, format string, a ...any) *Finding {
	c.findings = append(c.findings, Finding{Place: at, Kind: kind, Msg: fmt.Sprintf(format, a...), route: c.route})
	return &c.findings[len(c.findings)-1]
}
