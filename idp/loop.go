package idp

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

// A browser that comes back to the login page at once, again and again, for one and the same address, is in a redirect loop:
// the site does not see, or does not believe, the cookie that it is given here. It is stopped and told why.
//
// What counts is a chain: an address that came back soon after a redirect to it. The browser keeps the count, in a cookie that
// each redirect sets, so that tabs side by side, which do not have one another's cookie yet, are a chain each. Where they do,
// the gateway says by which SSO cookie it sent them here: one that another tab was given meanwhile it has not seen. And only
// navigations count, so that no page can count for the person who looks at it.
const (
	// loopWindow is how soon a browser that is in a loop comes back.
	loopWindow = 30 * time.Second
	// maxLoopRedirects is how often it is redirected: after that it has come back from three rounds.
	maxLoopRedirects = 4
	// maxLoopAddresses is of how many addresses a browser keeps the count.
	maxLoopAddresses = 8
)

// loopChain is how often a browser was redirected to one address, each time soon after the last.
type loopChain struct {
	address string // a digest
	count   int
	last    time.Time
}

// isLoop counts one more redirect to the address, and reports whether it is one too many. After that the count begins anew.
func (x *exchange) isLoop(to redirectURI, now time.Time) bool {
	if x.r.Method == http.MethodPost { // somebody has filled in a form
		if x.sends(loopCookie) {
			x.setLoopChains(nil)
		}
		return false
	}
	if to.isHome || !request.IsNavigation(x.r.Method, x.r.Header) || x.hasNewerCookie() {
		return false
	}
	sum := sha256.Sum256([]byte(to.uri))
	next := loopChain{address: hex.EncodeToString(sum[:8]), last: now}
	chains := x.loopChains(now)
	if i := slices.IndexFunc(chains, func(c loopChain) bool { return c.address == next.address }); i >= 0 {
		next.count = chains[i].count
		chains = slices.Delete(chains, i, i+1)
	}
	loop := next.count >= maxLoopRedirects
	if !loop {
		next.count++
		chains = append(chains, next)
	}
	x.setLoopChains(chains[max(0, len(chains)-maxLoopAddresses):])
	return loop
}

// hasNewerCookie reports whether the browser has another SSO cookie than the one with which the gateway sent it here: it was
// given that while it was on its way, for a tab beside this one.
func (x *exchange) hasNewerCookie() bool {
	seen := x.r.URL.Query().Get(token.SeenCookie)
	value, ok := x.cookie(x.idp.o.CookieName)
	return ok && seen != "" && seen != token.CookieDigest(value)
}

// loopChains are those of the browser's cookie that still count: a token that has run out since is a reason to come back.
func (x *exchange) loopChains(now time.Time) (chains []loopChain) {
	value, _ := x.cookie(loopCookie)
	for entry := range strings.SplitSeq(value, ".") {
		fields := strings.Split(entry, "-")
		if len(fields) != 3 || len(chains) == maxLoopAddresses {
			continue
		}
		count, err := strconv.Atoi(fields[1])
		millis, notTime := strconv.ParseInt(fields[2], 10, 64)
		last := time.UnixMilli(millis)
		if err == nil && notTime == nil && now.Sub(last) < min(loopWindow, x.idp.o.AccessTTL) {
			chains = append(chains, loopChain{fields[0], count, last})
		}
	}
	return chains
}

func (x *exchange) setLoopChains(chains []loopChain) {
	if len(chains) == 0 {
		x.setCookie(loopCookie, "", -1)
		return
	}
	entries := make([]string, len(chains))
	for i, c := range chains {
		entries[i] = c.address + "-" + strconv.Itoa(c.count) + "-" + strconv.FormatInt(c.last.UnixMilli(), 10)
	}
	x.setCookie(loopCookie, strings.Join(entries, "."), loopWindow)
}
