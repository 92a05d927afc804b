package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// Settings describe one generation: everything that a reload can change.
type Settings struct {
	// Domain is the parent domain of the SSO cookies.
	Domain string
	// PublicPort is the port that people see.
	PublicPort int
	// Policies are the compiled route policies.
	Policies *policies.Set
	// PoliciesID names Policies in records: their hash.
	PoliciesID string
	// Shadow are policies that are evaluated beside them and enforce nothing.
	// Optional.
	Shadow *policies.Set
	// ShadowID names Shadow in records.
	ShadowID string
	// Admits reports whether a request for host may come over a connection of these
	// properties: hosts may ask more of a connection than a certificate. Optional.
	Admits func(connection *tls.ConnectionState, host string) bool
	// Upstreams are the backends that the policies name.
	Upstreams []Upstream
	// Verifier verifies tokens of every configured issuer.
	Verifier *token.Verifier
	// Cookies are the SSO cookies, in the order in which they are looked at:
	// our own IdP's first. At most 8.
	Cookies []Cookie
	// TokenHeaders are the headers in which proxies before the gateway send tokens.
	// Optional.
	TokenHeaders []TokenHeader
	// Login says where people sign in. Its zero value means nowhere.
	Login Login
	// TrustedProxies are the networks that are believed about who asks, and whose
	// X-Request-Id is kept.
	TrustedProxies []netip.Prefix
	// ClientIPHeaders are the headers in which they say who asks, by their canonical
	// names; the first that is there counts. Optional: X-Forwarded-For.
	ClientIPHeaders []string
	// UseForwarded has Forwarded (RFC 7239) count instead of X-Forwarded-For.
	UseForwarded bool
}

// Cookie is an SSO cookie: its name, and the issuer whose tokens it carries.
type Cookie struct{ Name, Issuer string }

// TokenHeader is a header by its canonical name, and the issuer whose tokens alone
// count in it.
type TokenHeader struct{ Name, Issuer string }

// Login says where people sign in: at our own identity provider on Host, in
// this process (Handler) or in another (Upstream), or at somebody else's page
// (URL).
type Login struct {
	Host      string
	Handler   http.Handler
	Upstream  *url.URL
	URL       string
	LogoutURL string // goes with URL, where our own IdP is reached without this gateway. Optional.
	// Sessions is whom to ask about expired tokens of our own identity provider. Optional: they are not renewed.
	Sessions backchannel.Sessions
}

// OddHeaders says what becomes of a header whose name holds a character other
// than a letter, a digit or "-".
type OddHeaders uint8

// The three ways. In each, a name that folds into a reserved one is dropped.
const (
	DropOdd OddHeaders = iota
	RejectOdd
	PassOdd
)

// Affinity says which requests go to the same address of an upstream as long as it can be asked (session affinity).
type Affinity uint8

// The kinds of affinity.
const (
	NoAffinity     Affinity = iota
	AffinityUser            // those of one signed-in user; of anonymous ones, those of one client network
	AffinityCookie          // those with one value of a cookie that a browser is given
)

// Upstream is a backend.
type Upstream struct {
	// Name is how policies call it, and the audience of its assertions.
	Name string
	// URLs are its addresses: http://host:port, https://host:port or unix:/path, or all of HTTP/2: h2c://host:port or h2://host:port
	// (in TLS). Those that have a path, which is canonical and
	// ends without a slash, all have the same: that of a request is put behind it.
	URLs []*url.URL
	// Weights are their shares of the requests; an address of 0 is drained: it has no new ones. Optional: all have the same.
	Weights []int
	// SlowStart is how long an address that comes back, or that a reload adds, takes until it has its whole share. Zero: no time.
	SlowStart time.Duration
	// Resolve is the longest time until the names in its addresses are looked up again, each address of which is one of the upstream;
	// that the time to live of the records ends may be sooner. Zero: a name is one address, and looked up for each connection.
	Resolve time.Duration
	// Resolver is the DNS server that is asked for them, host:port. Optional: what the system says.
	Resolver string
	// TLS says how it is known who is at its https addresses. Its zero value is by the roots of the system and the URL's host.
	TLS UpstreamTLS
	// KeepAlive is how long a connection may be idle before it is closed. Zero: 60 s.
	// Negative: it is closed after each answer.
	KeepAlive time.Duration
	// NoRetry has a request that failed at one address not go to another.
	NoRetry bool
	// Consecutive5xx is how many 5xx in a row eject an address, never more than half of
	// them. Zero: no number does.
	Consecutive5xx int
	// Health says how its addresses are asked whether they are healthy. Optional: they
	// are not.
	Health HealthCheck
	// Limits bound what it is asked for at a time.
	Limits Limits
	// Affinity says which requests go to the same address. Optional: any goes to any.
	Affinity Affinity
	// ProxyProtocol is the version of the PROXY header that connections to it begin with, 1 or 2, and says who the client is. Each serves
	// one request, or one client where it is that client's alone. Optional: they begin with none.
	ProxyProtocol byte
	// WebSocketPing is after how long without a frame the ends of a WebSocket are sent a ping. Zero: they are not.
	WebSocketPing time.Duration
	// TCPKeepAlive is the interval of TCP's own probes of its connections. Zero: 15 s. Negative: there are none.
	TCPKeepAlive time.Duration
	// Timeout bounds the wait for the response's header. Zero: 60 s.
	Timeout time.Duration
	// Buffer says how much of a body is held for slow clients.
	Buffer Buffer
	// Preset names the plain identity headers: "x-user", "remote-user" or
	// "x-forwarded-user". Optional: x-user.
	Preset string
	// ForwardToken names the issuer whose access token is passed on. Optional.
	ForwardToken string
	// OddHeaders says what becomes of headers with odd names.
	OddHeaders OddHeaders
	// PassIdentity are identity headers of other products (request.IdentityHeader)
	// that are passed on from whoever sends them, by their canonical names;
	// TokenHeaders among them.
	PassIdentity []string
}

