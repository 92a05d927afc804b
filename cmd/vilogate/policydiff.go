package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
)

type policyDiffCommand struct {
	Old      string `arg:"" help:"The folder of policies before."`
	New      string `arg:"" help:"The folder of policies after."`
	ExitCode bool   `help:"Exit with 1 where there are differences."`
	JSON     bool   `help:"Print JSON."`
}

// errDifferences is how --exit-code says it.
var errDifferences = errors.New("the policies differ")

// Run compares two folders of policies by themselves: the names of a configuration make no difference to decisions.
func (c *policyDiffCommand) Run(w *commandEnv) error {
	before, err := c.read(c.Old)
	if err != nil {
		return err
	}
	after, err := c.read(c.New)
	if err != nil {
		return err
	}
	report := analysis.Diff(before, after)
	if c.JSON {
		err = printJSON(w.stdout, report)
	} else {
		_, err = fmt.Fprint(w.stdout, formatDiff(report))
	}
	if err == nil && c.ExitCode && len(report.Changes)+len(report.Expressions)+len(report.Options)+len(report.Incomplete) > 0 {
		return errDifferences
	}
	return err
}

func (c *policyDiffCommand) read(dir string) (*policies.Set, error) {
	files, err := generation.ReadPolicies(dir)
	if err != nil {
		return nil, err
	}
	return policySet{dir: dir, files: files, options: policies.Options{Standalone: true}}.compile()
}

// formatDiff is a report for people: the changes of a class of requests together.
func formatDiff(r analysis.Report) string {
	var b strings.Builder
	if len(r.Changes)+len(r.Expressions)+len(r.Options)+len(r.Incomplete) == 0 {
		return "no request is decided differently\n"
	}
	class := ""
	for _, c := range r.Changes {
		if title := changeTitle(c); title != class {
			class = title
			b.WriteString(title + "\n")
		}
		fmt.Fprintf(&b, "    %s -> %s: %s\n", c.From, c.To, c.Who)
		fmt.Fprintf(&b, "        for example %s %s as %s%s\n", c.Example.Method, c.Example.URL, c.Example.As, exampleConditions(c.Example))
	}
	for _, w := range r.Expressions {
		fmt.Fprintf(&b, "%s: %s%s: the expressions changed, and what they come to is not known beforehand\n", w.Place, w.Host+w.Pattern, methodsText(w.Methods))
		for _, text := range w.Removed {
			fmt.Fprintf(&b, "    - when: %s\n", strings.TrimSpace(text))
		}
		for _, text := range w.Added {
			fmt.Fprintf(&b, "    + when: %s\n", strings.TrimSpace(text))
		}
	}
	for _, o := range r.Options {
		fmt.Fprintf(&b, "%s: %s%s: %s: %s -> %s\n", o.Place, o.Host+o.Pattern, methodsText(o.Methods), o.Option, o.From, o.To)
	}
	for _, text := range r.Incomplete {
		fmt.Fprintf(&b, "%s: too many cases to look at all of them; there may be more changes\n", text)
	}
	return b.String()
}

func changeTitle(c analysis.Change) string {
	more := ""
	if c.More > 0 {
		more = fmt.Sprintf(", and %d more", c.More)
	}
	return fmt.Sprintf("%s %s%s%s (%s -> %s)", c.Host, strings.Join(c.Paths, ", "), more, methodsText(c.Methods),
		cmp.Or(c.Before, "no route"), cmp.Or(c.After, "no route"))
}

func methodsText(methods []string) string {
	switch {
	case methods == nil:
		return " for every other method"
	case methods[0] == "*":
		return ""
	}
	return " for " + strings.Join(methods, ", ")
}

func exampleConditions(e analysis.Example) string {
	rest := ""
	if e.IP != "" {
		rest = " from " + e.IP
	}
	if e.Origin != "" {
		rest += " by a page of " + e.Origin
	}
	for _, given := range e.Given {
		rest += ", given " + given
	}
	return rest
}
