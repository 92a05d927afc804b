package generation

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/backchannel"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Check judges a configuration as a start and a reload do, without a process: what it returns is to be looked at, and cannot
// serve. Of a configuration that is not known completely (config.Sources.NoSecrets), it judges what is known.
func Check(cfg *config.Config, noSecrets bool) (*Generation, error) {
	b := Builder{
		PublicPort: PublicPort(cfg, cfg.Listen.HTTPS.Port()), NoSecrets: noSecrets, Log: slog.New(slog.DiscardHandler),
		OwnKeys: jwks.Static(nil), Login: http.NotFoundHandler(), Revoked: func(*token.Claims) bool { return false },
	}
	return b.Build(cfg, nil)
}

// Build judges all of a configuration and of the files that it names, and makes what is served by it. It reads files, and
// changes nothing: neither what is on the disk, nor before, which may be nil and gives keys that were fetched already. The
// error says all that is wrong, each at its place.
func (b *Builder) Build(cfg *config.Config, before *Generation) (*Generation, error) {
	gen := &Generation{Config: cfg, Loaded: time.Now(), Remotes: map[string]*jwks.Remote{}, Fetched: map[string]*jwks.Remote{}}
	var wrong error
	switch {
	case cfg.Gateway() && cfg.Incomplete:
		wrong = b.incomplete(gen)
	case cfg.Gateway():
		wrong = b.gateway(gen, before)
	}
	if err := config.Together(wrong, b.redis(cfg), b.certificates(gen), b.redirectPolicy(gen)); err != nil {
		return nil, err
	}
	return gen, nil
}

// incomplete judges what can be of a gateway whose configuration is not known completely: its policies.
func (b *Builder) incomplete(gen *Generation) error {
	if gen.Config.Domain == "" || gen.Config.Policies == "" {
		return errors.New("`domain` and `policies` come from the environment; without them, nothing of the policies can be checked")
	}
	return b.addPolicies(gen)
}

// gateway makes what a gateway serves by.
func (b *Builder) gateway(gen, before *Generation) error {
	cfg := gen.Config
	s := gateway.Settings{
		Domain: cfg.Domain, PublicPort: b.PublicPort, Cookies: cookies(cfg), TokenHeaders: tokenHeaders(cfg), TrustedProxies: Prefixes(cfg.TrustedProxies),
		ClientIPHeaders: ClientIPHeaders(cfg), UseForwarded: cfg.UsesForwarded(),
	}
	var errs [5]error
	errs[0] = b.addPolicies(gen)
	s.Shadow, s.ShadowID, errs[1] = b.shadow(gen)
	errs[2] = b.newVerifier(gen, before)
	s.Login, errs[3] = b.loginSettings(cfg)
	s.Upstreams, errs[4] = upstreams(cfg)
	if err := config.Together(errs[:]...); err != nil {
		return err
	}
	s.Policies, s.PoliciesID, s.Verifier, s.Admits = gen.Policies, gen.PoliciesID, gen.Verifier, gen.TLS.admitsConnection
	var err error
	gen.Gateway, err = gateway.NewGeneration(s)
	return config.Placed(cfg.Places.Of(""), err)
}

// addPolicies reads and compiles the policies, and what they name.
func (b *Builder) addPolicies(gen *Generation) (err error) {
	cfg := gen.Config
	if gen.files, err = ReadPolicies(cfg.Policies); err != nil {
		return config.Placed(cfg.Places.Of("policies"), err)
	}
	if gen.Policies, err = policies.Compile(gen.files, PolicyOptions(cfg, b.PublicPort)); err != nil {
		return err
	}
	gen.PoliciesID = PoliciesID(cfg.Policies, gen.files)
	gen.TLS, err = readHostTLS(gen.Policies)
	return err
}

// shadow reads and compiles the policies that stand in the shadow of the live ones, where there are any.
func (b *Builder) shadow(gen *Generation) (set *policies.Set, id string, err error) {
	if b.Shadow == "" {
		return nil, "", nil
	}
	if gen.shadowFiles, err = ReadPolicies(b.Shadow); err != nil {
		return nil, "", fmt.Errorf("the shadow policies: %w", err)
	}
	set, err = policies.Compile(gen.shadowFiles, PolicyOptions(gen.Config, b.PublicPort))
	return set, PoliciesID(b.Shadow, gen.shadowFiles), err
}

