package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
	"github.com/viloforge/vilogate/policies/request"
)

type policyReplayCommand struct {
	Config string `short:"c" placeholder:"FILE" help:"The configuration, which has the names that policies use, the audit log, and the policies of today. Default: vilogate.yaml, where there is one."`
	New    string `arg:"" help:"The folder of policies to try."`
	Log    string `placeholder:"FILE" help:"The audit log, with those that were rotated away; default: the configuration's."`
	Old    string `placeholder:"DIR" help:"The policies that were in force, which tell what a record would hold; default: the configuration's."`
	JSON   bool   `help:"Print JSON."`
}

// replayReport is what policy replay prints as JSON.
type replayReport struct {
	analysis.Replay
	NotDecided int `json:"not_decided_by_policies"` // by no rule: sign-outs, faults, preflights, bad tokens, bodies too long
	Unreadable int `json:"unreadable_lines"`
}

// Run replays the log.
func (c *policyReplayCommand) Run(w *commandEnv) error {
	p, err := policySource{Config: c.Config, Policies: c.New}.read(w)
	if err != nil {
		return err
	}
	set, err := p.compile()
	if err != nil {
		return err
	}
	log, err := p.auditLog(c.Log)
	if err != nil {
		return err
	}
	old, err := c.oldPolicies(p)
	if err != nil {
		return err
	}
	replayer := analysis.NewReplayer(set)
	var report replayReport
	for record, err := range audit.ReadAll(log) {
		switch {
		case errors.As(err, new(*audit.LineError)):
			report.Unreadable++
		case err != nil:
			return err
		default:
			if r, ok := old.fromRecord(record); ok {
				replayer.Add(r)
			} else {
				report.NotDecided++
			}
		}
	}
	report.Replay = replayer.Result()
	if c.JSON {
		return printJSON(w.stdout, report)
	}
	_, err = fmt.Fprint(w.stdout, report.text())
	return err
}

// oldPolicies are the policies that were in force, as far as they are at hand.
func (c *policyReplayCommand) oldPolicies(p policySet) (knownPolicies, error) {
	dir := c.Old
	if dir == "" && p.cfg != nil {
		dir = p.cfg.Policies
	}
	if dir == "" {
		return nil, nil
	}
	files, err := generation.ReadPolicies(dir)
	if err != nil {
		return nil, err
	}
	set, err := policySet{dir: dir, files: files, options: policies.Options{Standalone: true}}.compile()
	return knownPolicies{generation.PoliciesID(dir, files): set}, err
}

// auditLog is the file of the audit log: the one named, else the configuration's.
func (p policySet) auditLog(named string) (string, error) {
	switch {
	case named != "":
		return named, nil
	case p.cfg != nil && p.cfg.Audit != nil:
		return p.cfg.Audit.File, nil
	}
	return "", usageError{errors.New("the configuration has no audit log; name one with --log")}
}

func (r replayReport) text() string {
	var b strings.Builder
	for _, g := range r.Groups {
		fmt.Fprintf(&b, "%6d  %s -> %s  %s %s%s (%s -> %s)\n", g.Count, g.From, g.To, quoteUnprintable(g.Method), quoteUnprintable(g.Host), cmp.Or(g.Route, " (no route)"),
			quoteUnprintable(cmp.Or(g.Before, "no rule")), cmp.Or(g.After, "no rule"))
		if len(g.Missing) > 0 {
			fmt.Fprintf(&b, "        the records do not hold %s\n", strings.Join(g.Missing, ", "))
		}
		fmt.Fprintf(&b, "        such as %s\n", quoteUnprintable(strings.Join(g.Examples, ", ")))
	}
	fmt.Fprintf(&b, "%d requests: %d as before, %d differently, %d undecidable\n", r.Requests, r.Same, r.Different, r.Undecidable)
	if r.NotDecided > 0 {
		fmt.Fprintf(&b, "%d more were not decided by a rule\n", r.NotDecided)
	}
	if r.Unreadable > 0 {
		fmt.Fprintf(&b, "%d lines are no records\n", r.Unreadable)
	}
	return b.String()
}

