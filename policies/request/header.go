package request

import (
	"slices"
	"strings"
)

// A HeaderClass says what may become of a request header that a client sends, judged by its name alone.
type HeaderClass uint8

const (
	OrdinaryHeader HeaderClass = iota
	OddHeader                  // holds a character that servers fold or parsers dispute
	ClientIPHeader             // says where the client is, to software that believes it; see Proxies
	IdentityHeader             // says who the client is, to software behind another product that sets it
	OverrideHeader             // asks the backend to take another method
	ReservedHeader             // set by the gateway, or by nobody
)

// reservedHeaders are never passed on from a client as they came, in the folded spelling: lower case, every character that
// is not a letter or digit as a hyphen. With headerFamilies this is the one list of them, for what is forwarded and for
// what policies may say; upstreams/README.md shows it to backends. What clients send by design, such as the credentials
// Cf-Access-Client-Id, X-Vouch-Token, X-Pomerium-Authorization and X-Auth-Token, is not in it.
var reservedHeaders = map[string]HeaderClass{
	"x-user": ReservedHeader, "x-user-id": ReservedHeader, "x-user-email": ReservedHeader, "x-user-name": ReservedHeader,
	"x-user-roles": ReservedHeader, "x-user-assertion": ReservedHeader,
	"remote-user": ReservedHeader, "remote-email": ReservedHeader, "remote-name": ReservedHeader, "remote-groups": ReservedHeader,
	"forwarded": ReservedHeader, "x-real-ip": ReservedHeader, "x-request-id": ReservedHeader, "x-rewrite-url": ReservedHeader,
	"x-http-method": OverrideHeader, "x-http-method-override": OverrideHeader, "x-method-override": OverrideHeader,
	"proxy": ReservedHeader, // CGI and its heirs make HTTP_PROXY of it
	// A draft of WebSocket has a body of eight bytes behind it, and gunicorn until 20.0 waits for them whatever Content-Length says.
	"sec-websocket-key1": ReservedHeader,

	// Where a client is, as content delivery networks and load balancers say.
	"cf-connecting-ip": ClientIPHeader, "cf-connecting-ipv6": ClientIPHeader, "cf-pseudo-ipv4": ClientIPHeader,
	"true-client-ip": ClientIPHeader, "x-true-client-ip": ClientIPHeader, "fastly-client-ip": ClientIPHeader,
	"fly-client-ip": ClientIPHeader, "x-azure-clientip": ClientIPHeader, "x-azure-socketip": ClientIPHeader,
	"cloudfront-viewer-address": ClientIPHeader, "do-connecting-ip": ClientIPHeader, "eo-connecting-ip": ClientIPHeader,
	"x-nf-client-connection-ip": ClientIPHeader, "x-vercel-forwarded-for": ClientIPHeader,
	"x-sucuri-clientip": ClientIPHeader, "incap-client-ip": ClientIPHeader, "ali-cdn-real-ip": ClientIPHeader,
	"cdn-src-ip": ClientIPHeader, "x-proxyuser-ip": ClientIPHeader, "x-appengine-user-ip": ClientIPHeader,
	"x-appengine-remote-addr": ClientIPHeader, "x-envoy-external-address": ClientIPHeader,
	"x-cluster-client-ip": ClientIPHeader,
	// The same, as frameworks and snippets look for it, some by the names of CGI variables.
	"x-client-ip": ClientIPHeader, "client-ip": ClientIPHeader, "x-remote-ip": ClientIPHeader,
	"x-remote-addr": ClientIPHeader, "remote-addr": ClientIPHeader, "x-forwarded": ClientIPHeader,
	"forwarded-for": ClientIPHeader, "proxy-client-ip": ClientIPHeader, "wl-proxy-client-ip": ClientIPHeader,
	"http-client-ip": ClientIPHeader, "http-x-forwarded-for": ClientIPHeader, "http-x-forwarded": ClientIPHeader,
	"http-x-cluster-client-ip": ClientIPHeader, "http-forwarded-for": ClientIPHeader, "http-forwarded": ClientIPHeader,

	// oauth2-proxy, Pomerium, Vouch, caddy-security, Louketo, mod_auth_openidc, mod_auth_cas.
	"x-auth-request-user": IdentityHeader, "x-auth-request-email": IdentityHeader,
	"x-auth-request-groups": IdentityHeader, "x-auth-request-preferred-username": IdentityHeader,
	"x-auth-request-access-token": IdentityHeader, "x-auth-request-redirect": IdentityHeader,
	"x-pomerium-jwt-assertion": IdentityHeader, "x-vouch-user": IdentityHeader, "x-vouch-success": IdentityHeader,
	"x-token-subject": IdentityHeader, "x-auth-subject": IdentityHeader, "x-auth-userid": IdentityHeader,
	"x-auth-username": IdentityHeader, "x-auth-roles": IdentityHeader, "x-auth-groups": IdentityHeader,
	"oidc-access-token": IdentityHeader, "oidc-id-token": IdentityHeader, "oidc-id-token-payload": IdentityHeader,
	"oidc-userinfo-json": IdentityHeader, "oidc-userinfo-jwt": IdentityHeader, "cas-user": IdentityHeader,
	// What software takes from a proxy by default: Kubernetes, OpenSearch, Nexus and many more.
	"x-remote-user": IdentityHeader, "x-remote-email": IdentityHeader, "x-remote-name": IdentityHeader,
	"x-remote-group": IdentityHeader, "x-remote-groups": IdentityHeader, "x-remote-uid": IdentityHeader,
	"x-proxy-user": IdentityHeader, "x-proxy-roles": IdentityHeader, "x-proxy-remote-user": IdentityHeader,
	"x-authenticated-user": IdentityHeader,
	// Clouds: Azure App Service, Google IAP, API Gateway and App Engine, AWS ALB, Cloudflare Access, Teleport.
	"x-ms-client-principal": IdentityHeader, "x-ms-client-principal-id": IdentityHeader,
	"x-ms-client-principal-name": IdentityHeader, "x-ms-client-principal-idp": IdentityHeader,
	"x-goog-authenticated-user-email": IdentityHeader, "x-goog-authenticated-user-id": IdentityHeader,
	"x-goog-iap-jwt-assertion": IdentityHeader, "x-apigateway-api-userinfo": IdentityHeader,
	"x-endpoint-api-userinfo": IdentityHeader, "x-appengine-user-email": IdentityHeader,
	"x-appengine-user-id": IdentityHeader, "x-appengine-user-nickname": IdentityHeader,
	"x-appengine-user-organization": IdentityHeader, "x-appengine-user-is-admin": IdentityHeader,
	"x-appengine-cron": IdentityHeader, "x-appengine-queuename": IdentityHeader,
	"x-appengine-inbound-appid": IdentityHeader, "x-amzn-oidc-identity": IdentityHeader,
	"x-amzn-oidc-data": IdentityHeader, "x-amzn-oidc-accesstoken": IdentityHeader,
	"cf-access-authenticated-user-email": IdentityHeader, "cf-access-jwt-assertion": IdentityHeader,
	"teleport-jwt-assertion": IdentityHeader,
	// Kong, SiteMinder, WebSEAL, Oracle Access Manager.
	"x-consumer-id": IdentityHeader, "x-consumer-username": IdentityHeader, "x-consumer-custom-id": IdentityHeader,
	"x-consumer-groups": IdentityHeader, "x-credential-identifier": IdentityHeader,
	"x-credential-username": IdentityHeader, "x-anonymous-consumer": IdentityHeader,
	"x-authenticated-userid": IdentityHeader, "x-authenticated-scope": IdentityHeader,
	"x-authenticated-groups": IdentityHeader, "x-userinfo": IdentityHeader, "sm-user": IdentityHeader,
	"sm-userdn": IdentityHeader, "sm-universalid": IdentityHeader, "iv-user": IdentityHeader, "iv-groups": IdentityHeader,
	"iv-creds": IdentityHeader, "oam-remote-user": IdentityHeader,
	// Client certificates, of RFC 9440 and before it.
	"client-cert": IdentityHeader, "client-cert-chain": IdentityHeader, "x-client-cert": IdentityHeader,
	"x-client-certificate": IdentityHeader, "x-client-verify": IdentityHeader, "x-client-dn": IdentityHeader,
	"x-ssl-cert": IdentityHeader, "x-ssl-issuer": IdentityHeader, "x-arr-clientcert": IdentityHeader,
}

