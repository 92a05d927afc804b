package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/analysis"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

type policyExplainCommand struct {
	policySource `embed:""`
	URL          string   `arg:"" optional:"" help:"What is asked for: https://host/path?query."`
	RequestID    string   `name:"request-id" placeholder:"ID" help:"Explain a request of the past instead, from the audit log."`
	Log          string   `placeholder:"FILE" help:"The audit log; default: the configuration's."`
	Method       string   `short:"X" default:"GET" help:"The method."`
	As           string   `placeholder:"WHO" help:"Who asks: a user's name, or a JSON file with the claims of a token; left out for nobody."`
	Roles        []string `help:"The roles of --as, comma-separated, in place of those that the identity provider knows."`
	Email        string   `help:"The verified e-mail address of --as."`
	AMR          []string `name:"amr" help:"How --as signed in, comma-separated; default: with two factors, or what the claims say."`
	AuthAge      string   `placeholder:"AGE" help:"How long ago --as signed in; default: just now, or what the claims say."`
	MFAAge       string   `name:"mfa-age" placeholder:"AGE" help:"How long ago --as showed a second factor; default: at the login, where --amr has mfa."`
	By           string   `enum:"cookie,bearer" default:"cookie" help:"With which credential: cookie or bearer."`
	IP           string   `placeholder:"ADDRESS" help:"The address of the client."`
	Header       []string `short:"H" sep:"none" placeholder:"NAME:VALUE" help:"A header of the request; may be given several times."`
	At           string   `placeholder:"TIME" help:"When, 2030-01-02T15:04:05Z; default: now."`
	JSON         bool     `help:"Print JSON."`
}

// Run explains one request.
func (c *policyExplainCommand) Run(w *commandEnv) error {
	p, err := c.read(w)
	if err != nil {
		return err
	}
	set, err := p.compile()
	if err != nil {
		return err
	}
	switch {
	case (c.URL == "") == (c.RequestID == ""):
		return usageError{errors.New("either a URL or --request-id")}
	case c.RequestID != "":
		return c.explainRecord(w, p, set)
	}
	q, err := c.request(w, p)
	if err != nil {
		return err
	}
	return explain(w, p, set, q, c.JSON)
}

// explainRecord explains a request of the audit log, by the policies of today.
func (c *policyExplainCommand) explainRecord(w *commandEnv, p policySet, set *policies.Set) error {
	log, err := p.auditLog(c.Log)
	if err != nil {
		return err
	}
	record, err := audit.Find(log, c.RequestID)
	if err != nil {
		return err
	}
	old := knownPolicies{generation.PoliciesID(p.dir, p.files): set}
	r, ok := old.fromRecord(record)
	if !ok {
		return fmt.Errorf("no rule decided the request: %s: %s", quoteUnprintable(record.Decision), quoteUnprintable(record.Reason))
	}
	if !c.JSON {
		if _, err := fmt.Fprintf(w.stdout, "%s: it was %s: %s\n", record.Time.Format(time.RFC3339), quoteUnprintable(record.Decision), quoteUnprintable(record.Reason)); err != nil {
			return err
		}
	}
	for _, cookie := range record.RefusedCookies {
		if _, err := fmt.Fprintf(w.stderr, "note: the cookie %s did not count: %s\n", quoteUnprintable(cookie.Name), quoteUnprintable(cookie.Reason)); err != nil {
			return err
		}
	}
	if _, same := old[record.Generation]; !same {
		if _, err := fmt.Fprintln(w.stderr, "note: other policies were in force then; this is what these say of it"); err != nil {
			return err
		}
	}
	missing := analysis.Missing(set, r)
	if len(missing) > 0 {
		if _, err := fmt.Fprintf(w.stderr, "note: the record does not hold %s; what depends on it may have been otherwise\n", strings.Join(missing, ", ")); err != nil {
			return err
		}
	}
	return explain(w, p, set, r.Request(), c.JSON)
}

// explanation is that of the policies, and how the upstream is, where a server runs that knows it.
type explanation struct {
	analysis.Explanation
	State *upstreamState `json:"upstream_state,omitempty"`
}

// explain prints the explanation of a request.
func explain(w *commandEnv, p policySet, set *policies.Set, q policies.Request, asJSON bool) error {
	e := explanation{Explanation: analysis.Explain(set, q)}
	e.State = askUpstreamState(w.ctx, p.cfg, e.Upstream)
	if asJSON {
		return printJSON(w.stdout, e)
	}
	_, err := fmt.Fprint(w.stdout, e.Text(), e.State.text())
	return err
}

// request is the request that the flags describe.
func (c *policyExplainCommand) request(w *commandEnv, p policySet) (q policies.Request, err error) {
	q = policies.Request{Method: c.Method, Now: time.Now(), Header: policies.Fields{}}
	rest, ok := strings.CutPrefix(c.URL, "https://")
	if !ok {
		return q, usageError{fmt.Errorf("the URL begins with https://, found %q", c.URL)}
	}
	q.Host, q.Target, _ = strings.Cut(rest, "/") // as it is: what a URL parser makes of it is not what a client sends
	q.Target = "/" + q.Target
	if c.At != "" {
		if q.Now, err = time.Parse(time.RFC3339, c.At); err != nil {
			return q, usageError{fmt.Errorf("--at is a moment like 2030-01-02T15:04:05Z, found %q", c.At)}
		}
	}
	if c.IP != "" {
		if q.Client, err = netip.ParseAddr(c.IP); err != nil {
			return q, usageError{fmt.Errorf("--ip is an address, found %q", c.IP)}
		}
	}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		canonical, good := request.CanonicalHeader(strings.TrimSpace(name))
		if !ok || !good {
			return q, usageError{fmt.Errorf("-H is NAME:VALUE, found %q", line)}
		}
		q.Header[canonical] = append(q.Header[canonical], strings.TrimSpace(value))
	}
	if q.Identity, err = c.identity(w, p, q.Now); err != nil {
		return q, err
	}
	if q.Identity != nil && !q.Identity.Bearer && q.Header["Origin"] == nil && q.Header["Sec-Fetch-Site"] == nil {
		q.Header["Sec-Fetch-Site"] = []string{"same-origin"} // what the site's own pages send
	}
	return q, nil
}

