package http2

import (
	"net/http"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// commonNames are names that most requests and answers have, as they are spelled in an http.Header.
const commonNames = `Accept Accept-Charset Accept-Encoding Accept-Language Accept-Ranges Access-Control-Allow-Credentials
Access-Control-Allow-Headers Access-Control-Allow-Methods Access-Control-Allow-Origin Access-Control-Expose-Headers
Access-Control-Max-Age Access-Control-Request-Headers Access-Control-Request-Method Age Allow Alt-Svc Authorization
Cache-Control Clear-Site-Data Content-Disposition Content-Encoding Content-Language Content-Length Content-Location
Content-Range Content-Security-Policy Content-Type Cookie Cross-Origin-Embedder-Policy Cross-Origin-Opener-Policy
Cross-Origin-Resource-Policy Date Dnt Etag Expect Expires Forwarded From Grpc-Accept-Encoding Grpc-Encoding Grpc-Message
Grpc-Status Grpc-Timeout Host If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive
Last-Modified Link Location Max-Forwards Origin Permissions-Policy Pragma Priority Proxy-Authenticate
Proxy-Authorization Range Ratelimit Ratelimit-Policy Referer Referrer-Policy Retry-After Sec-Ch-Ua Sec-Ch-Ua-Mobile
Sec-Ch-Ua-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Server Server-Timing Set-Cookie
Strict-Transport-Security Te Timing-Allow-Origin Traceparent Tracestate Trailer Transfer-Encoding Upgrade
Upgrade-Insecure-Requests User-Agent Vary Via Www-Authenticate X-Api-Key X-Content-Type-Options X-Csrf-Token
X-Forwarded-For X-Forwarded-Host X-Forwarded-Proto X-Frame-Options X-Real-Ip X-Request-Id X-Requested-With`

// canonical and lower are commonNames by the spelling of HTTP/2, which is in lower case, and the other way round.
var canonical, lower = spellings()

func spellings() (canonical, lower map[string]string) {
	canonical, lower = map[string]string{}, map[string]string{}
	for name := range strings.FieldsSeq(commonNames) {
		small := strings.ToLower(name)
		canonical[small], lower[name] = name, small
	}
	return canonical, lower
}

// canonicalName is how a field's name is spelled in an http.Header.
func canonicalName(name string) string {
	if known, ok := canonical[name]; ok {
		return known
	}
	return http.CanonicalHeaderKey(name)
}

// lowerName is how a field's name is spelled in HTTP/2.
func lowerName(name string) string {
	if known, ok := lower[name]; ok {
		return known
	}
	return strings.ToLower(name)
}

// isLowerToken reports whether s is a token without capital letters, as names are (RFC 9113, section 8.2.1).
func isLowerToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !request.IsTokenByte(c) || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}
