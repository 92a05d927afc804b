package policies

import (
	"slices"
	"testing"
)

func TestShippedPoliciesCompileForAnyDomain(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"viloforge.com", "viloforge.localhost", "example.test"} {
		files, err := ShippedFor(domain)
		if err != nil {
			t.Fatal(err)
		}
		set, err := Compile(files, Options{
			Domain: domain, LoginHost: "login." + domain, PublicPort: 8443,
			Upstreams: []string{"website", "billing", "inventory"}, Issuers: []string{"vilogate"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"billing-api." + domain, "inventory-api." + domain, "website." + domain}
		if got := set.Hosts(); !slices.Equal(got, want) {
			t.Errorf("hosts %q, want %q", got, want)
		}
		for _, host := range want[:2] {
			cors := set.exact[host].CORS
			if !cors.AllowsOrigin("https://website."+domain+":8443") || cors.AllowsOrigin("https://website."+domain) || !cors.Credentials {
				t.Errorf("%s: %+v", host, cors)
			}
		}
	}
	if _, err := ShippedFor("not a domain"); err == nil {
		t.Error("a domain with a space was taken")
	}
}
