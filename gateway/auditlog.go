package gateway

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/policies"
)

// writeAudit puts the decision to forward the request into the audit log, before
// it is forwarded.
func (x *exchange) writeAudit() error {
	if x.g.opts.Audit == nil || x.located.Kind != policies.Routed {
		return nil
	}
	x.record.decision, x.record.audited = "allow", true
	if err := x.g.opts.Audit.Put(x.decided.auditRecord()); err != nil {
		return refuseAuditFailure(err)
	}
	return nil
}

// writeAuditBestEffort puts into the audit log what was decided otherwise, about
// hosts that policies name. Refusing needs no record to be safe: nothing waits.
func (x *exchange) writeAuditBestEffort() {
	if x.g.opts.Audit == nil || x.record.audited || x.located.Host == nil {
		return
	}
	x.g.opts.Audit.PutBestEffort(x.decided.auditRecord())
}

// auditLogout records whom a sign-out was about, one event a session, and whether it could be published.
func (x *decided) auditLogout(err error) {
	if x.g.opts.Audit == nil {
		return
	}
	for _, who := range x.authentication.signedOut {
		e := &audit.Event{
			Version: audit.Version, Time: x.start.UTC(), Event: audit.EventLogout, Result: audit.Success, Client: x.client, RequestID: x.requestID,
			Actor: &who, User: who.User, Subject: who.Subject, Session: who.Session,
		}
		if err != nil {
			e.Result, e.Reason = audit.Failure, err.Error()
		}
		x.g.opts.Audit.PutEventBestEffort(e)
	}
}

func (x *decided) auditRecord() *audit.Record {
	r := &audit.Record{
		Version: audit.Version, Time: x.start.UTC(), RequestID: x.requestID, Generation: x.gen.PoliciesID, Client: x.client,
		Host: string(x.Name), Method: x.r.Method, Path: x.Target.Path.String(), Route: x.routeName(),
		Who: x.auditWho(), Facts: x.facts, Decision: auditDecision(x.record.decision), Reason: x.record.reason,
		ForeignBearer: x.answer.ForeignBearer, Kept: x.record.kept, KeptSent: x.record.keptSent, ForwardAuth: x.forwardAuth.name(),
		Latency: x.g.opts.Now().Sub(x.start).Microseconds(),
	}
	if x.ruleDecided() {
		r.Rule = formatPlace(x.answer.Place)
		if r.Reason == "" {
			r.Reason = x.answer.Reason
		}
	}
	for _, c := range x.record.refusedCookies {
		r.RefusedCookies = append(r.RefusedCookies, audit.RefusedCookie(c))
	}
	for _, s := range x.record.shadows {
		shadow := audit.Shadow{Decision: s.Decision, Reason: s.Reason, Rule: formatPlace(s.Rule)}
		if s.Folder {
			shadow.Generation = x.gen.ShadowID
		}
		r.Shadow = append(r.Shadow, shadow)
	}
	return r
}

// auditDecision is a decision in the words of the audit log, which are those of
// tests: of a policy.
func auditDecision(decision string) string {
	if decision == decisionMalformed {
		return policies.BadRequest.Word()
	}
	return decision
}

// auditWho is the verified principal, whatever the decision; nil for anonymous.
func (x *decided) auditWho() *audit.Who {
	c := x.authentication.claims
	if c == nil {
		return nil
	}
	w := &audit.Who{
		Subject: c.Subject(), Issuer: c.IssuerName(), User: c.User(), Email: c.Email(), EmailVerified: c.EmailVerified(),
		Session: c.Session(), Roles: c.Roles(), AMR: c.AMR(), Credential: audit.ByBearer,
	}
	if t := c.AuthTime(); !t.IsZero() {
		t = t.UTC()
		w.AuthTime = &t
	}
	if x.authentication.byCookie {
		w.Credential = audit.ByCookie
	}
	if x.authentication.byHeader {
		w.Credential = audit.ByHeader
	}
	return w
}

// recordFacts keeps for the audit log the facts that the rule reads, while the
// request is as it was sent. Values of the query are never recorded, nor are those
// of headers that may carry secrets, by their name or by their look.
func (x *decided) recordFacts() {
	if x.g.opts.Audit == nil || x.Match.Route == nil {
		return
	}
	reads := &x.Match.Route.Reads
	if len(reads.Headers)+len(reads.Query)+len(reads.Claims) == 0 {
		return
	}
	f := &audit.Facts{}
	x.facts = f
	for _, name := range reads.Headers {
		switch values := x.r.Header.Values(name); {
		case isSecret(name) || slices.ContainsFunc(values, looksSecret):
			f.Withheld = append(f.Withheld, "headers."+strings.ToLower(name))
		case len(values) > 0:
			if f.Headers == nil {
				f.Headers = map[string][]string{}
			}
			f.Headers[strings.ToLower(name)] = slices.Clone(values)
		}
	}
	for _, name := range reads.Query {
		f.Withheld = append(f.Withheld, "query."+name)
	}
	if x.authentication.claims == nil {
		return
	}
	for _, name := range reads.Claims {
		value, ok := x.authentication.claims.Claim(name)
		if !ok {
			continue
		}
		encoded, err := json.Marshal(value)
		if err != nil {
			continue // a claim came from JSON
		}
		if f.Claims == nil {
			f.Claims = map[string]json.RawMessage{}
		}
		f.Claims[name] = encoded
	}
}

// secretWords mark names of headers whose values are withheld.
var secretWords = []string{
	"auth", "cookie", "token", "secret", "key", "pass", "session", "signature", "assertion", "credential", "jwt", "otp", "code", "pin",
}

// minSecretLength is the length in bytes from which a word of letters and digits is taken for a secret.
const minSecretLength = 20

// looksSecret reports whether a value holds a word as tokens are made of: long, and of both letters and digits.
func looksSecret(value string) bool {
	length, letters, digits := 0, false, false
	for i := 0; i <= len(value); i++ {
		var c byte
		if i < len(value) {
			c = value[i]
		}
		switch {
		case '0' <= c && c <= '9':
			digits = true
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			letters = true
		case c == '-' || c == '_' || c == '+' || c == '/' || c == '=' || c == '.' || c == '~':
		default:
			if length >= minSecretLength && letters && digits {
				return true
			}
			length, letters, digits = 0, false, false
			continue
		}
		length++
	}
	return false
}

// isSecret reports whether the value of a header of that name may be a secret.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}
