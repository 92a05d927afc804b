package policies

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A namedRule is a rule of rules: on its way.
type namedRule struct {
	syntax    *conditionsSyntax
	compiled  *Condition
	compiling bool
}

// Options are what a policy may name, and must agree with.
type Options struct {
	Domain     string   // parent domain of the SSO cookie
	LoginHost  string   // of the built-in login; "" where there is none
	PublicPort int      // of origins that name none
	Upstreams  []string // names
	Issuers    []string // names; our own is "vilogate"

	// ForeignRoles means that roles of other issuers count as those spell them: "Domain Users".
	ForeignRoles bool

	// Standalone means that the configuration is not known: any name of an upstream or issuer will do, and any host. It is for
	// tools that look at a folder of policies by itself.
	Standalone bool
}

// A compiler collects what is wrong.
type compiler struct {
	o    Options
	errs strictyaml.Errors

	env   *cel.Env              // made for the first expression
	rules map[string]*namedRule // of the file
}

func (c *compiler) errorf(at strictyaml.Place, format string, a ...any) {
	c.errs = append(c.errs, &strictyaml.Error{Place: at, Msg: fmt.Sprintf(format, a...)})
}

// checkKnown checks that a word is one of those that the configuration names.
func (c *compiler) checkKnown(w word, kind string, names []string) {
	near := strictyaml.Nearest(w.text, names)
	switch {
	case slices.Contains(names, w.text), c.o.Standalone && (kind == "upstream" || kind == "issuer"):
	case near != "":
		c.errorf(w.at, "unknown %s %q, did you mean %q?", kind, w.text, near)
	case len(names) == 0:
		c.errorf(w.at, "unknown %s %q: the configuration names none", kind, w.text)
	default:
		c.errorf(w.at, "unknown %s %q, expected one of: %s", kind, w.text, strings.Join(slices.Sorted(slices.Values(names)), ", "))
	}
}
