package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
)

type policyTestCommand struct {
	policySource `embed:""`
	Verbose      bool `short:"v" help:"Name the tests that pass, too."`
	Coverage     bool `help:"Name the routes and conditions that no test touches."`
	JSON         bool `help:"Print JSON."`
}

// jsonTest is a test for programs.
type jsonTest struct {
	Place    string `json:"place"`
	Name     string `json:"name"`
	Expected string `json:"expected"`
	Passed   bool   `json:"passed"`
	Failure  string `json:"failure,omitempty"`
	Rule     string `json:"rule,omitempty"` // the place of the rule that decided
}

// Run runs the tests, and fails where one does.
func (c *policyTestCommand) Run(w *commandEnv) error {
	p, err := c.read(w)
	if err != nil {
		return err
	}
	set, results, err := policies.Test(p.files, p.options)
	if err != nil {
		return err
	}
	failed := 0
	for _, r := range results {
		if r.Failure != "" {
			failed++
		}
	}
	untouched, total := analysis.Coverage(set, results)
	if c.JSON {
		err = printJSON(w.stdout, c.report(results, untouched, total))
	} else {
		_, err = fmt.Fprint(w.stdout, c.text(p, results), c.coverage(untouched, total))
	}
	if err == nil && failed > 0 {
		return fmt.Errorf("%d of %d tests failed", failed, len(results))
	}
	return err
}

// text is the output of tests, file by file.
func (c *policyTestCommand) text(p policySet, results []policies.TestResult) string {
	var b strings.Builder
	for _, f := range p.files {
		passed, failed := 0, 0
		for _, r := range results {
			switch {
			case r.Place.File != f.Name:
			case r.Failure != "":
				failed++
				fmt.Fprintf(&b, "--- FAIL: %s (%s)\n    %s\n", r.Name, r.Place, r.Failure)
			default:
				passed++
				if c.Verbose {
					fmt.Fprintf(&b, "--- PASS: %s (%s)\n", r.Name, r.Place)
				}
			}
		}
		switch {
		case failed > 0:
			fmt.Fprintf(&b, "FAIL\t%s\t%d of %d tests failed\n", f.Name, failed, passed+failed)
		case passed > 0:
			fmt.Fprintf(&b, "ok  \t%s\t%d tests\n", f.Name, passed)
		default:
			fmt.Fprintf(&b, "?   \t%s\tno tests\n", f.Name)
		}
	}
	return b.String()
}

func (c *policyTestCommand) coverage(untouched []analysis.Uncovered, total int) string {
	if !c.Coverage {
		return ""
	}
	var b strings.Builder
	for _, u := range untouched {
		fmt.Fprintf(&b, "%s: %s: %s\n", u.Place, u.Text, u.Why)
	}
	percent := 100
	if total > 0 {
		percent = 100 * (total - len(untouched)) / total
	}
	fmt.Fprintf(&b, "coverage: %d%% of %d routes and conditions\n", percent, total)
	return b.String()
}

func (c *policyTestCommand) report(results []policies.TestResult, untouched []analysis.Uncovered, total int) any {
	report := struct {
		Tests     []jsonTest    `json:"tests"`
		Untouched []jsonProblem `json:"untouched,omitempty"`
		Total     int           `json:"routes_and_conditions"`
	}{Tests: []jsonTest{}, Total: total}
	for _, r := range results {
		t := jsonTest{Place: r.Place.String(), Name: r.Name, Expected: r.Expected, Passed: r.Failure == "", Failure: r.Failure}
		if r.Answer.Place.Line > 0 {
			t.Rule = r.Answer.Place.String()
		}
		report.Tests = append(report.Tests, t)
	}
	if c.Coverage {
		for _, u := range untouched {
			report.Untouched = append(report.Untouched, problemAt(u.Place, "untouched", u.Text+": "+u.Why))
		}
	}
	report.Untouched = slices.Clip(report.Untouched)
	return report
}
