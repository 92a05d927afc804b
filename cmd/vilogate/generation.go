package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
)

// generation is everything that a reload replaces. It is built whole, and nothing of it is in use before it is committed.
type generation struct {
	cfg      *config.Config
	files    []policies.File
	policies string // names them: their hash

	shadowFiles []policies.File // those that enforce nothing

	gateway  *gateway.Generation // nil in an IdP alone
	hosts    []string            // of the policies
	tls      *hostTLS            // what they ask of connections; nil in an IdP alone
	loaded   time.Time
	verifier *token.Verifier
	remotes  map[string]*remoteKeys // other issuers' keys by address, also those taken over from the generation before
}

// remoteKeys are the keys of another process, fetched again and again by a goroutine that the process owns.
type remoteKeys struct {
	*jwks.Remote
	stop context.CancelFunc // nil until it was started
}

// builder builds generations. What it holds is the same for all of them.
type builder struct {
	publicPort   int
	shadow       string          // the folder of policies that enforce nothing; "" for none
	ownKeys      token.KeySource // of the IdP in this process; nil when it is elsewhere
	loginHandler http.Handler    // likewise
	revoked      func(*token.Claims) bool
	log          *slog.Logger
}

// build makes the generation of a configuration. before, which may be nil, gives keys that were fetched already, and is
// not changed.
func (b *builder) build(cfg *config.Config, before *generation) (*generation, error) {
	gen := &generation{cfg: cfg, loaded: time.Now(), remotes: map[string]*remoteKeys{}}
	if !cfg.Gateway() {
		return gen, nil
	}
	set, err := b.policies(cfg, gen)
	if err != nil {
		return nil, err
	}
	shadow, err := b.openShadow(cfg, gen)
	if err != nil {
		return nil, err
	}
	if gen.verifier, err = b.verifier(cfg, gen, before); err != nil {
		return nil, err
	}
	settings := gateway.Settings{
		Domain: cfg.Domain, PublicPort: b.publicPort, Policies: set, PoliciesID: gen.policies, Verifier: gen.verifier,
		Cookies: cookies(cfg), TrustedProxies: prefixes(cfg.TrustedProxies),
	}
	if shadow != nil {
		settings.Shadow, settings.ShadowID = shadow, policiesID(b.shadow, gen.shadowFiles)
	}
	if gen.tls, err = readHostTLS(set); err != nil {
		return nil, err
	}
	settings.Admits = gen.tls.admits
	if settings.Login, err = b.login(cfg); err != nil {
		return nil, placed(cfg.Places.Of("login"), err)
	}
	for _, name := range cfg.UpstreamNames() {
		u, err := upstream(name, cfg.Upstreams[name])
		if err != nil {
			return nil, placed(cfg.Upstreams[name].Places.Of(""), err)
		}
		settings.Upstreams = append(settings.Upstreams, u)
	}
	gen.gateway, err = gateway.NewGeneration(settings)
	return gen, placed(cfg.Places.Of(""), err)
}

// policies reads and compiles the policies of a configuration for gen.
func (b *builder) policies(cfg *config.Config, gen *generation) (set *policies.Set, err error) {
	if gen.files, err = readPolicies(cfg.Policies); err != nil {
		return nil, placed(cfg.Places.Of("policies"), err)
	}
	if set, err = policies.Compile(gen.files, policyOptions(cfg, b.publicPort)); err != nil {
		return nil, err
	}
	gen.hosts, gen.policies = set.Hosts(), policiesID(cfg.Policies, gen.files)
	return set, nil
}

// policyOptions is what policies may name.
func policyOptions(cfg *config.Config, publicPort int) policies.Options {
	o := policies.Options{Domain: cfg.Domain, PublicPort: publicPort, Upstreams: cfg.UpstreamNames(), Issuers: cfg.IssuerNames()}
	if cfg.OwnLogin() && cfg.Login != nil {
		o.LoginHost = cfg.Login.Host
	}
	return o
}

// servedHosts are the hosts that the process serves: those of the policies, and the login host.
func (gen *generation) servedHosts() []string {
	login := gen.cfg.Login
	if !gen.cfg.OwnLogin() || login == nil || login.Host == "" || gen.cfg.IDP == nil && login.Upstream == "" {
		return gen.hosts
	}
	return append(slices.Clone(gen.hosts), login.Host)
}

// publicPort is the port that people see; listened is the one listened on.
func publicPort(cfg *config.Config, listened int) int { return cmp.Or(cfg.PublicPort, listened, 443) }

func portSuffix(port int) string {
	if port == 443 {
		return ""
	}
	return ":" + strconv.Itoa(port)
}

// cookies are the SSO cookies in the order in which they are looked at.
func cookies(cfg *config.Config) []gateway.Cookie {
	var all []gateway.Cookie
	if cfg.OwnLogin() {
		all = append(all, gateway.Cookie{Name: cfg.Tokens.Cookie, Issuer: token.OwnIssuer})
	}
	for _, i := range cfg.Tokens.Issuers {
		if i.Cookie != "" {
			all = append(all, gateway.Cookie{Name: i.Cookie, Issuer: i.Name})
		}
	}
	return all
}

func prefixes(networks []config.Network) []netip.Prefix {
	all := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		all[i] = n.Prefix
	}
	return all
}

// login says where people sign in.
func (b *builder) login(cfg *config.Config) (gateway.Login, error) {
	switch l := cfg.Login; {
	case l == nil:
		return gateway.Login{}, nil
	case l.URL != "":
		return gateway.Login{URL: l.URL}, nil
	case b.loginHandler != nil:
		return gateway.Login{Host: l.Host, Handler: b.loginHandler}, nil
	case l.Upstream != "":
		u, err := url.Parse(l.Upstream)
		return gateway.Login{Host: l.Host, Upstream: u}, err
	default:
		own := ownIssuerURL(cfg, b.publicPort) // reached without this gateway
		return gateway.Login{URL: own + "/login", LogoutURL: own + "/logout"}, nil
	}
}

func upstream(name string, u config.Upstream) (gateway.Upstream, error) {
	out := gateway.Upstream{
		Name: name, Timeout: u.Timeout.Std(), ForwardToken: u.ForwardToken,
		Odd: map[string]gateway.OddHeaders{"drop": gateway.DropOdd, "reject": gateway.RejectOdd, "pass": gateway.PassOdd}[u.OddHeaders],
	}
	if u.IdentityHeaders != "x-user" {
		out.Preset = u.IdentityHeaders
	}
	for _, address := range u.Addresses() {
		parsed, err := url.Parse(address)
		if err != nil {
			return out, fmt.Errorf("upstream %s: its address cannot be understood", name)
		}
		out.URLs = append(out.URLs, parsed)
	}
	return out, nil
}