// quoteUnprintable quotes a text from a log that holds control characters (terminal escape sequences).
func quoteUnprintable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.QuoteToASCII(s)
}

// knownPolicies are policies by the id that records name them by. They tell what a record of theirs would hold.
type knownPolicies map[string]*policies.Set

// policyDecisions are those that policies make; what records hold of others is not theirs to replay.
var policyDecisions = []string{"allow", "bad-request", "deny", "limit", "login", "step-up"}

// ruleDecided reports whether a rule made the decision of a record. Where there is none, the request was refused before it came
// to a rule: a token that does not verify, a preflight, two Authorization lines. An OPTIONS request that a rule decided was no
// preflight. What the rule allowed and the gateway refused all the same is not the rule's either, but for a cross-site
// request (CSRF), which the rule can exempt.
func ruleDecided(r *audit.Record) bool {
	return r.Host != "" && r.Path != "" && r.Rule != "" && !gateway.IsBehindRule(r.Reason) && slices.Contains(policyDecisions, r.Decision)
}

// fromRecord is an audit record as the analysis takes it; false where no policy decided.
func (k knownPolicies) fromRecord(r *audit.Record) (analysis.Recorded, bool) {
	if !ruleDecided(r) {
		return analysis.Recorded{}, false
	}
	headers, claims := policies.Fields{}, jsonClaims{}
	var withheld []string
	if r.Facts != nil {
		withheld = r.Facts.Withheld
		for name, values := range r.Facts.Headers {
			if canonical, ok := request.CanonicalHeader(name); ok {
				headers[canonical] = values
			}
		}
		for name, text := range r.Facts.Claims {
			var value any
			if json.Unmarshal(text, &value) == nil {
				claims[name] = value
			}
		}
	}
	q := analysis.Recorded{
		ID: r.RequestID, Decision: r.Decision, Rule: r.Rule, Method: r.Method, Host: r.Host, Path: r.Path,
		Facts:    policies.Facts{Now: r.Time, Client: r.Client, Header: headers},
		Identity: recordedIdentity(r.Who, claims), CrossSite: r.Reason == policies.ReasonCSRF, ForeignBearer: r.ForeignBearer,
	}
	read := k.factsRead(r)
	q.HasFact = func(fact string) bool {
		kind, name, _ := strings.Cut(fact, ".")
		switch kind {
		case "headers":
			fact = kind + "." + strings.ToLower(name)
			canonical, _ := request.CanonicalHeader(name)
			return headers[canonical] != nil || slices.Contains(read, fact) && !slices.Contains(withheld, fact)
		case "claims":
			_, known := claims[name]
			return known || slices.Contains(read, fact)
		}
		return false // of queries, no values are recorded
	}
	return q, true
}

// factsRead are the facts that the rule of a record read, so that those which the record does not have were not there; none
// where the policies in force then are not at hand.
func (k knownPolicies) factsRead(r *audit.Record) (facts []string) {
	set := k[r.Generation]
	path, err := request.ParsePath(r.Path)
	if set == nil || err != nil {
		return nil
	}
	h := set.Lookup(request.Host(r.Host))
	if h == nil {
		return nil
	}
	route := h.Match(path, r.Method).Route
	if route == nil {
		return nil
	}
	for _, name := range route.Reads.Headers {
		facts = append(facts, "headers."+strings.ToLower(name))
	}
	for _, name := range route.Reads.Claims {
		facts = append(facts, "claims."+name)
	}
	return facts
}

func recordedIdentity(who *audit.Who, claims jsonClaims) *policies.Identity {
	if who == nil {
		return nil
	}
	id := &policies.Identity{
		Issuer: who.Issuer, User: who.User, Subject: who.Subject, Email: who.Email, EmailVerified: who.EmailVerified, Session: who.Session,
		Roles: slices.Sorted(slices.Values(who.Roles)), AMR: who.AMR, Claims: claims, Bearer: who.Credential == audit.ByBearer,
	}
	if who.AuthTime != nil {
		id.AuthTime = *who.AuthTime
	}
	return id
}
