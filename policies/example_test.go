package policies_test

import (
	"fmt"
	"time"

	"github.com/viloforge/vilogate/policies"
)

const billing = `
host: billing-api.viloforge.com
upstream: billing
routes:
  - { path: /healthz, allow: public }
  - { path: /invoices, methods: [GET], allow: authenticated }
  - { path: "/invoices/:id/refund", methods: [POST], allow: { roles: [billing-admin], mfa: 15m } }
tests:
  - { get: /invoices, expect: login }
  - { post: /invoices/7/refund, as: { user: alice }, expect: deny }
`

// options are what the policies may name.
var options = policies.Options{
	Domain: "viloforge.com", LoginHost: "login.viloforge.com", PublicPort: 443, Upstreams: []string{"billing"}, Issuers: []string{"vilogate"},
}

// A request is decided on as the gateway does it, from the canonical form of its path to the reason.
func ExampleCompile() {
	set, err := policies.Compile([]policies.File{{Name: "billing.yaml", Data: []byte(billing)}}, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	now := time.Date(2030, 1, 2, 15, 0, 0, 0, time.UTC)
	bob := policies.Identity{Issuer: "vilogate", User: "bob", Subject: "u-2", Roles: []string{"billing-admin"}, AMR: []string{"pwd"}, AuthTime: now, Bearer: true}
	for _, who := range []*policies.Identity{nil, {Issuer: "vilogate", User: "alice", Subject: "u-1", Bearer: true}, &bob} {
		d, err := set.Decide(&policies.Request{
			Method: "POST", Host: "billing-api.viloforge.com", Target: "/invoices/7/refund", Now: now, Identity: who,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: %s (%s)\n", d.Outcome, d.Reason, d.Place)
	}
	// Output:
	// login: authentication required, and the request is anonymous (billing.yaml:7:5)
	// deny: none of the roles billing-admin (billing.yaml:7:5)
	// step-up: no second factor within 15m (billing.yaml:7:5)
}

// What is wrong is said all at once, each at its place.
func ExampleCompile_errors() {
	_, err := policies.Compile([]policies.File{{Name: "billing.yaml", Data: []byte(`
host: billing-api.viloforge.com
upstream: billing
routes:
  - { path: /invoices, alow: authenticated }
`)}}, options)
	fmt.Println(err)
	// Output:
	// billing.yaml:5:5: "allow" is missing
	// billing.yaml:5:24: unknown "alow", did you mean "allow"?
}

// Test runs the tests of policies, those that fail too; Compile refuses a file with one of them.
func ExampleTest() {
	more := policies.File{Name: "billing_test.yaml", Data: []byte(`
tests:
  - { get: /invoices/7, as: { user: alice }, expect: allow }
`)}
	_, results, err := policies.Test([]policies.File{{Name: "billing.yaml", Data: []byte(billing)}, more}, options)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		if r.Failure == "" {
			fmt.Println("ok  ", r.Name)
		} else {
			fmt.Printf("FAIL %s: %s (%s)\n", r.Name, r.Failure, r.Place)
		}
	}
	// Output:
	// ok   GET /invoices as nobody
	// ok   POST /invoices/7/refund as alice
	// FAIL GET /invoices/7 as alice: expected allow, got deny: no route matches this path (no route, billing.yaml:2:7) (billing_test.yaml:3:5)
}
