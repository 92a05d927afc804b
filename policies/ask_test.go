package policies

import "testing"

// TestAskRefusesWhatEndsAtTheGateway, as the gateway does: a header that Connection names is not what the backend gets.
func TestAskRefusesWhatEndsAtTheGateway(t *testing.T) {
	t.Parallel()
	h := compile(t, `
host: website.viloforge.com
upstream: website
routes:
  - { path: /reads, allow: { optional: true, when: 'request.headers["x-tenant"] == "gold"' } }
  - { path: /other, allow: public }
`)
	for _, c := range []struct {
		target     string
		connection []string
		want       Outcome
	}{
		{"/reads", nil, Allow},
		{"/reads", []string{"close, X-Tenant-2"}, Allow},
		{"/reads", []string{"close", "keep-alive,x-tenant"}, BadRequest},
		{"/reads", []string{"X_Tenant"}, BadRequest},
		{"/other", []string{"X-Tenant"}, Allow},
	} {
		header := Fields{"X-Tenant": {"gold"}}
		if c.connection != nil {
			header["Connection"] = c.connection
		}
		if got := h.Ask(Request{Method: "GET", Host: "website.viloforge.com", Target: c.target, Header: header}); got.Outcome != c.want {
			t.Errorf("%s %q: %v, %s", c.target, c.connection, got.Outcome, got.Reason)
		}
	}
}
