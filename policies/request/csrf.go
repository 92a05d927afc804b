package request

import (
	"slices"
	"strings"
)

// CSRFFacts is what a request with a cookie says about where it comes from. Browsers write these headers; no page can.
type CSRFFacts struct {
	Method       string
	WebSocket    bool // a WebSocket handshake
	SecFetchSite string
	SecFetchMode string
	Origin       []string // every Origin line
	SelfOrigin   Origin   // of the host that was asked
	CORSOrigins  []Origin // of the CORS rules, those listed one by one
	Exempt       []Origin // of the route's csrf: exempt
}

// CSRFSafe reports whether a request with a cookie credential was meant by the person whose cookie it is. Safe methods
// are. Any other needs the browser's word that it comes from the same origin, or from nowhere at all (a bookmark), or an
// Origin that is this one or one of those allowed. For a WebSocket handshake, which is a GET that changes things and may
// be read across origins, the Origin alone counts. Two Origin lines that disagree are never safe, and neither are
// headers that are missing: a script with a cookie sends Origin.
func CSRFSafe(f CSRFFacts) bool {
	if !f.WebSocket && IsSafe(f.Method) {
		return true
	}
	for i := 1; i < len(f.Origin); i++ {
		if f.Origin[i] != f.Origin[0] {
			return false
		}
	}
	if len(f.Origin) > 0 && f.isTrustedOrigin(Origin(f.Origin[0])) {
		return true
	}
	if f.WebSocket {
		return false
	}
	return f.SecFetchSite == "same-origin" || f.SecFetchSite == "none" && f.SecFetchMode == "navigate"
}

// isTrustedOrigin compares an Origin as it was received: browsers have one spelling for it. "null" is nobody's.
func (f *CSRFFacts) isTrustedOrigin(o Origin) bool {
	return o != "" && o != "null" && (o == f.SelfOrigin || slices.Contains(f.CORSOrigins, o) || slices.Contains(f.Exempt, o))
}

// IsSafe reports whether a method is safe (RFC 9110, section 9.2.1).
func IsSafe(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "TRACE":
		return true
	}
	return false
}

// IsPreflight reports whether a request with these Origin and Access-Control-Request-Method lines is a CORS preflight.
// Any other OPTIONS request is an ordinary one.
func IsPreflight(method string, origin, acrm []string) bool {
	return method == "OPTIONS" && len(origin) == 1 && origin[0] != "" && len(acrm) == 1 && acrm[0] != ""
}

// IsWebSocket reports whether a request with these header fields, by canonical name, is a WebSocket handshake (RFC 6455,
// section 4.1).
func IsWebSocket(header map[string][]string) bool {
	const webSocket = "websocket"
	upgrade := header["Upgrade"]
	if len(upgrade) != 1 {
		return false
	}
	protocol := TrimOWS(upgrade[0])
	return len(protocol) == len(webSocket) && strings.EqualFold(protocol, webSocket) // what has letters that fold into ASCII is longer
}
