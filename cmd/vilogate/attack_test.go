package main_test

import (
	"fmt"
	"strings"
	"testing"
)

// attackSite is the site that the attacks run against: /public/* public, /admin for the role admin, the rest for anybody
// signed in. alice is a member, carol an admin, nora has no role at all.
type attackSite struct {
	*site
	backend            *recorder
	alice, carol, nora string // SSO cookies
}

const attackedPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /admin, allow: { roles: [admin] } }
  - { path: "/*rest", allow: authenticated }
tests:
  - { get: /public/x, expect: allow }
  - { get: /admin, as: { user: alice, roles: [member] }, expect: deny }
  - { get: /admin, as: { user: carol, roles: [admin] }, expect: allow }
  - { get: /x, expect: login }
`

// serveConfig is what every configuration of these tests begins with: people see port 443, whatever is listened on.
const serveConfig = `
domain: viloforge.test
listen: { https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0" }
public_port: 443
state: state
drain: { delay: 0s, timeout: 20s }
certificates: { source: local, names: ["viloforge.test", "*.viloforge.test"] }
policies: policies/
`

// ownIdP adds our own IdP to the same process. Subtests may wait for their turn for many minutes: meanwhile no token is to be renewed.
const ownIdP = `
login: { host: login.viloforge.test }
idp: { database: sqlite, access_token_ttl: 1h }
`

func newAttackSite(t *testing.T, more ...string) attackSite {
	t.Helper()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + strings.Join(more, "\n") + fmt.Sprintf("\nupstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": attackedPolicy,
	})
	s.addUser("alice", "member")
	s.addUser("carol", "admin", "member")
	s.addUser("nora")
	return attackSite{
		site: s, backend: backend,
		alice: s.client().login("alice").sso(), carol: s.client().login("carol").sso(), nora: s.client().login("nora").sso(),
	}
}

const appHost = "app.viloforge.test"

func cookieLine(sso string) string { return "Cookie: " + ssoCookie + "=" + sso }

// in is the site as one of several tests that share it sees it.
func (a attackSite) in(t *testing.T) attackSite {
	mine := *a.site
	server := *a.process
	server.tb = t
	mine.process = &server
	a.site = &mine
	return a
}

// tests are run side by side against one site.
type tests map[string]func(*testing.T, attackSite)

func (list tests) against(t *testing.T, a attackSite) {
	for name, test := range list {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, a.in(t))
		})
	}
}

func TestIdentityHeaders(t *testing.T) {
	t.Parallel()
	tests{
		"forged": identityHeaderSpoofing, "partly-absent": absentIdentityHeaders, "named-in-Connection": connectionHeaderStripsIdentity,
		"in-trailers": identityInTrailers, "repeated-lines": duplicateHeaderLines, "assertion": signedAssertion,
		"assertion-as-credential": assertionIsNoCredential, "forwarded-headers": spoofedForwardedHeaders,
		"what-a-backend-is-told": forwardedHeaders, "probes": healthProbesAreAnonymous, "bad-cookies": malformedCookies,
		"credentials-stay": credentialsAreStripped,
	}.against(t, newAttackSite(t))
}

func TestPathsAndFraming(t *testing.T) {
	t.Parallel()
	tests{
		"confusion": pathConfusion, "admin-by-spelling": adminByPathEncoding, "forwarded-as-authorised": authorisedPathIsForwarded,
		"absolute-form": absoluteForm, "absolute-form-of-Host": absoluteFormOfHost, "no-requests": methodsThatAreNoRequests, "smuggling": requestSmuggling, "request-lines": malformedRequestLines,
		"HTTP2-malformed": http2Malformed, "h2c": noH2CUpgrade, "own-paths": ownPathsNeverReachABackend,
	}.against(t, newAttackSite(t))
}

func TestEdge(t *testing.T) {
	t.Parallel()
	tests{
		"TLS": tlsVersionsAndProtocols, "local-CA": localCA, "plain-HTTP": plainHTTP, "HSTS": strictTransport, "huge-headers": oversizedHeaders,
	}.against(t, newAttackSite(t))
}
