package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// credentials are what a request brought to prove who sends it. They are read
// once; the values alias the request's headers.
type credentials struct {
	bearer    string
	hasBearer bool
	cookies   [maxCookies]cookieValue // by index in Settings.Cookies
	hasCookie bool                    // at least one of them was sent
}

// cookieValue is what was sent under one cookie's name: a sibling subdomain, or
// another deployment on a parent domain, can add values of its own (cookie
// tossing). Which of them counts is for authenticate to find out.
type cookieValue struct {
	value  string
	others []string // further values, each once
	sent   bool
}

// readCredentials reads the Authorization line, of which there is one at most,
// and the SSO cookies of every Cookie line.
func readCredentials(h http.Header, known []Cookie) credentials {
	var c credentials
	if lines := h["Authorization"]; len(lines) == 1 {
		c.bearer, c.hasBearer = request.BearerToken(lines[0])
	}
	for _, line := range h["Cookie"] {
		for name, value := range cookiePairs(line) {
			i := cookieIndex(known, name)
			if i < 0 {
				continue
			}
			c.hasCookie = true
			switch found := &c.cookies[i]; {
			case !found.sent:
				found.value, found.sent = value, true
			case found.value != value && !slices.Contains(found.others, value):
				found.others = append(found.others, value)
			}
		}
	}
	return c
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
			if ok && !yield(trim(name), trim(value)) {
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
// lines become one. What a parser behind the gateway could read as an SSO cookie
// goes too, though the gateway did not: some trim more than spaces and tabs, and
// some separate cookies by commas or white space.
func stripCookies(h http.Header, known []Cookie, keep int) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	var room [32]string
	kept, length := room[:0], 0
	for _, line := range lines {
		for line != "" {
			piece, rest, _ := strings.Cut(line, ";")
			line = rest
			piece = trimLeft(piece)
			if piece == "" || mayContainCookie(piece, known) && !isCookie(piece, known, keep) {
				continue
			}
			kept = append(kept, piece)
			length += len(piece) + len("; ")
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	var joined strings.Builder
	joined.Grow(length)
	for i, piece := range kept {
		if i > 0 {
			joined.WriteString("; ")
		}
		joined.WriteString(piece)
	}
	h["Cookie"] = []string{joined.String()}
}

// isCookie reports whether a piece is the one known cookie at index i, and
// nothing else beside it.
func isCookie(piece string, known []Cookie, i int) bool {
	if i < 0 {
		return false
	}
	name, value, ok := strings.Cut(piece, "=")
	return ok && trim(name) == known[i].Name && !mayContainCookie(value, known)
}

// mayContainCookie reports whether some parser could find a known cookie in a piece:
// its name at the beginning or after what separates cookies, before "=" or the
// end.
func mayContainCookie(piece string, known []Cookie) bool {
	for _, cookie := range known {
		for from := 0; ; {
			i := strings.Index(piece[from:], cookie.Name)
			if i < 0 {
				break
			}
			begin := from + i
			end := begin + len(cookie.Name)
			for end < len(piece) && separatesCookies(piece[end]) {
				end++
			}
			if (begin == 0 || separatesCookies(piece[begin-1])) && (end == len(piece) || piece[end] == '=') {
				return true
			}
			from = begin + 1
		}
	}
	return false
}

// separatesCookies reports whether some parser takes the byte for the end of a
// cookie, or for white space around one.
func separatesCookies(c byte) bool { return c <= ' ' || c == ',' || c >= 0x7f }

// trimLeft removes spaces and tabs from the front.
func trimLeft(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	return s
}

// trim removes spaces and tabs from both ends.
func trim(s string) string {
	s = trimLeft(s)
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// clearCookie is the Set-Cookie line that removes the cookie of that name from
// the parent domain, as browsers demand of the "__Secure-" and other prefixes:
// with the attributes that it was set with.
func clearCookie(name, domain string) string {
	return name + "=; Domain=" + domain + "; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
}

// clearHostCookie is the same for a cookie that was set on this host alone,
// which is where one that an attacker set may be.
func clearHostCookie(name string) string {
	return name + "=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax"
}