// HealthCheck says how an upstream's addresses are asked whether they are healthy. Its
// zero value says that they are not asked.
type HealthCheck struct {
	Path                 string
	Host                 string        // the Host header. Optional: the address.
	Interval             time.Duration // between checks of an address
	Timeout              time.Duration // at most Interval
	Healthy, Unhealthy   int           // how many in a row make an address so
	MinStatus, MaxStatus int           // of answers that are successes
}

// maxCookies bounds the SSO cookies, so that a request's fit a fixed array.
const maxCookies = 8

// Generation is one immutable set of [Settings], compiled. A request keeps the
// one that it began with.
type Generation struct {
	Settings
	portSuffix string               // ":8443", or "" for 443
	upstreams  map[string]*upstream // by name
	login      *upstream            // the identity provider in another process, or nil
	proxies    request.Proxies      // who is believed about the client's address
	id         *generationID        // that its principals carry
	rates      sync.Map             // *policies.Route → *rate, of the routes that were asked for
	// assertionIssuer is the iss of the assertions: a name, not an address.
	assertionIssuer string
}

// defaultKeepAlive is how long connections to upstreams may be idle.
const defaultKeepAlive = 60 * time.Second

// upstream is an Upstream, ready to be used. It belongs to one generation;
// its connections belong to the gateway.
type upstream struct {
	Upstream
	index   int              // of this upstream's assertions in a principal
	headers *identityHeaders // the names of its plain headers

	identity         *tlsIdentity       // of TLS
	prefix           string             // that paths are put behind; "" for none
	http2            bool               // its addresses speak HTTP/2
	local            []byte             // what a connection of the gateway's own begins with; nil for nothing
	gate             *admission.Gate    // what may be under way there; set before the generation is in force
	clients          *admission.Clients // what may be under way at all upstreams; likewise; nil where that does not count
	affinityInFlight affinityInFlight   // at its addresses, where these have a limit
	resolved         string             // which addresses pool has; guarded by addresses.mu
	// pool is what is known of its addresses; replaced when its names have others. nil while none of them is resolved.
	pool atomic.Pointer[balancer.Pool]
}

// loginUpstream is how an identity provider in another process is called among the
// upstreams; no configured one has such a name.
const loginUpstream = "login host"

// everyUpstream are the upstreams, and the identity provider in another process.
func (gen *Generation) everyUpstream() iter.Seq[*upstream] {
	return func(yield func(*upstream) bool) {
		for _, u := range gen.upstreams {
			if !yield(u) {
				return
			}
		}
		if gen.login != nil {
			yield(gen.login)
		}
	}
}

// loginResolve is the longest time until the name of an identity provider in another process is looked up again.
const loginResolve = 10 * time.Second

// key is how what is known of the upstream is told from what is known of others.
func (u *upstream) key() string {
	if u.headers == nil {
		return loginUpstream
	}
	return u.Name
}

// generationID is the identity of a generation, without keeping an old one alive.
type generationID struct{ _ byte }

// NewGeneration verifies s and compiles it.
func NewGeneration(s Settings) (*Generation, error) {
	switch {
	case s.Policies == nil:
		return nil, errors.New("gateway: no policies")
	case s.Verifier == nil:
		return nil, errors.New("gateway: no verifier")
	case s.PublicPort < 1 || s.PublicPort > 65535:
		return nil, fmt.Errorf("gateway: public port %d is not a port", s.PublicPort)
	case len(s.Cookies) > maxCookies:
		return nil, fmt.Errorf("gateway: %d SSO cookies; at most %d are possible", len(s.Cookies), maxCookies)
	case s.Login.Host != "" && s.Login.Handler == nil && s.Login.Upstream == nil:
		return nil, errors.New("gateway: a login host without a handler or an upstream")
	}
	gen := &Generation{
		Settings: s, id: new(generationID), upstreams: make(map[string]*upstream, len(s.Upstreams)),
		proxies: request.Proxies{Networks: s.TrustedProxies, Headers: s.ClientIPHeaders, Forwarded: s.UseForwarded},
	}
	if s.PublicPort != 443 {
		gen.portSuffix = ":" + strconv.Itoa(s.PublicPort)
	}
	for i, u := range s.Upstreams {
		next, err := gen.newUpstream(i, u)
		if err != nil {
			return nil, err
		}
		gen.upstreams[u.Name] = next
	}
	if s.Login.Upstream != nil {
		gen.login = &upstream{Upstream: Upstream{Name: "login", URLs: []*url.URL{s.Login.Upstream}, KeepAlive: defaultKeepAlive, Resolve: loginResolve}, identity: new(tlsIdentity)}
	}
	gen.assertionIssuer = "https://" + s.Domain
	return gen, nil
}

