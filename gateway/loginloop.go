package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies/request"
)

// loginCookie counts for a while how often a browser was redirected to a login page that is somebody else's, for each of a
// few addresses. Another redirect after that would be a redirect loop: the page there believes that somebody is signed in,
// and their cookie does not count here. Our own login page counts by itself.
const loginCookie = "__Host-vilogate-login"

const (
	loginWindow = 2 * time.Minute // since the last redirect
	// maxLoginRounds is how often a browser is redirected whose cookie does not count.
	maxLoginRounds = 3
	// maxRoundsWithoutCookie is how often one that brings none: as many tabs of one address may be restored at once.
	maxRoundsWithoutCookie = 8
	maxLoginAddresses      = 4
)

// loginRounds is how often a browser was redirected for one address.
type loginRounds struct {
	address string // a digest
	count   int
	last    time.Time
}

// guardLoginLoop counts one more redirect to a login page that is somebody else's. After too many it is the page that says
// why, in place of the redirect.
func (x *exchange) guardLoginLoop(r *refusal) *refusal {
	if !r.redirectToLogin || r.stepUpQuery != "" || x.gen == nil || x.gen.Login.URL == "" || !x.isNavigation() {
		return r
	}
	sum := sha256.Sum256([]byte(x.located.url()))
	address := hex.EncodeToString(sum[:4])
	all := x.loginRounds()
	i := slices.IndexFunc(all, func(l loginRounds) bool { return l.address == address })
	if i < 0 {
		all = append(all, loginRounds{address: address})
		if i = len(all) - 1; i >= maxLoginAddresses {
			all, i = all[1:], i-1
		}
	}
	limit := maxLoginRounds
	if len(x.record.refusedCookies) == 0 {
		limit = maxRoundsWithoutCookie
	}
	if all[i].count >= limit {
		x.setLoginRounds(slices.Delete(all, i, i+1))
		return refuseLoginLoop(x.record.refusedCookies)
	}
	all[i].count++
	all[i].last = x.start
	x.setLoginRounds(all)
	return r
}

// seenCookie is the parameter that tells our own login page which SSO cookie the browser sent here: one that was given
// another meanwhile, for a tab beside this one, is in no loop. Not of a step-up, for which the cookie counts.
func (x *exchange) seenCookie(r *refusal) string {
	if x.gen.Login.URL != "" || r.stepUpQuery != "" {
		return ""
	}
	for i, cookie := range x.gen.Cookies {
		sent := &x.decided.authentication.credentials.cookies[i]
		if cookie.Issuer == token.OwnIssuer && sent.sent && !sent.several {
			return "&" + token.SeenCookie + "=" + token.CookieDigest(sent.value)
		}
	}
	return ""
}

// loginRounds are those of the browser's cookie that still count.
func (x *received) loginRounds() (all []loginRounds) {
	for value := range request.CookieValues(x.r.Header, loginCookie) {
		for entry := range strings.SplitSeq(value, ".") {
			fields := strings.Split(entry, "-")
			if len(fields) != 3 || len(all) == maxLoginAddresses {
				continue
			}
			count, err := strconv.Atoi(fields[1])
			unix, notTime := strconv.ParseInt(fields[2], 10, 64)
			last := time.Unix(unix, 0)
			if err == nil && notTime == nil && x.start.Sub(last) < loginWindow {
				all = append(all, loginRounds{fields[0], count, last})
			}
		}
	}
	return all
}

func (x *received) setLoginRounds(all []loginRounds) {
	if len(all) == 0 {
		x.reply.setCookies = append(x.reply.setCookies, clearHostCookie(loginCookie))
		return
	}
	entries := make([]string, len(all))
	for i, l := range all {
		entries[i] = l.address + "-" + strconv.Itoa(l.count) + "-" + strconv.FormatInt(l.last.Unix(), 10)
	}
	x.reply.setCookies = append(x.reply.setCookies, hostCookie(loginCookie, strings.Join(entries, "."), loginWindow))
}

// endLoginRounds forgets them where a person has come to a page with a cookie that counts.
func (d *decided) endLoginRounds() {
	if d.authentication.byCookie && d.gen.Login.URL != "" && d.isNavigation() && len(d.loginRounds()) > 0 {
		d.setLoginRounds(nil)
	}
}

// refusedBecause says to a person why a cookie did not count, by the word that records have.
var refusedBecause = map[string]string{
	"expired":        "it has expired, which a clock that is wrong can be the reason of",
	"revoked":        "it was signed out",
	"not-yet-valid":  "it counts from a later moment on, which a clock that is wrong can be the reason of",
	"signature":      "its signature does not match: this site knows another key or secret than the login page has",
	"unknown-key":    "it is signed with a key that this site does not know",
	"unknown-issuer": "it is of an issuer that this site does not know",
	"audience":       "it is for another site (audience)",
	"not-a-user":     "the name in it is not a user name",
	"conflict":       "there are several of different sign-ins",
}

// refuseLoginLoop is for who was redirected to the login page again and again, and comes back with a cookie that does not
// count, or with none.
func refuseLoginLoop(refused []RefusedCookie) *refusal {
	r := &refusal{
		status: http.StatusConflict, decision: "login", kind: "login-loop", title: "This goes in circles",
		detail: "The login page sent you back here several times, but your browser brings no sign-in cookie of this site. " +
			"It may refuse cookies, or the login page may set them for other sites.",
		reason: "login loop: redirected to the login page again and again, and no cookie comes back", offerLogin: true,
	}
	if len(refused) > 0 {
		c := refused[0]
		because, ok := refusedBecause[c.Reason]
		if !ok {
			because = "it cannot be understood as a sign-in (" + c.Reason + ")"
		}
		r.detail = "The login page sent you back here several times, but this site does not accept the sign-in cookie " + c.Name + ": " + because +
			". Tell whoever runs this site."
		r.reason = "login loop: redirected to the login page again and again; the cookie " + c.Name + " of " + c.Issuer + " is refused: " + c.Reason
	}
	return r
}