// A headerFamily is what the names of many headers begin with, folded.
type headerFamily struct {
	prefix string
	class  HeaderClass
}

// headerFamilies are the families of reserved names.
var headerFamilies = [...]headerFamily{
	{"x-forwarded-", ReservedHeader},
	{"x-original-", ReservedHeader},
	{"x-webauth-", IdentityHeader},
	{"x-authentik-", IdentityHeader},
	{"x-pomerium-claim-", IdentityHeader},
	{"x-vouch-idp-", IdentityHeader},
	{"x-token-user-", IdentityHeader},
	{"x-remote-extra-", IdentityHeader},
	{"x-ms-token-", IdentityHeader},
	{"x-ssl-client-", IdentityHeader},
	{"x-client-cert-", IdentityHeader},
	{"x-amzn-mtls-clientcert", IdentityHeader},
	{"ssl-client-", IdentityHeader},
	{"oidc-claim-", IdentityHeader},
	{"shib-", IdentityHeader},
	{"tailscale-user-", IdentityHeader},
}

// longestReserved is the length of the longest key of reservedHeaders.
const longestReserved = len("cf-access-authenticated-user-email")

// reservedShapes is what there is to look for, by a name's first letter: most names are of none of these lengths.
var reservedShapes = shapesOf()

type reservedShape struct {
	lengths  uint64 // the bit of each length that a key of reservedHeaders has
	families []headerFamily
}

