package policies

import (
	"net/netip"
	"testing"
	"time"
)

const conditional = `
host: website.viloforge.com
upstream: website
routes:
  - { path: /domain, allow: { email_domains: [viloforge.com, example.org] } }
  - { path: /claim, allow: { claims: { department: finance, level: [3, 4.5], contractor: false } } }
  - { path: /group, allow: { claims: { groups: [ops, "7"] } } }
  - { path: /network, allow: { networks: [10.0.0.0/8, "fd00::/8", 192.0.2.7] } }
  - { path: /network/optional, allow: { networks: [10.0.0.0/8], optional: true } }
  - { path: /network/not, allow: { not: { networks: [10.0.0.0/8] } } }
  - { path: /network/other, allow: { any: [{ not: { networks: [10.0.0.0/8] } }, { roles: [a] }] } }
  - { path: /optional, allow: optional }
  - { path: /amr, allow: { amr: [hwk] } }
  - { path: /amr/mfa, allow: { amr: [mfa, hwk] } }
  - { path: /mfa, allow: { mfa: 15m, roles: [admin] } }
  - { path: /age, allow: { max_age: 1h } }
  - { path: /either, allow: { any: [{ mfa: 15m }, { networks: [10.0.0.0/8], roles: [member] }] } }
  - { path: /unless, allow: { not: { roles: [guest] } } }
  - { path: /twice, allow: { not: { not: { mfa: 15m } } } }
  - { path: /not/fresh, allow: { not: { mfa: 15m } } }
  - { path: /machine, allow: { any: [{ bearer: only }, { mfa: 15m }] } }
  - { path: /all, allow: { all: [{ roles: [admin] }, { any: [{ users: [alice] }, { users: [bob] }] }], not: { users: [bob] } } }
`

// claimsOf are the claims of a token as encoding/json reads them.
type claimsOf map[string]any

func (c claimsOf) Claim(name string) (any, bool) { v, ok := c[name]; return v, ok }