// identity is who asks; nil if anonymous.
func (c *policyExplainCommand) identity(w *commandEnv, p policySet, now time.Time) (*policies.Identity, error) {
	if c.As == "" {
		return nil, nil
	}
	id := &policies.Identity{
		Issuer: token.OwnIssuer, AMR: []string{"mfa", "pwd"}, AuthTime: now, Bearer: c.By == "bearer",
		IssuedAt: now, Expires: now.Add(15 * time.Minute), Claims: jsonClaims{},
	}
	if strings.HasSuffix(c.As, ".json") {
		if err := readClaims(id, c.As, now); err != nil {
			return nil, err
		}
	} else {
		c.lookupUser(w, p, id)
	}
	if c.AuthAge != "" {
		age, err := strictyaml.ParseDuration(c.AuthAge)
		if err != nil {
			return nil, usageError{fmt.Errorf("--auth-age: %w, found %q", err, c.AuthAge)}
		}
		id.AuthTime = now.Add(-age.Std())
	}
	if c.Roles != nil {
		id.Roles = c.Roles
	}
	if c.Email != "" {
		id.Email, id.EmailVerified = c.Email, true
	}
	if c.AMR != nil {
		id.AMR = c.AMR
	}
	if c.MFAAge != "" {
		age, err := strictyaml.ParseDuration(c.MFAAge)
		if err != nil {
			return nil, usageError{fmt.Errorf("--mfa-age: %w, found %q", err, c.MFAAge)}
		}
		id.MFATime = now.Add(-age.Std())
	}
	slices.Sort(id.Roles)
	return id, nil
}

// lookupUser fills in what is known of a user: from the identity provider, where one runs here.
func (c *policyExplainCommand) lookupUser(w *commandEnv, p policySet, id *policies.Identity) {
	id.User, id.Subject = c.As, c.As
	if issuer, _, foreign := strings.Cut(c.As, ":"); foreign {
		id.Issuer = issuer
		return
	}
	if c.Roles != nil || p.cfg == nil || p.cfg.IDP == nil || p.cfg.State == "" {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, waitTimeout)
	defer cancel()
	u, err := callServer[idp.User](ctx, p.cfg.State, "user/show", administration.UserName{Name: c.As})
	if err != nil {
		_, _ = fmt.Fprintf(w.stderr, "note: what the identity provider knows of %s cannot be asked for (%v); give --roles and --email\n", c.As, err)
		return
	}
	id.Subject, id.Email, id.EmailVerified, id.Name, id.Roles = u.ID, u.Email, true, u.FullName, u.Roles
}

// readClaims takes over the claims of our own identity provider's tokens, under the names that those have, and issuer: the
// issuer's name in the configuration. What they do not say is not known, as with a token.
func readClaims(id *policies.Identity, name string, now time.Time) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading the claims: %w", err)
	}
	claims := jsonClaims{}
	if err := json.Unmarshal(data, &claims); err != nil {
		return fmt.Errorf("%s: not an object of claims: %w", name, err)
	}
	var known struct {
		Subject       string   `json:"sub"`
		User          string   `json:"preferred_username"`
		Issuer        string   `json:"issuer"`
		Email         string   `json:"email"`
		EmailVerified *bool    `json:"email_verified"`
		Roles         []string `json:"roles"`
		AMR           []string `json:"amr"`
		Session       string   `json:"sid"`
		AuthTime      *float64 `json:"auth_time"`
		IssuedAt      *float64 `json:"iat"`
		Expires       *float64 `json:"exp"`
	}
	if err := json.Unmarshal(data, &known); err != nil {
		return fmt.Errorf("%s: a claim is of another type than in a token: %w", name, err)
	}
	if known.User == "" {
		return fmt.Errorf("%s: preferred_username is missing", name)
	}
	id.User, id.Subject, id.Email, id.Session, id.Roles, id.Claims = known.User, known.Subject, known.Email, known.Session, known.Roles, claims
	id.EmailVerified = known.Email != "" && (known.EmailVerified == nil || *known.EmailVerified)
	if known.Issuer != "" && known.Issuer != token.OwnIssuer {
		id.Issuer = known.Issuer
		id.User = id.Issuer + ":" + strings.TrimPrefix(id.User, id.Issuer+":")
	}
	id.AMR, id.AuthTime = known.AMR, time.Time{}
	for from, to := range map[*float64]*time.Time{known.AuthTime: &id.AuthTime, known.IssuedAt: &id.IssuedAt, known.Expires: &id.Expires} {
		if from != nil {
			*to = time.Unix(int64(*from), 0)
		}
	}
	if !id.Expires.After(now) {
		return fmt.Errorf("%s: the token expired at %s, and is worth nothing since; --at names another moment", name, id.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