// newUpstream verifies the i-th upstream, and readies it.
func (gen *Generation) newUpstream(i int, u Upstream) (*upstream, error) {
	if u.Preset == "" {
		u.Preset = "x-user"
	}
	keys, ok := presets[u.Preset]
	if !ok {
		return nil, fmt.Errorf("gateway: upstream %s: no preset %q of identity headers", u.Name, u.Preset)
	}
	for _, name := range u.PassIdentity {
		if request.ClassifyHeader(name) != request.IdentityHeader && !gen.isTokenHeader(name) {
			return nil, fmt.Errorf("gateway: upstream %s: %s is no identity header of another product", u.Name, name)
		}
	}
	if len(u.URLs) == 0 {
		return nil, fmt.Errorf("gateway: upstream %s has no address", u.Name)
	}
	if u.Weights != nil && (len(u.Weights) != len(u.URLs) || slices.Min(u.Weights) < 0) {
		return nil, fmt.Errorf("gateway: upstream %s has not a weight for each address", u.Name)
	}
	for _, address := range u.URLs {
		if err := checkUpstreamURL(address, u.URLs[0]); err != nil {
			return nil, fmt.Errorf("gateway: upstream %s: %w", u.Name, err)
		}
	}
	if u.ProxyProtocol > 2 || u.ProxyProtocol > 0 && isHTTP2(u.URLs[0]) {
		return nil, fmt.Errorf("gateway: upstream %s: there is no PROXY header of version %d, or none in HTTP/2, whose connections many share", u.Name, u.ProxyProtocol)
	}
	identity, err := u.TLS.parse()
	if err != nil {
		return nil, fmt.Errorf("gateway: upstream %s: %w", u.Name, err)
	}
	if u.Timeout <= 0 {
		u.Timeout = 60 * time.Second
	}
	if u.KeepAlive == 0 {
		u.KeepAlive = defaultKeepAlive
	}
	if u.ProxyProtocol > 0 {
		u.KeepAlive = -1
	}
	if h := u.Health; h.Path != "" && (h.Timeout <= 0 || h.Timeout > h.Interval) {
		return nil, fmt.Errorf("gateway: upstream %s: a health check may take %s, of an interval of %s", u.Name, h.Timeout, h.Interval)
	}
	next := &upstream{Upstream: u, index: i, headers: keys, identity: identity, prefix: prefixOf(u.URLs[0]), http2: isHTTP2(u.URLs[0])}
	if next.local, err = localProxyHeader(u.ProxyProtocol); err != nil {
		return nil, err
	}
	return next, nil
}

// hasTokenHeader reports whether a proxy before the gateway sent somebody's token.
func (gen *Generation) hasTokenHeader(h http.Header) bool {
	for _, known := range gen.TokenHeaders {
		if len(h[known.Name]) > 0 {
			return true
		}
	}
	return false
}

// isTokenHeader reports whether a proxy before the gateway sends tokens in a header of
// that name, after folding.
func (gen *Generation) isTokenHeader(name string) bool {
	for _, known := range gen.TokenHeaders {
		if request.SameHeader(name, known.Name) {
			return true
		}
	}
	return false
}

// Serves reports whether requests for host have a policy or are the login's.
func (gen *Generation) Serves(host string) bool {
	canonical, err := request.ParseHost(host)
	if err != nil {
		return false
	}
	return string(canonical) == gen.Login.Host && gen.Login.Host != "" || gen.Policies.Lookup(canonical) != nil
}

// origin is the public origin of host.
func (gen *Generation) origin(host string) string { return "https://" + host + gen.portSuffix }

// loginURL is the URL of the login page with returnTo as redirect_uri; "" where
// there is no login.
func (gen *Generation) loginURL(returnTo string) string {
	base := gen.Login.URL
	if base == "" && gen.Login.Host != "" {
		base = gen.origin(gen.Login.Host) + "/login"
	}
	if base == "" {
		return ""
	}
	separator := "?"
	if strings.Contains(base, "?") {
		separator = "&"
	}
	return base + separator + "redirect_uri=" + url.QueryEscape(returnTo)
}

// logoutURL is where our own IdP signs people out; "" when there is none.
func (gen *Generation) logoutURL() string {
	if gen.Login.Host != "" {
		return gen.origin(gen.Login.Host) + "/logout"
	}
	return gen.Login.LogoutURL
}
