package gateway

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// credentials are what a request brought to prove who sends it. They are read
// once; the values alias the request's headers.
type credentials struct {
	bearer      string
	hasBearer   bool
	subprotocol bool                    // the token came as a subprotocol of a WebSocket
	cookies     [maxCookies]cookieValue // by index in Settings.Cookies
	hasCookie   bool                    // at least one of them was sent
}

// cookieValue is what was sent under one cookie's name: a sibling subdomain, or
// another deployment on a parent domain, can add values of its own (cookie
// tossing), any number of them. Which of them counts is for authenticate to find out.
type cookieValue struct {
	value   string // the first
	sent    bool
	several bool // others too, that differ from it
}

// readCredentials reads the Authorization line, of which there is one at most, or
// the token in its place that a WebSocket handshake has as a subprotocol, and the SSO
// cookies of every Cookie line.
func readCredentials(h http.Header, known []Cookie) credentials {
	var c credentials
	if lines := h["Authorization"]; len(lines) == 1 {
		c.bearer, c.hasBearer = request.BearerToken(lines[0])
	} else if len(lines) == 0 && request.IsWebSocket(h) {
		c.bearer, _ = request.SubprotocolToken(h["Sec-Websocket-Protocol"])
		c.hasBearer, c.subprotocol = c.bearer != "", c.bearer != ""
	}
	for _, line := range h["Cookie"] {
		for name, value := range request.CookiePairs(line) {
			i := cookieIndex(known, name)
			if i < 0 {
				continue
			}
			c.hasCookie = true
			if found := &c.cookies[i]; !found.sent {
				found.value, found.sent = value, true
			} else if found.value != value {
				found.several = true
			}
		}
	}
	return c
}

func cookieIndex(known []Cookie, name string) int {
	for i := range known {
		if known[i].Name == name {
			return i
		}
	}
	return -1
}

// cookiePair is a cookie as a request sends it.
type cookiePair struct{ name, value string }

// stripCookies removes the SSO cookies from h, but for keep, which stays once, and
// leaves every other byte of what was sent in its place and order. Several lines become
// one. Any other value of keep's name goes: nobody has judged it, or it was revoked, and
// the backend may take the last. What a parser behind the gateway could read as an SSO
// cookie goes too, though the gateway did not (mayContainCookie).
func stripCookies(h http.Header, known []Cookie, keep cookiePair) {
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
			piece = strings.TrimLeft(piece, " \t")
			if keep.is(piece) {
				piece, keep = keep.name+"="+keep.value, cookiePair{}
			} else if piece == "" || mayContainCookie(piece, known) {
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
	h["Cookie"] = append(lines[:0:1], joinCookies(kept, length-len("; "), lines[0]))
}

// joinCookies joins pieces, which come to so many bytes. Where they stand together in the line that was sent, it is a part of that.
func joinCookies(pieces []string, length int, sent string) string {
	if at := strings.Index(sent, pieces[0]); at >= 0 && at+length <= len(sent) && isJoined(sent[at:at+length], pieces) {
		return sent[at : at+length]
	}
	var joined strings.Builder
	joined.Grow(length)
	for i, piece := range pieces {
		if i > 0 {
			joined.WriteString("; ")
		}
		joined.WriteString(piece)
	}
	return joined.String()
}

// isJoined reports whether a string is these pieces, joined.
func isJoined(s string, pieces []string) bool {
	for i, piece := range pieces {
		ok := true
		if i > 0 {
			s, ok = strings.CutPrefix(s, "; ")
		}
		if ok {
			s, ok = strings.CutPrefix(s, piece)
		}
		if !ok {
			return false
		}
	}
	return s == ""
}

// is reports whether a piece of a Cookie line is that cookie, and nothing else.
func (c cookiePair) is(piece string) bool {
	name, value, ok := strings.Cut(piece, "=")
	return ok && c.name != "" && request.TrimOWS(name) == c.name && request.TrimOWS(value) == c.value
}

// mayContainCookie reports whether some parser could find a known cookie in a piece: its
// name, as a parser may decode it (isKnownCookie), before "=" or the end, and at the
// beginning or after what separates cookies: some trim more than spaces and tabs, and some
// separate cookies by commas or white space.
func mayContainCookie(piece string, known []Cookie) bool {
	if name, _, _ := strings.Cut(piece, "="); isKnownCookie(name, known) {
		return true // with white space inside, which PHP makes an underscore
	}
	for begin := 0; begin < len(piece); begin++ {
		if begin > 0 && !separatesCookies(piece[begin-1]) {
			continue
		}
		end := begin
		for end < len(piece) && piece[end] != '=' && !separatesCookies(piece[end]) {
			end++
		}
		if end == begin {
			continue
		}
		next := end
		for next < len(piece) && separatesCookies(piece[next]) {
			next++
		}
		if (next == len(piece) || piece[next] == '=') && isKnownCookie(piece[begin:end], known) {
			return true
		}
		begin = end - 1
	}
	return false
}

// clearCookie is the Set-Cookie line that removes the cookie of that name from
// the parent domain, as browsers demand of the "__Secure-" and other prefixes:
// with the attributes that it was set with.
func clearCookie(name, domain string) string {
	return domainCookie(name, "", domain, 0)
}

// domainCookie is the Set-Cookie line of a cookie on the parent domain, for so many seconds.
func domainCookie(name, value, domain string, maxAge int) string {
	return name + "=" + value + "; Domain=" + domain + "; Path=/; Max-Age=" + strconv.Itoa(maxAge) + "; Secure; HttpOnly; SameSite=Lax"
}

// clearHostCookie is the same for a cookie that was set on this host alone,
// which is where one that an attacker set may be.
func clearHostCookie(name string) string { return hostCookie(name, "", 0) }

// hostCookie is the Set-Cookie line of a cookie on this host alone, for so long.
func hostCookie(name, value string, life time.Duration) string {
	return name + "=" + value + "; Path=/; Max-Age=" + strconv.Itoa(int(life/time.Second)) + "; Secure; HttpOnly; SameSite=Lax"
}
