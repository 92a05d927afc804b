package analysis

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// options reports what two routes say differently beside who may.
func (d *differ) options(group methodGroup, b, a *policies.Route) {
	if b == nil || a == nil {
		return
	}
	was, is := append(optionsOf(b), credentialsOf(b, a)), append(optionsOf(a), credentialsOf(a, b))
	for i, option := range was {
		if option.value == is[i].value {
			continue
		}
		change := OptionChange{
			Host: d.name, Pattern: a.Pattern, Methods: group.methods, Option: option.name,
			From: option.value, To: is[i].value, Place: a.Place.String(),
		}
		if !slices.ContainsFunc(d.report.Options, func(o OptionChange) bool {
			return o.Place == change.Place && o.Option == change.Option && o.From == change.From && slices.Equal(o.Methods, change.Methods)
		}) {
			d.report.Options = append(d.report.Options, change)
		}
	}
}

// hostOptions reports what two policies of a host say differently about all of it.
func (d *differ) hostOptions() {
	if d.before == nil || d.after == nil {
		return
	}
	was, is := optionsOfHost(d.before), optionsOfHost(d.after)
	for i, option := range was {
		if option.value != is[i].value {
			d.report.Options = append(d.report.Options, OptionChange{
				Host: d.name, Methods: []string{everyMethod}, Option: option.name, From: option.value, To: is[i].value, Place: d.after.Place.String(),
			})
		}
	}
}

func optionsOfHost(h *policies.HostPolicy) []option {
	tls := "none"
	if h.TLS != nil {
		tls = fmt.Sprintf("at least %#04x, client_ca %q", h.TLS.MinVersion, h.TLS.ClientCA)
	}
	return []option{{"upstream", h.Upstream}, {"tls", tls}, {"paths", cmp.Or(h.Paths(), "case-sensitive")}}
}

type option struct{ name, value string }

// optionsOf are the options of a route as texts.
func optionsOf(r *policies.Route) []option {
	rate, cors := "none", "none"
	if r.Rate != nil {
		rate = r.Rate.String()
	}
	if c := r.CORS; c != nil {
		cors = fmt.Sprintf("origins %v, credentials %t, methods %v, headers %v, exposed %v, max age %s",
			c.AllOrigins(), c.Credentials, c.Methods, c.Headers, c.Exposed, strictyaml.Duration(c.MaxAge))
	}
	return []option{
		{"bearer", map[bool]string{true: "pass", false: "verify"}[r.BearerPass]},
		{"rate", rate},
		{"max_body", orNone(r.MaxBody, strictyaml.Size(r.MaxBody).String())},
		{"timeout", orNone(int64(r.Timeout/time.Nanosecond), strictyaml.Duration(r.Timeout).String())},
		{"cors", cors},
		{"csrf", fmt.Sprintf("exempt %v", r.CSRFExempt)},
		{"strip_prefix", textOrNone(r.StripPrefix)},
		{"rewrite_host", textOrNone(r.RewriteHost)},
		{"headers", fmt.Sprintf("%q", r.Headers)},
		{"websocket", fmt.Sprint(r.WebSocket)},
		{"on_stale", fmt.Sprint(r.OnStaleAllow)},
		{"connection_auth", map[bool]string{true: "allow", false: "refuse"}[r.ConnectionAuth]},
		{"streams", map[bool]string{true: "keep", false: "end"}[r.KeepStreams]},
		{"stream", fmt.Sprint(r.StreamBodies)},
		{"method_override", fmt.Sprint(r.MethodOverridePass)},
		{"default_cache_control", cmp.Or(r.DefaultCacheControl, "as is right for who may")},
	}
}

// credentialsOf is what becomes of a bad credential, of two routes that are for everybody: a public one does not mind it.
func credentialsOf(r, other *policies.Route) option {
	o := option{name: "credentials"}
	switch {
	case r.Public() && other.Optional:
		o.value = "bad or stale ones are ignored (public)"
	case r.Optional && other.Public():
		o.value = "bad or stale ones are refused (optional)"
	}
	return o
}

func orNone(n int64, written string) string {
	if n == 0 {
		return "none"
	}
	return written
}

func textOrNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// describeIdentity is a person as tests write them; nil if anonymous.
func describeIdentity(p *person) *ExampleIdentity {
	if p.anonymous {
		return nil
	}
	id := &p.id
	e := &ExampleIdentity{User: id.User, Issuer: id.Issuer, Roles: id.Roles, Email: id.Email, AMR: id.AMR, By: "cookie"}
	if id.Bearer {
		e.By = "bearer"
	}
	if !id.AuthTime.IsZero() {
		e.AuthAge = strictyaml.Duration(p.now.Sub(id.AuthTime)).String()
	}
	if !id.MFATime.IsZero() {
		e.MFAAge = strictyaml.Duration(p.now.Sub(id.MFATime)).String()
	}
	for name, value := range id.Claims.(fixedClaims) {
		if e.Claims == nil {
			e.Claims = map[string]any{}
		}
		e.Claims[name] = value
	}
	return e
}

// String is somebody as tests write them, { user: alice, roles: [a] }.
func (e *ExampleIdentity) String() string {
	if e == nil {
		return "nobody"
	}
	parts := []string{"user: " + quoted(e.User)}
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+": "+quoted(value))
		}
	}
	if !strings.HasPrefix(e.User, e.Issuer+":") && e.Issuer != "vilogate" {
		add("issuer", e.Issuer)
	}
	if len(e.Roles) > 0 {
		parts = append(parts, "roles: ["+strings.Join(e.Roles, ", ")+"]")
	}
	add("email", e.Email)
	if len(e.AMR) > 0 {
		parts = append(parts, "amr: ["+strings.Join(e.AMR, ", ")+"]")
	}
	for _, name := range sortedKeys(e.Claims) {
		parts = append(parts, fmt.Sprintf("claims: { %s: %v }", name, e.Claims[name]))
	}
	add("auth_age", e.AuthAge)
	add("mfa_age", e.MFAAge)
	if e.By == "bearer" {
		add("by", e.By)
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func quoted(s string) string {
	if strings.ContainsAny(s, ":#") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
