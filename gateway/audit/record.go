package audit

import (
	"encoding/json"
	"net/netip"
	"time"
)

// Version is the version of the schema that is written.
const Version = 1

// Record is what is remembered of one decision. The package's doc describes its members.
type Record struct {
	Version    int        `json:"v"`
	Time       time.Time  `json:"time"`
	RequestID  string     `json:"request_id"`
	Generation string     `json:"generation"`
	Client     netip.Addr `json:"client"`
	Host       string     `json:"host,omitempty"`
	Method     string     `json:"method"`
	Path       string     `json:"path,omitempty"`
	Route      string     `json:"route,omitempty"`
	Who        *Who       `json:"who,omitempty"`
	Facts      *Facts     `json:"facts,omitempty"`
	Decision   string     `json:"decision"`
	Reason     string     `json:"reason,omitempty"`
	Rule       string     `json:"rule,omitempty"`
	Shadow     []Shadow   `json:"shadow,omitempty"`
	// ForeignBearer: beside the cookie of who asked stood a Bearer token that no configured issuer could have made.
	ForeignBearer bool `json:"foreign_bearer,omitempty"`

	Kept     int64 `json:"kept,omitempty"`
	KeptSent int64 `json:"kept_sent,omitempty"`

	ForwardAuth string `json:"forward_auth,omitempty"`

	RefusedCookies []RefusedCookie `json:"refused_cookies,omitempty"`
	Latency        int64           `json:"latency_us"`
}

// Who is who asked.
type Who struct {
	Subject       string     `json:"subject"`
	Issuer        string     `json:"issuer"`
	User          string     `json:"user"`
	Email         string     `json:"email,omitempty"`
	EmailVerified bool       `json:"email_verified,omitempty"`
	Session       string     `json:"session,omitempty"`
	Roles         []string   `json:"roles,omitempty"`
	AMR           []string   `json:"amr,omitempty"`
	AuthTime      *time.Time `json:"auth_time,omitempty"`
	Credential    string     `json:"credential"` // "cookie", "header" or "bearer"
}

// The credentials of a Who.
const (
	ByCookie = "cookie"
	ByHeader = "header" // that a proxy before the gateway adds; it counts as a cookie
	ByBearer = "bearer"
)

// Facts are what a policy read besides the members of Record and Who.
type Facts struct {
	Headers  map[string][]string        `json:"headers,omitempty"`
	Claims   map[string]json.RawMessage `json:"claims,omitempty"`
	Withheld []string                   `json:"withheld,omitempty"`
}

// RefusedCookie is an SSO cookie that did not count, and why: expired, revoked,
// signature, unknown-key, audience, conflict, malformed, …
type RefusedCookie struct {
	Name   string `json:"name"`
	Issuer string `json:"issuer"` // whose tokens it carries
	Reason string `json:"reason"`
}

// Shadow is what another policy would have decided.
type Shadow struct {
	Decision   string `json:"decision"`
	Reason     string `json:"reason,omitempty"`
	Rule       string `json:"rule,omitempty"`
	Generation string `json:"generation,omitempty"`
}
