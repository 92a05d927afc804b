package request

import (
	"os"
	"strings"
	"testing"
)

// foldAsWSGI is how WSGI, CGI and Rack name a header in the environment.
func foldAsWSGI(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		default:
			return '_'
		}
	}, name)
}

func TestNamesThatFoldIntoReservedOnesAreReserved(t *testing.T) {
	for _, name := range []string{
		"X-User", "x-user", "X_User", "x_uSER", "X.User", "X-User_Roles", "X!User-Id", "X_User_Assertion",
		"Remote-User", "REMOTE_USER", "Remote_Groups", "X-Forwarded-User", "X_Forwarded_Proto", "X-Forwarded-Anything",
		"Forwarded", "X-Real-IP", "X_Real_Ip", "X-Original-URL", "X_Original_Uri", "X-Rewrite-Url", "X-Request-Id", "Proxy", "Sec-WebSocket-Key1",
	} {
		if got := ClassifyHeader(name); got != ReservedHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want reserved", name, got)
		}
	}
	for _, name := range []string{"X-HTTP-Method", "X_Http_Method_Override", "x-method-override"} {
		if got := ClassifyHeader(name); got != OverrideHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want override", name, got)
		}
	}
	for _, name := range []string{
		"X-Client-IP", "Client-IP", "True-Client-IP", "CF-Connecting-IP", "cf_connecting_ip", "CF-Connecting-IPv6", "X-Cluster-Client-IP",
		"Fastly-Client-IP", "X-Envoy-External-Address", "X-ProxyUser-Ip", "X-Appengine-User-Ip", "Fly-Client-IP", "X-Azure-ClientIP",
		"X-Azure-SocketIP", "WL-Proxy-Client-IP", "Proxy-Client-IP", "X-Forwarded", "Forwarded-For", "Remote-Addr", "HTTP_CLIENT_IP", "HTTP_X_FORWARDED_FOR",
	} {
		if got := ClassifyHeader(name); got != ClientIPHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want a client's address", name, got)
		}
	}
	for _, name := range []string{
		"X-WEBAUTH-USER", "X_WEBAUTH_USER", "X-WebAuth-Role", "X-Auth-Request-User", "X-Auth-Request-Preferred-Username", "X-Remote-User",
		"X_Remote_User", "X-Remote-Extra-Scopes", "X-MS-CLIENT-PRINCIPAL", "X-MS-Client-Principal-Idp", "X-MS-TOKEN-AAD-ID-TOKEN",
		"X-Goog-Authenticated-User-Email", "X-Goog-IAP-JWT-Assertion", "X-Amzn-Oidc-Data", "X-Amzn-Mtls-Clientcert-Subject", "X-Amzn-Mtls-Clientcert",
		"Cf-Access-Authenticated-User-Email", "CF_Access_Jwt_Assertion", "X-SSL-Client-Verify", "SSL_CLIENT_S_DN", "X-Client-Cert",
		"X-Client-Verify", "Client-Cert", "X-Pomerium-Jwt-Assertion", "X-Pomerium-Claim-Email", "X-authentik-username", "X-Vouch-User",
		"X-Vouch-IdP-Claims-Groups", "X-Token-Subject", "X-Token-User-Email", "OIDC_CLAIM_sub", "Tailscale-User-Login",
	} {
		if got := ClassifyHeader(name); got != IdentityHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want another product's identity header", name, got)
		}
		if IsReservedHeader(name) {
			t.Errorf("a route may not set %s, which is no header of ours", name)
		}
	}
	// What a client sends by design.
	for _, name := range []string{
		"Cf-Access-Client-Id", "Cf-Access-Client-Secret", "Cf-Access-Token", "X-Vouch-Token", "X-Pomerium-Authorization", "X-Auth-Token",
		"X-Auth-Email", "X-Auth-User", "X-Amzn-Trace-Id", "X-Ms-Client-Request-Id", "X-Goog-Api-Key", "X-Client-Version", "Impersonate-User",
	} {
		if got := ClassifyHeader(name); got != OrdinaryHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want ordinary", name, got)
		}
	}
	for _, name := range []string{"X_Custom", "A.B", "R~", "X-User_Agent", ""} {
		if got := ClassifyHeader(name); got != OddHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want odd", name, got)
		}
	}
	for _, name := range []string{"Accept", "X-User-Agent", "X-Users", "Cookie", "X-Http-Method-Override-Not", "Signature", "Signature-Input"} {
		if got := ClassifyHeader(name); got != OrdinaryHeader {
			t.Errorf("ClassifyHeader(%q) = %d, want ordinary", name, got)
		}
		if IsReservedHeader(name) {
			t.Errorf("%s is forwarded as it was sent, and policies say that it is not", name)
		}
	}
}