func shapesOf() (shapes ['z' - 'a' + 1]reservedShape) {
	for name := range reservedHeaders {
		shapes[name[0]-'a'].lengths |= 1 << len(name)
	}
	for _, family := range headerFamilies {
		shape := &shapes[family.prefix[0]-'a']
		shape.families = append(shape.families, family)
	}
	return shapes
}

// hopByHop are the fields that are about one connection (RFC 9110, section 7.6.1), or say so though they should not.
var hopByHop = [...]string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// IsHopByHop reports whether a field is about one connection (RFC 9110, section 7.6.1), whatever the case of its name.
func IsHopByHop(name string) bool {
	for _, other := range hopByHop {
		if len(name) == len(other) && (name == other || strings.EqualFold(name, other)) {
			return true
		}
	}
	return false
}

// ClassifyHeader judges a header's name. Names are compared after folding, because WSGI, CGI and others read X_User as
// X-User. It allocates nothing.
func ClassifyHeader(name string) HeaderClass {
	class := OrdinaryHeader
	for i := range len(name) {
		if c := name[i]; c != '-' && foldedBytes[c] == '-' {
			class = OddHeader
			break
		}
	}
	if name == "" {
		return OddHeader
	}
	first := foldedBytes[name[0]]
	if first < 'a' {
		return class
	}
	shape := &reservedShapes[first-'a']
	mayBeReserved := len(name) <= longestReserved && shape.lengths>>len(name)&1 == 1
	if !mayBeReserved && len(shape.families) == 0 {
		return class
	}
	var buffer [longestReserved]byte
	folded := buffer[:min(len(name), len(buffer))]
	for i := range folded {
		folded[i] = foldedBytes[name[i]]
	}
	for i := range shape.families {
		if family := &shape.families[i]; len(folded) >= len(family.prefix) && string(folded[:len(family.prefix)]) == family.prefix {
			return family.class
		}
	}
	if !mayBeReserved {
		return class
	}
	if found, ok := reservedHeaders[string(folded)]; ok {
		return found
	}
	return class
}

// IsReservedHeader reports whether a request header is the gateway's own to write or to judge, in whatever spelling servers
// take for it. The headers of other products are not: a route may set them.
func IsReservedHeader(name string) bool { return ClassifyHeader(name) >= OverrideHeader }

// FoldHeader is a header's name as the most careless of servers compares it: in lower case, and with a hyphen for
// everything that is not a letter or digit.
func FoldHeader(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = foldedBytes[c]
	}
	return string(b)
}

// SameHeader reports whether the most careless of servers takes two names for one (FoldHeader). It allocates nothing.
func SameHeader(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if foldedBytes[a[i]] != foldedBytes[b[i]] {
			return false
		}
	}
	return true
}

// foldedBytes has each byte as FoldHeader writes it.
var foldedBytes = foldBytes()

func foldBytes() (folded [256]byte) {
	for i := range folded {
		switch c := byte(i); {
		case 'A' <= c && c <= 'Z':
			folded[i] = c + 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			folded[i] = c
		default:
			folded[i] = '-'
		}
	}
	return folded
}

// CanonicalHeader is a header's name as package net/http writes it, X-Frame-Options; false where it is none, or holds
// anything but letters, digits and hyphens.
func CanonicalHeader(name string) (string, bool) {
	b := []byte(name)
	for i, c := range b {
		first := i == 0 || b[i-1] == '-'
		switch {
		case classes[c]&hostByte == 0:
			return "", false
		case first && 'a' <= c && c <= 'z':
			b[i] = c - 'a' + 'A'
		case !first && 'A' <= c && c <= 'Z':
			b[i] = c - 'A' + 'a'
		}
	}
	return string(b), len(b) > 0
}

// IsConnectionOption reports whether lines of Connection name one of the headers, which then ends at this hop (RFC 9110, section
// 7.6.1): a policy that reads it would decide on what is not forwarded.
func IsConnectionOption(connection, names []string) bool {
	if len(names) == 0 {
		return false
	}
	for _, line := range connection {
		for option := range strings.SplitSeq(line, ",") {
			option = FoldHeader(strings.TrimSpace(option))
			if slices.ContainsFunc(names, func(name string) bool { return FoldHeader(name) == option }) {
				return true
			}
		}
	}
	return false
}
