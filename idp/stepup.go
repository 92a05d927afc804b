package idp

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authRequirements is what the authentication request parameters of OpenID Connect ask for beyond an active session: max_age (seconds since
// the login), prompt=login and prompt=select_account, and acr_values with mfa in it.
type authRequirements struct {
	maxAge         time.Duration // of the login; with any
	reauthenticate bool          // a login of some age only
	mfa            bool
	selectAccount  bool // a login as somebody else
}

// parseAuthRequirements reads what the query of a login URL asks for. What cannot be understood asks for a login just now.
func parseAuthRequirements(query string) authRequirements {
	values, err := url.ParseQuery(query)
	if err != nil {
		return authRequirements{} // no parameter of ours can be read in it
	}
	var d authRequirements
	for _, prompt := range values["prompt"] {
		if slices.Contains(strings.Fields(prompt), "login") {
			d.reauthenticate = true
		}
		d.selectAccount = d.selectAccount || slices.Contains(strings.Fields(prompt), "select_account")
	}
	for i, age := range values["max_age"] {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			seconds = 0
		}
		if limit := time.Duration(seconds) * time.Second; i == 0 && !d.reauthenticate || limit < d.maxAge {
			d.maxAge = limit
		}
		d.reauthenticate = true
	}
	for _, acr := range values["acr_values"] {
		d.mfa = d.mfa || slices.Contains(strings.Fields(acr), "mfa")
	}
	return d
}

// errNoSecondFactor explains what cannot be done yet. Sending people back would have them come again.
var errNoSecondFactor = &refusal{
	status: http.StatusForbidden, kind: "second-factor", title: "A second factor is needed",
	detail: "The page that you came from asks for a second factor, such as a security key or a code, and people cannot have one here yet. Whoever runs that page can tell you more.",
}

// needsReauthentication reports whether a fresh login is required (step-up), and whose session it is.
func (x *exchange) needsReauthentication(secret sessionSecret, required authRequirements) (user string, reauthenticate bool, err error) {
	if !required.reauthenticate {
		return "", false, nil
	}
	l, err := x.idp.directory.findSession(x.r.Context(), secret)
	if err != nil {
		return "", false, err
	}
	return l.User, x.idp.o.Now().Sub(l.AuthTime) > required.maxAge || required.maxAge == 0, nil
}

// recentLogin is how old a login may be that ends other sessions than its own: whoever finds a browser open keeps nobody out.
const recentLogin = 15 * time.Minute

// needsRecentLogin reports whether the login is too old to end other sessions with.
func (x *exchange) needsRecentLogin(l activeSession) bool {
	return x.idp.o.Now().Sub(l.AuthTime) > recentLogin
}
