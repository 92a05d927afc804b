package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/token"
)

// tokenReport is what `token explain` prints: as JSON, or as text.
type tokenReport struct {
	Accepted  bool         `json:"accepted"`
	Passed    []string     `json:"passed"`            // checks
	Failed    string       `json:"failed,omitempty"`  // the check that failed
	Reason    string       `json:"reason,omitempty"`  // in the word of records and metrics
	Error     string       `json:"error,omitempty"`   // for people
	Issuer    string       `json:"issuer,omitempty"`  // the configured name
	Key       string       `json:"key,omitempty"`     // that has signed it; "secret" for a shared one
	Carried   []string     `json:"carried,omitempty"` // where the issuer's tokens count
	ISS       string       `json:"iss,omitempty"`     // what the token says from here on
	Audience  []string     `json:"aud,omitempty"`
	Algorithm string       `json:"alg,omitempty"`
	Type      string       `json:"typ,omitempty"`
	KeyID     string       `json:"kid,omitempty"`
	Person    *tokenPerson `json:"person,omitempty"` // who it would be, by the issuer's rules
	Needs     []string     `json:"needs,omitempty"`  // what the configuration, or the token, would need
	Server    string       `json:"server,omitempty"` // what the running server makes of it: accepted, or why not
}

type tokenPerson struct {
	Subject       string    `json:"subject"`
	User          string    `json:"user"`
	Email         string    `json:"email,omitempty"`
	EmailVerified bool      `json:"email_verified,omitempty"`
	Name          string    `json:"name,omitempty"`
	Session       string    `json:"session,omitempty"`
	Roles         []string  `json:"roles"`
	IssuedAt      time.Time `json:"issued_at"`
	Expires       time.Time `json:"expires"`
}

// newTokenReport tells an explanation; fetching is what went wrong with key sets.
func newTokenReport(cfg *config.Config, e *token.Explanation, fetching error) *tokenReport {
	r := &tokenReport{
		Accepted: e.Failed == "", Passed: append([]string{}, e.Passed...), Failed: e.Failed, Reason: token.Reason(e.Err), Issuer: e.Issuer, Key: e.Key,
		ISS: e.ISS, Audience: e.Audience, Algorithm: e.Algorithm, Type: e.Type, KeyID: e.KeyID,
	}
	if e.Err != nil {
		r.Error = strings.TrimPrefix(e.Err.Error(), "token: ")
	}
	if p := e.Person; p != nil {
		r.Person = &tokenPerson{
			Subject: p.Subject, User: p.User, Email: p.Email, EmailVerified: p.EmailVerified, Name: p.Name, Session: p.Session,
			Roles: append([]string{}, p.Roles...), IssuedAt: p.IssuedAt.UTC(), Expires: p.Expires.UTC(),
		}
	}
	issuer := issuerNamed(cfg, e.Issuer)
	if e.Issuer != "" {
		r.Carried = append(r.Carried, "Authorization: Bearer")
	}
	switch {
	case issuer == nil && e.Issuer != "":
		r.Carried = append(r.Carried, "the cookie "+cfg.Tokens.Cookie)
	case issuer != nil:
		if issuer.Cookie != "" {
			r.Carried = append(r.Carried, "the cookie "+issuer.Cookie)
		}
		if issuer.Header != "" {
			r.Carried = append(r.Carried, "the header "+string(issuer.Header))
		}
		if sharesSecret(issuer) && r.Accepted {
			r.Key = "secret"
		}
	}
	r.Needs = tokenNeeds(issuer, e, fetching)
	return r
}

// issuerNamed is the configured issuer of that name; nil for our own.
func issuerNamed(cfg *config.Config, name string) *config.Issuer {
	for i := range cfg.Tokens.Issuers {
		if cfg.Tokens.Issuers[i].Name == name {
			return &cfg.Tokens.Issuers[i]
		}
	}
	return nil
}

// sharesSecret reports whether the issuer signs with a secret that the configuration has too.
func sharesSecret(i *config.Issuer) bool { return i.Secret != "" || len(i.Secrets) > 0 }

