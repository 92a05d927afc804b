package policies

import "testing"

// TestHopByHopHeadersThatAPolicyReads, as the gateway does: a header that Connection names is not what the backend gets.
func TestHopByHopHeadersThatAPolicyReads(t *testing.T) {
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
		if got := ask(h, Request{Method: "GET", Host: "website.viloforge.com", Target: c.target, Header: header}); got.Outcome != c.want {
			t.Errorf("%s %q: %v, %s", c.target, c.connection, got.Outcome, got.Reason)
		}
	}
}

// ask is the decision about a request, who asks being known.
func ask(decider interface {
	Decide(*Request) (Answer, error)
}, q Request,
) Answer {
	a, err := decider.Decide(&q)
	if err != nil {
		panic(err) // there is no Authenticator
	}
	return a
}

// whole is all that the routes say of a request that matched.
func (m Match) whole(f Facts, id *Identity) Decision {
	if reason := m.ambiguity(f); reason != "" {
		return Decision{Outcome: BadRequest, Reason: reason, Place: m.Place, Route: m.Route}
	}
	return m.decide(f, id)
}
