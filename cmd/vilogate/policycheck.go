package main

import (
	"errors"
	"fmt"

	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

type policyCheckCommand struct {
	policySource `embed:""`
	Strict       bool `help:"Fail where there are warnings, too."`
	JSON         bool `help:"Print JSON."`
}

// checkReport is what policy check prints as JSON.
type checkReport struct {
	Errors   []jsonProblem `json:"errors"`
	Warnings []jsonProblem `json:"warnings"`
}

// Run prints errors and warnings, and fails where there are errors.
func (c *policyCheckCommand) Run(w *commandEnv) error {
	p, err := c.read(w)
	if err != nil && !c.JSON {
		return err
	}
	report := checkReport{Errors: []jsonProblem{}, Warnings: []jsonProblem{}}
	if err != nil {
		report.addError(err)
	} else {
		report.addPolicies(p)
	}
	if c.JSON {
		if err := printJSON(w.stdout, report); err != nil {
			return err
		}
	} else if err := report.print(w, p); err != nil {
		return err
	}
	switch {
	case len(report.Errors) > 0:
		return fmt.Errorf("%d error(s) in the policies", len(report.Errors))
	case c.Strict && len(report.Warnings) > 0:
		return fmt.Errorf("%d warning(s) about the policies", len(report.Warnings))
	}
	return nil
}

func (r *checkReport) print(w *commandEnv, p policySet) error {
	for _, problem := range r.Errors {
		if _, err := fmt.Fprintln(w.stderr, problem); err != nil {
			return err
		}
	}
	for _, problem := range r.Warnings {
		warning := problem
		warning.Message = "warning: " + problem.Message
		if _, err := fmt.Fprintln(w.stderr, warning); err != nil {
			return err
		}
	}
	if len(r.Errors) > 0 {
		return nil
	}
	_, err := fmt.Fprintf(w.stdout, "%s: good; %d file(s), %d warning(s)\n", p.dir, len(p.files), len(r.Warnings))
	return err
}

// addError adds an error, one problem for each of its places.
func (r *checkReport) addError(err error) {
	var places strictyaml.Errors
	if errors.As(err, &places) {
		for _, e := range places {
			r.Errors = append(r.Errors, problemAt(e.Place, "error", e.Msg))
		}
		return
	}
	r.Errors = append(r.Errors, jsonProblem{Kind: "error", Message: err.Error()})
}

// addPolicies adds errors, failed tests and warnings of the policies.
func (r *checkReport) addPolicies(p policySet) {
	set, results, err := policies.Test(p.files, p.options)
	if err != nil {
		r.addError(err)
	}
	for _, result := range results {
		if result.Failure != "" {
			r.Errors = append(r.Errors, problemAt(result.Place, "failed-test", "the test failed: "+result.Name+": "+result.Failure))
		}
	}
	if err != nil {
		return
	}
	for _, f := range analysis.Check(set) {
		r.Warnings = append(r.Warnings, problemAt(f.Place, string(f.Kind), f.Msg))
	}
	r.addConfigWarnings(p, set)
}

// addConfigWarnings adds warnings about policies and configuration together.
func (r *checkReport) addConfigWarnings(p policySet, set *policies.Set) {
	if p.cfg == nil {
		return
	}
	covers := generation.Covers(p.cfg, nil)
	for _, name := range set.Hosts() {
		if !covers(name) {
			r.Warnings = append(r.Warnings, problemAt(set.Policy(name).Place, "no-certificate", "no certificate is for the host "+name+": it would be answered 421"))
		}
	}
	for _, name := range p.cfg.UpstreamNames() {
		if u := p.cfg.Upstreams[name]; u.ForwardToken == token.OwnIssuer {
			r.Warnings = append(r.Warnings, problemAt(u.Places.Of("forward_token"), "forwarded-token",
				"the upstream "+name+" is given everybody's own access token, with which it can act as them everywhere; let it verify X-User-Assertion instead"))
		}
	}
}
