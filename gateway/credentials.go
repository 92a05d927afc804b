package gateway

import (
	"net/http"
	"strings"
)

// credentials are what a request brought to prove who sends it. They are read
// once; the values alias the request's headers.
type credentials struct {
	bearer    string
	hasBearer bool
	cookies   [maxCookies]cookieValue // by index in Settings.Cookies
	hasCookie bool                    // at least one of them was sent
}

// cookieValue is what was sent under one cookie's name. Two values that differ
// are nobody: a sibling subdomain can plant a cookie, and which of the two is
// the victim's cannot be told.
type cookieValue struct {
	value          string
	sent, conflict bool
}

// readCredentials reads the Authorization line, of which there is one at most,
// and the SSO cookies of every Cookie line.
func readCredentials(h http.Header, known []Cookie) credentials {
	var c credentials
	if lines := h["Authorization"]; len(lines) == 1 {
		c.bearer, c.hasBearer = bearerToken(lines[0])
	}
	for _, line := range h["Cookie"] {
		for name, value := range cookiePairs(line) {
			i := cookieIndex(known, name)
			if i < 0 {
				continue
			}
			c.hasCookie = true
			found := &c.cookies[i]
			if found.sent && found.value != value {
				found.conflict = true
				continue
			}
			found.value, found.sent = value, true
		}
	}
	return c
}

// bearerToken returns the token of an Authorization value of the Bearer scheme
// (RFC 6750, section 2.1). The scheme's name has no case.
func bearerToken(authorization string) (raw string, ok bool) {
	const scheme = "Bearer"
	if len(authorization) < len(scheme) || !strings.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	rest := authorization[len(scheme):]
	if rest == "" {
		return "", true
	}
	if rest[0] != ' ' && rest[0] != '\t' {
		return "", false
	}
	return strings.Trim(rest, " \t"), true
}

// cookiePairs yields the name and value of each pair of a Cookie line, with the
// white space around them removed, as the backends' parsers do. A piece
// without "=" has no name and is not yielded.
func cookiePairs(line string) func(yield func(name, value string) bool) {
	return func(yield func(name, value string) bool) {
		for line != "" {
			piece, rest, _ := strings.Cut(line, ";")
			line = rest
			name, value, ok := strings.Cut(piece, "=")
			if ok && !yield(strings.Trim(name, " \t"), strings.Trim(value, " \t")) {
				return
			}
		}
	}
}

func cookieIndex(known []Cookie, name string) int {
	for i := range known {
		if known[i].Name == name {
			return i
		}
	}
	return -1
}

// stripCookies removes the SSO cookies from h, but for the one at index keep,
// and leaves every other byte of what was sent in its place and order. Several
// lines become one.
func stripCookies(h http.Header, known []Cookie, keep int) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	var kept strings.Builder
	kept.Grow(totalLength(lines))
	for _, line := range lines {
		for line != "" {
			piece, rest, _ := strings.Cut(line, ";")
			line = rest
			name, _, named := strings.Cut(piece, "=")
			if i := cookieIndex(known, strings.Trim(name, " \t")); named && i >= 0 && i != keep {
				continue
			}
			piece = strings.TrimLeft(piece, " \t")
			if piece == "" {
				continue
			}
			if kept.Len() > 0 {
				kept.WriteString("; ")
			}
			kept.WriteString(piece)
		}
	}
	if kept.Len() == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = []string{kept.String()}
}

func totalLength(lines []string) int {
	n := 0
	for _, line := range lines {
		n += len(line) + 2
	}
	return n
}

// clearCookie is the Set-Cookie line that removes the cookie of that name from
// the parent domain, as browsers demand of the "__Secure-" and other prefixes:
// with the attributes that it was set with.
func clearCookie(name, domain string) string {
	return name + "=; Domain=" + domain + "; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
}

// clearHostCookie is the same for a cookie that was set on this host alone,
// which is where a planted one may stand.
func clearHostCookie(name string) string {
	return name + "=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
}
