package generation

import (
	"net/http"
	"net/url"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// LoginWarnings say that the login page is on a host whose policy shows it to nobody who has to sign in.
func (gen *Generation) LoginWarnings(now time.Time) strictyaml.Errors {
	l := gen.Config.Login
	if l == nil || l.URL == "" || gen.Policies == nil {
		return nil
	}
	page, err := url.Parse(l.URL)
	if err != nil {
		return nil
	}
	answer, err := gen.Policies.Decide(&policies.Request{
		Method: http.MethodGet, Host: page.Hostname(), Target: page.RequestURI(), Header: policies.Fields{}, Now: now,
	})
	if err != nil || answer.Kind != policies.Routed || answer.Outcome == policies.Allow {
		return nil // not ours, or shown
	}
	return strictyaml.Errors{{
		Place: l.Places.Of("url"),
		Msg:   "the policy of " + string(answer.Name) + " does not show " + page.EscapedPath() + " to whoever is to sign in there (" + answer.Reason + "); allow it to the public",
	}}
}