func TestConditions(t *testing.T) { // not parallel, for it counts allocations
	h := compile(t, conditional)
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	finance := claimsOf{"department": "finance", "level": 4.5, "contractor": false}
	for _, c := range []struct {
		path   string
		client string
		id     *Identity
		want   Outcome
	}{
		{"/domain", "", &Identity{Email: "a@ViloForge.com", EmailVerified: true}, Allow},
		{"/domain", "", &Identity{Email: "a@viloforge.com"}, Deny},
		{"/domain", "", &Identity{Email: "a@evil.viloforge.com", EmailVerified: true}, Deny},
		{"/domain", "", &Identity{Email: "a@evil.example@viloforge.com", EmailVerified: true}, Deny},
		{"/domain", "", &Identity{Email: "a@viloforge.com@evil.example", EmailVerified: true}, Deny},
		{"/domain", "", &Identity{Email: "@viloforge.com", EmailVerified: true}, Deny},
		{"/domain", "", &Identity{Email: "viloforge.com", EmailVerified: true}, Deny},
		{"/domain", "", &Identity{Email: "a@exampl\u0435.org", EmailVerified: true}, Deny},
		{"/domain", "", nil, Login},
		{"/claim", "", &Identity{Claims: finance}, Allow},
		{"/claim", "", &Identity{}, Deny},
		{"/claim", "", &Identity{Claims: claimsOf{"department": "finance", "level": 3.0, "contractor": "false"}}, Deny},
		{"/claim", "", &Identity{Claims: claimsOf{"department": "finance", "level": "3", "contractor": false}}, Deny},
		{"/claim", "", &Identity{Claims: claimsOf{"department": nil, "level": 3.0, "contractor": false}}, Deny},
		{"/claim", "", &Identity{Claims: claimsOf{"Department": "finance", "level": 3.0, "contractor": false}}, Deny},
		{"/group", "", &Identity{Claims: claimsOf{"groups": []any{"dev", "ops"}}}, Allow},
		{"/group", "", &Identity{Claims: claimsOf{"groups": "ops"}}, Allow},
		{"/group", "", &Identity{Claims: claimsOf{"groups": []any{7.0, []any{"ops"}}}}, Deny},
		{"/group", "", &Identity{Claims: claimsOf{"groups": map[string]any{"ops": true}}}, Deny},
		{"/network", "10.1.2.3", &Identity{}, Allow},
		{"/network", "::ffff:10.1.2.3", &Identity{}, Allow},
		{"/network", "fd12::1%eth0", &Identity{}, Allow},
		{"/network", "192.0.2.7", &Identity{}, Allow},
		{"/network", "192.0.2.8", &Identity{}, Deny},
		{"/network", "", &Identity{}, Deny},
		{"/network", "10.1.2.3", nil, Login},
		{"/network/optional", "10.1.2.3", nil, Allow},
		{"/network/optional", "11.1.2.3", nil, Login},
		{"/network/optional", "11.1.2.3", &Identity{}, Deny},
		{"/network/optional", "", nil, Login},
		{"/network/not", "11.1.2.3", &Identity{}, Allow},
		{"/network/not", "10.1.2.3", &Identity{}, Deny},
		{"/network/not", "", &Identity{}, Deny},
		{"/network/other", "", &Identity{}, Deny},
		{"/network/other", "", &Identity{Roles: []string{"a"}}, Allow},
		{"/optional", "", nil, Allow},
		{"/optional", "", &Identity{}, Allow},
		{"/amr", "", &Identity{AMR: []string{"pwd", "hwk"}}, Allow},
		{"/amr", "", &Identity{AMR: []string{"pwd", "mfa"}}, Deny},
		{"/amr/mfa", "", &Identity{AMR: []string{"pwd"}}, StepUp},
		{"/amr/mfa", "", &Identity{AMR: []string{"pwd", "mfa"}}, Allow},
		{"/mfa", "", &Identity{Roles: []string{"admin"}, MFATime: ago(15 * time.Minute)}, Allow},
		{"/mfa", "", &Identity{Roles: []string{"admin"}, MFATime: ago(15*time.Minute + 1)}, StepUp},
		{"/mfa", "", &Identity{Roles: []string{"admin"}}, StepUp},
		{"/mfa", "", &Identity{Roles: []string{"member"}}, Deny}, // a second factor would not help
		{"/mfa", "", &Identity{Roles: []string{"admin"}, AMR: []string{"mfa"}, AuthTime: ago(time.Minute)}, Allow},
		{"/mfa", "", &Identity{Roles: []string{"admin"}, AMR: []string{"mfa"}, AuthTime: ago(time.Hour)}, StepUp},
		{"/mfa", "", &Identity{Roles: []string{"admin"}, AMR: []string{"mfa"}, AuthTime: ago(time.Hour), MFATime: ago(time.Minute)}, Allow},
		{"/mfa", "", &Identity{Roles: []string{"admin"}, AMR: []string{"pwd"}, AuthTime: ago(time.Minute)}, StepUp},
		{"/mfa", "", nil, Login},
		{"/age", "", &Identity{AuthTime: ago(time.Hour)}, Allow},
		{"/age", "", &Identity{AuthTime: ago(2 * time.Hour)}, StepUp},
		{"/age", "", &Identity{}, StepUp}, // another issuer that did not say
		{"/either", "10.0.0.1", &Identity{Roles: []string{"member"}}, Allow},
		{"/either", "11.0.0.1", &Identity{Roles: []string{"member"}}, StepUp},
		{"/either", "", &Identity{MFATime: now}, Allow},
		{"/unless", "", &Identity{Roles: []string{"member"}}, Allow},
		{"/unless", "", &Identity{Roles: []string{"guest", "member"}}, Deny},
		{"/unless", "", nil, Login},
		{"/twice", "", &Identity{}, StepUp},
		{"/twice", "", &Identity{MFATime: now}, Allow},
		{"/not/fresh", "", &Identity{}, Allow},
		{"/not/fresh", "", &Identity{MFATime: now}, Deny},
		{"/machine", "", &Identity{Bearer: true}, Allow},
		{"/machine", "", &Identity{}, StepUp},
		{"/all", "", &Identity{User: "alice", Roles: []string{"admin"}}, Allow},
		{"/all", "", &Identity{User: "bob", Roles: []string{"admin"}}, Deny},
		{"/all", "", &Identity{User: "alice"}, Deny},
	} {
		f := Facts{Now: now, Method: "GET", Path: parsed(t, c.path)}
		if c.client != "" {
			f.Client = netip.MustParseAddr(c.client)
		}
		d := h.Match(f.Path, "GET").whole(f, c.id)
		if d.Outcome != c.want || d.Reason == "" || (d.Condition != nil) != (d.Outcome == Deny || d.Outcome == StepUp || d.Outcome == Login && c.path == "/network/optional") {
			t.Errorf("%s from %s as %+v: %v, %s (%+v); want %v", c.path, c.client, c.id, d.Outcome, d.Reason, d.Condition, c.want)
		}
		if n := testing.AllocsPerRun(10, func() { h.Match(f.Path, "GET").whole(f, c.id) }); n != 0 {
			t.Errorf("%s: %v allocations", c.path, n)
		}
	}
	if r := h.Match(parsed(t, "/machine"), "GET").Route; r.BearerOnly {
		t.Error("one of two ways does not make a route bearer: only")
	}
}

// TestReads: the facts that a record has to hold.
func TestReads(t *testing.T) {
	t.Parallel()
	h := compile(t, conditional)
	claim, network := h.Match(parsed(t, "/claim"), "GET").Route.Reads, h.Match(parsed(t, "/either"), "GET").Route.Reads
	if len(claim.Claims) != 3 || claim.Claims[0] != "contractor" || claim.Client || !network.Client {
		t.Errorf("%+v, %+v", claim, network)
	}
}

// TestReasonOfADenial is what a fresher login would not help against.
func TestReasonOfADenial(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
routes: [{ path: /, allow: { mfa: 15m, not: { roles: [guest] } } }]
`)
	f := Facts{Method: "GET", Path: parsed(t, "/")}
	for role, want := range map[string]string{"guest": "what must not hold does: roles: [guest]", "member": "no second factor within 15m"} {
		if d := h.Match(f.Path, "GET").whole(f, &Identity{Roles: []string{role}}); d.Reason != want || d.Condition == nil {
			t.Errorf("%s: %v, %s", role, d.Outcome, d.Reason)
		}
	}
}
