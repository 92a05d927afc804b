package forwardauth

import (
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// Path is where proxies ask, and what stands before the target of who has the target in the request itself.
const Path = "/.vilogate/auth"

// IsPath reports whether a request asks at Path itself, with whatever query: Caddy sends that of the request that it holds along.
func IsPath(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	return path == Path
}

// The headers that say what is held, by their canonical names.
const (
	forwardedMethod = "X-Forwarded-Method"
	forwardedTarget = "X-Forwarded-Uri"
	forwardedScheme = "X-Forwarded-Proto"
	forwardedHost   = "X-Forwarded-Host"
	originalMethod  = "X-Original-Method"
	originalTarget  = "X-Original-Uri"
	originalURL     = "X-Original-Url"
	originalHost    = "X-Original-Host"
)

// requestHeaders are the headers that say what request the proxy holds.
var requestHeaders = [...]string{
	forwardedMethod, forwardedTarget, forwardedScheme, forwardedHost, originalMethod, originalTarget, originalURL, originalHost,
}

// otherHeaders are what proxies say besides, which nothing here depends on.
var otherHeaders = [...]string{
	"X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Forwarded-Scheme", "X-Forwarded-Ssl", "X-Scheme",
	"X-Sent-From", "X-Auth-Request-Redirect", "X-Real-Ip", "X-Request-Start",
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Trailer", "Host",
}

// IsProxyHeader reports whether a header of that canonical name is the proxy's word about the request, or about its own connection, and
// none of the request that it holds.
func IsProxyHeader(name string) bool {
	for _, other := range requestHeaders {
		if name == other {
			return true
		}
	}
	for _, other := range otherHeaders {
		if name == other {
			return true
		}
	}
	return false
}

// IsTarget reports whether a header of that canonical name says what is asked for, by method and target: backends may obey it.
func IsTarget(name string) bool {
	switch name {
	case forwardedMethod, forwardedTarget, originalMethod, originalTarget, originalURL, originalHost:
		return true
	}
	return false
}

// aliasOf is the one of requestHeaders that a careless server would take a name for, which is not its own; "" for none.
func aliasOf(name string) string {
	for _, other := range requestHeaders {
		if request.SameHeader(name, other) && !strings.EqualFold(name, other) {
			return other
		}
	}
	return ""
}