// redis makes what would speak to Redis, and connects to nothing.
func (b *Builder) redis(cfg *config.Config) error {
	if cfg.Redis == nil || cfg.Incomplete {
		return nil
	}
	redis, err := stores.OpenRedis(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return redis.Close()
}

// redirectPolicy makes the addresses that a login may return to: of the hosts that the configuration names, else of the policies'.
func (b *Builder) redirectPolicy(gen *Generation) (err error) {
	cfg := gen.Config
	if cfg.IDP == nil {
		return nil
	}
	hosts := cfg.IDP.ReturnHosts
	var wrong strictyaml.Errors
	if len(hosts) == 0 {
		hosts = gen.PolicyHosts()
		for _, host := range hosts {
			if err := idp.CheckReturnHost(host); err != nil {
				wrong = append(wrong, &strictyaml.Error{Place: gen.Policies.Policy(host).Place, Msg: err.Error()})
			}
		}
	}
	if len(wrong) > 0 || cfg.Incomplete {
		return wrong.Sorted()
	}
	gen.Returns, err = idp.NewRedirectPolicy(hosts, cfg.IDP.Home, cfg.Login.Host, b.PublicPort)
	return config.Placed(cfg.Places.Of("idp"), err)
}

// cookies are the SSO cookies in the order in which they are looked at.
func cookies(cfg *config.Config) []gateway.Cookie {
	var all []gateway.Cookie
	if cfg.UsesOwnIDP() {
		all = append(all, gateway.Cookie{Name: cfg.Tokens.Cookie, Issuer: token.OwnIssuer})
	}
	for _, i := range cfg.Tokens.Issuers {
		if i.Cookie != "" {
			all = append(all, gateway.Cookie{Name: i.Cookie, Issuer: i.Name})
		}
	}
	return all
}

// tokenHeaders are the headers in which proxies before the gateway send tokens.
func tokenHeaders(cfg *config.Config) []gateway.TokenHeader {
	var all []gateway.TokenHeader
	for _, i := range cfg.Tokens.Issuers {
		if i.Header != "" {
			all = append(all, gateway.TokenHeader{Name: string(i.Header), Issuer: i.Name})
		}
	}
	return all
}

// loginSettings says where people sign in.
func (b *Builder) loginSettings(cfg *config.Config) (gateway.Login, error) {
	switch l := cfg.Login; {
	case l == nil:
		return gateway.Login{}, nil
	case l.URL != "":
		return gateway.Login{URL: l.URL}, nil
	case cfg.IDP != nil:
		return gateway.Login{Host: l.Host, Handler: b.Login, Sessions: b.Sessions}, nil
	case l.Upstream != "":
		return loginUpstream(cfg)
	default:
		own := ownIssuerURL(cfg, b.PublicPort) // reached without this gateway
		return gateway.Login{URL: own + "/login", LogoutURL: own + "/logout"}, nil
	}
}

// loginUpstream is our own identity provider in another process.
func loginUpstream(cfg *config.Config) (gateway.Login, error) {
	l := cfg.Login
	u, err := url.Parse(l.Upstream)
	if err != nil {
		return gateway.Login{}, config.Placed(l.Places.Of("upstream"), err)
	}
	login := gateway.Login{Host: l.Host, Upstream: u}
	if cfg.Secret != "" {
		client, err := backchannel.NewClient(u, []byte(cfg.Secret), time.Now)
		if err != nil {
			return gateway.Login{}, config.Placed(cfg.Places.Of("secret"), err)
		}
		login.Sessions = client
	}
	return login, nil
}

// upstreams are the backends.
func upstreams(cfg *config.Config) (all []gateway.Upstream, err error) {
	var errs []error
	for _, name := range cfg.UpstreamNames() {
		u, err := upstream(name, cfg.Upstreams[name])
		errs = append(errs, config.Placed(cfg.Upstreams[name].Places.Of(""), err))
		all = append(all, u)
	}
	return all, config.Together(errs...)
}

func upstream(name string, u config.Upstream) (gateway.Upstream, error) {
	out := gateway.Upstream{
		Name: name, Timeout: u.Timeout.Std(), ForwardToken: u.ForwardToken,
		KeepAlive: time.Duration(u.Keepalive), NoRetry: u.Retry == "off", Consecutive5xx: u.Eject.Consecutive5xx, SlowStart: u.SlowStart.Std(),
		OddHeaders: map[string]gateway.OddHeaders{"drop": gateway.DropOdd, "reject": gateway.RejectOdd, "pass": gateway.PassOdd}[u.OddHeaders],
	}
	out.Buffer = gateway.Buffer{Request: int64(u.Buffer.Request), Response: int64(u.Buffer.Response), Disk: int64(u.Buffer.Disk), Unknown: u.Buffer.Unknown}
	out.Limits = gateway.Limits{
		Concurrency: u.Concurrency, Connections: u.Connections, Queue: gateway.Queue{Length: u.Queue.Length, Timeout: u.Queue.Timeout.Std()},
	}
	if b := u.Breaker; b != nil {
		out.Limits.Breaker = gateway.Breaker{Failures: b.Failures, Open: b.Open.Std()}
	}
	out.Affinity = map[config.Affinity]gateway.Affinity{"user": gateway.AffinityUser, "cookie": gateway.AffinityCookie}[u.Affinity]
	out.ProxyProtocol = map[config.ProxyProtocol]byte{"v1": 1, "v2": 2}[u.ProxyProtocol]
	out.WebSocketPing = time.Duration(u.WebSocketPing)
	if out.TCPKeepAlive = time.Duration(u.TCPKeepalive); out.TCPKeepAlive == 0 {
		out.TCPKeepAlive = -1 // off
	}
	out.Resolve, out.Resolver = time.Duration(u.Resolve), u.Resolver
	if out.KeepAlive == 0 {
		out.KeepAlive = -1 // off
	}
	if h := u.Health; h != nil {
		out.Health = gateway.HealthCheck{
			Path: h.Path, Host: h.Host, Interval: h.Interval.Std(), Timeout: h.Timeout.Std(), Healthy: h.Healthy, Unhealthy: h.Unhealthy,
			MinStatus: h.Status.From, MaxStatus: h.Status.To,
		}
	}
	if t := u.TLS; t != nil {
		out.TLS = gateway.UpstreamTLS{Roots: t.RootsPEM, Name: t.Name, Certificate: t.CertificatePEM, Key: t.KeyPEM}
	}
	if u.IdentityHeaders != "x-user" {
		out.Preset = u.IdentityHeaders
	}
	for _, header := range u.IdentityHeadersPass {
		out.PassIdentity = append(out.PassIdentity, string(header))
	}
	for _, address := range u.Addresses() {
		parsed, err := url.Parse(string(address.URL))
		if err != nil {
			return out, fmt.Errorf("upstream %s: its address cannot be understood", name)
		}
		out.URLs, out.Weights = append(out.URLs, parsed), append(out.Weights, address.Weight)
	}
	return out, nil
}
