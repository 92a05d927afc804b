package idp

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// demand is what a login has to ask for beyond a session that lives, in the words of OpenID Connect: max_age (seconds since
// the login), prompt=login, and acr_values with mfa in it.
type demand struct {
	maxAge       time.Duration // of the login; with any
	any          bool          // a login of some age only
	secondFactor bool
}

// demandOf reads what the query of a login URL asks for. What cannot be understood asks for a login just now.
func demandOf(query string) demand {
	values, err := url.ParseQuery(query)
	if err != nil {
		return demand{} // no parameter of ours can be read in it
	}
	var d demand
	for _, prompt := range values["prompt"] {
		if slices.Contains(strings.Fields(prompt), "login") {
			d.any = true
		}
	}
	for i, age := range values["max_age"] {
		seconds, err := strconv.ParseUint(age, 10, 31)
		if err != nil {
			seconds = 0
		}
		if limit := time.Duration(seconds) * time.Second; i == 0 && !d.any || limit < d.maxAge {
			d.maxAge = limit
		}
		d.any = true
	}
	for _, acr := range values["acr_values"] {
		d.secondFactor = d.secondFactor || slices.Contains(strings.Fields(acr), "mfa")
	}
	return d
}

// errNoSecondFactor explains what cannot be done yet. Sending people back would have them come again.
var errNoSecondFactor = &refusal{
	status: http.StatusForbidden, kind: "second-factor", title: "A second factor is needed",
	detail: "The page that you came from asks for a second factor, such as a security key or a code, and people cannot have one here yet. Whoever runs that page can tell you more.",
}

// again reports whether the session is not enough for what is asked for, and whose it is.
func (x *visit) again(secret sessionSecret, asked demand) (user string, again bool, err error) {
	if !asked.any {
		return "", false, nil
	}
	l, err := x.idp.directory.findSession(x.r.Context(), secret)
	if err != nil {
		return "", false, err
	}
	return l.User, x.idp.o.Now().Sub(l.AuthTime) > asked.maxAge || asked.maxAge == 0, nil
}