// tokenNeeds is what would have to be otherwise for the token to count, or to bring roles.
func tokenNeeds(issuer *config.Issuer, e *token.Explanation, fetching error) (needs []string) {
	add := func(format string, a ...any) { needs = append(needs, fmt.Sprintf(format, a...)) }
	secret := issuer != nil && sharesSecret(issuer)
	switch e.Failed {
	case token.CheckForm:
		if errors.Is(e.Err, token.ErrUnknownIssuer) {
			add("a JWT: what is opaque or encrypted is no sign-in here; beside a cookie, a route with bearer: pass sends it to its backend")
		}
	case token.CheckIssuer:
		if errors.Is(e.Err, token.ErrUnknownIssuer) {
			add("%s", newIssuer(e))
		}
	case token.CheckKey:
		switch {
		case errors.Is(e.Err, token.ErrUnknownKey), errors.Is(e.Err, token.ErrKeyPending):
			add("a key of the id %s in the key set of %s (jwks: says where that is)", quoted(e.KeyID), e.Issuer)
		case errors.Is(e.Err, token.ErrKeysNotLoaded) && issuer == nil:
			add("a running server: it has the keys of our own identity provider")
		case errors.Is(e.Err, token.ErrKeysNotLoaded):
			add("the key set of %s, which could not be fetched: %v", e.Issuer, fetching)
		case secret:
			add("algorithm: %s on the issuer %s, if it signs so", quoted(e.Algorithm), e.Issuer)
		default:
			add("a key for the algorithm %s in the key set of %s", quoted(e.Algorithm), e.Issuer)
		}
	case token.CheckSignature:
		if secret {
			add("the secret that the issuer signs with: secret: on the issuer %s is another one", e.Issuer)
		} else {
			add("a signature of the key that the issuer %s publishes under this kid", e.Issuer)
		}
	case token.CheckAudience:
		switch {
		case issuer == nil:
			add("tokens.audience: %s", quotedList(e.Audience))
		case token.Reason(e.Err) == "client":
			add("the token's client among the client_ids of the issuer %s", e.Issuer)
		case len(e.Audience) == 0:
			add("an aud in the token, or audience: none with client_ids: on the issuer %s, if its tokens never have one", e.Issuer)
		default:
			add("audience: %s on the issuer %s, if that means this site; it has %s", quotedList(e.Audience), e.Issuer, quotedList(issuer.Audience))
		}
	case token.CheckClaims:
		if token.Reason(e.Err) == "not-a-user" {
			add("another claim for claims: { user: … } on the issuer %s, or none: then its subject is who it is", e.Issuer)
		}
	case token.CheckTimes, token.CheckRevocation:
		add("a fresh token")
	}
	if e.Person != nil && len(e.Person.Roles) == 0 && issuer != nil && len(e.Lists) > 0 {
		if len(issuer.Claims.Roles) == 0 {
			add("claims: { roles: … } on the issuer %s for roles; lists are in %s", e.Issuer, quotedList(e.Lists))
		} else {
			add("roles in the claim %s, which brings none; lists are in %s", quoted(strings.Join(issuer.Claims.Roles, ".")), quotedList(e.Lists))
		}
	}
	return needs
}

// newIssuer is the entry that a configuration would need for whoever made the token.
func newIssuer(e *token.Explanation) string {
	shared := strings.HasPrefix(e.Algorithm, "HS")
	switch {
	case e.ISS == "" && shared:
		return "tokens.issuers: [ { name: NAME, secret: \"${SECRET}\", algorithm: " + quoted(e.Algorithm) + ", claims: { user: CLAIM } } ]"
	case e.ISS == "":
		return "an iss in the token: only an issuer with a shared secret may leave it out"
	case shared:
		return fmt.Sprintf("tokens.issuers: [ { name: NAME, issuer: %q, audience: %s, secret: \"${SECRET}\", algorithm: %s } ]", e.ISS, quotedList(e.Audience), quoted(e.Algorithm))
	}
	return fmt.Sprintf("tokens.issuers: [ { name: NAME, issuer: %q, audience: %s } ]", e.ISS, quotedList(e.Audience))
}

// quoted is a text of the token that may go to a terminal.
func quoted(s string) string { return cmp.Or(quoteUnprintable(s), `""`) }

func quotedList(list []string) string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = quoted(s)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// text is the report for people.
func (r *tokenReport) text() string {
	var b strings.Builder
	line := func(key, format string, a ...any) { fmt.Fprintf(&b, "%-9s %s\n", key, fmt.Sprintf(format, a...)) }
	if r.Accepted {
		line("token", "it counts")
	} else {
		line("token", "it does not count: %s: %s", r.Failed, quoteUnprintable(r.Error))
	}
	line("passed", "%s", cmp.Or(strings.Join(r.Passed, ", "), "nothing"))
	switch {
	case r.Issuer != "":
		line("issuer", "%s (iss %s)", r.Issuer, quoted(r.ISS))
	case r.Failed != token.CheckForm:
		line("issuer", "none that is configured (iss %s)", quoted(r.ISS))
	}
	if r.Algorithm != "" {
		line("header", "alg %s, typ %s, kid %s", quoted(r.Algorithm), quoted(r.Type), quoted(r.KeyID))
		line("audience", "%s", quotedList(r.Audience))
	}
	if r.Key != "" {
		line("key", "%s", quoted(r.Key))
	}
	if p := r.Person; p != nil {
		line("user", "%s", p.User)
		line("subject", "%s", p.Subject)
		if p.Email != "" {
			line("email", "%s (%s)", p.Email, map[bool]string{true: "verified", false: "not verified"}[p.EmailVerified])
		}
		line("roles", "%s", cmp.Or(strings.Join(p.Roles, ", "), "none"))
		line("times", "issued %s, expires %s", formatTime(p.IssuedAt), formatTime(p.Expires))
	}
	for _, carried := range r.Carried {
		line("counts in", "%s", carried)
	}
	if r.Server != "" {
		line("server", "the running server says: %s", r.Server)
	}
	for _, need := range r.Needs {
		line("needs", "%s", need)
	}
	return b.String()
}