func FuzzHeaderNames(f *testing.F) {
	for _, seed := range []string{"X_User", "x-user-assertion", "Remote.User", "X-Forwarded_For", "Accept", "X-HTTP-Method"} {
		f.Add(seed)
	}
	folded := map[string]bool{}
	for name := range reservedHeaders {
		folded[foldAsWSGI(name)] = true
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		seen := foldAsWSGI(name)
		dangerous := folded[seen]
		for _, family := range headerFamilies {
			dangerous = dangerous || strings.HasPrefix(seen, foldAsWSGI(family.prefix))
		}
		class := ClassifyHeader(name)
		if dangerous != (class >= ClientIPHeader) {
			t.Fatalf("ClassifyHeader(%q) = %d, but a WSGI server sees %s", name, class, seen)
		}
	})
}

// TestTheListIsFoldedAndWhole: a key that is not folded, or longer than the buffer, would never be found; and what backends
// are told is what is dropped.
func TestTheListIsFoldedAndWhole(t *testing.T) {
	data, err := os.ReadFile("../../upstreams/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(data), "## What never arrives")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]bool{}
	for line := range strings.SplitSeq(section, "\n") {
		if cells := strings.Split(line, "`"); strings.HasPrefix(line, "| ") {
			for i := 1; i < len(cells); i += 2 {
				told[strings.ToLower(cells[i])] = true
			}
		}
	}
	check := func(name, as string, class HeaderClass) {
		if name != FoldHeader(name) || ClassifyHeader(name) != class {
			t.Errorf("%q is not found", name)
		}
		if !told[as] && class < OverrideHeader {
			t.Errorf("upstreams/README.md does not tell of %s", as)
		}
		delete(told, as)
	}
	for name, class := range reservedHeaders {
		check(name, name, class)
	}
	for _, family := range headerFamilies {
		check(family.prefix, family.prefix+"*", family.class)
	}
	for name := range told {
		t.Errorf("upstreams/README.md tells of %s, which is not in the list", name)
	}
}

func TestClassifyingAllocatesNothing(t *testing.T) {
	names := []string{"Accept-Encoding", "X_User_Assertion", "X-Requested-With", "Remote-User", "User-Agent", "X_WEBAUTH_USER", "CF-Connecting-IP"}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			ClassifyHeader(name)
			if SameHeader(name, "cookie") {
				t.Errorf("%s is a cookie", name)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// TestIsWebSocket: the protocol is a token without case, and one line of it.
func TestIsWebSocket(t *testing.T) {
	for upgrade, want := range map[string]bool{"websocket": true, " WebSocket\t": true, "web\u017focket": false, "webSoc\u212aet": false, "websocket, h2c": false, "": false} {
		if IsWebSocket(map[string][]string{"Upgrade": {upgrade}}) != want {
			t.Errorf("%q: %v", upgrade, !want)
		}
	}
	if IsWebSocket(map[string][]string{"Upgrade": {"websocket", "websocket"}}) || IsWebSocket(nil) {
		t.Error("two lines, or none, are a handshake")
	}
}

func TestHopByHopFieldsHaveNoCase(t *testing.T) {
	for _, name := range []string{"Connection", "connection", "KEEP-ALIVE", "proxy-connection", "Proxy-Authenticate", "Proxy-Authorization", "TE", "trailer", "Transfer-Encoding", "upgrade"} {
		if !IsHopByHop(name) {
			t.Errorf("%q is not hop-by-hop", name)
		}
	}
	for _, name := range []string{"", "T", "Trailers", "Keep_Alive", "\u212aeep-Alive", "Upgrade-Insecure-Requests", "Content-Length", "Authorization"} {
		if IsHopByHop(name) {
			t.Errorf("%q is hop-by-hop", name)
		}
	}
}
