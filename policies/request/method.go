package request

import "slices"

// methods are those of the IANA HTTP Method Registry (RFC 9110, section 16.1.1), those that are used most first. CONNECT and
// TRACE are left out, which are never forwarded, and so are "*" and PRI, which stand there so that nobody uses them.
var methods = []string{
	"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "QUERY",
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL",
	"MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND", "REPORT", "SEARCH", "UNBIND", "UNCHECKOUT",
	"UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
}

// Methods are the methods that every host takes, letter by letter; others a host takes where a route of its lists them.
func Methods() []string { return slices.Clone(methods) }

// IsKnownMethod reports whether s is one of Methods. Methods are case-sensitive (RFC 9110, section 9.1), and servers that
// fold case read delete as DELETE: so what is written otherwise is no method.
func IsKnownMethod(s string) bool { return slices.Contains(methods, s) }
