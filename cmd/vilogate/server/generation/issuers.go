package generation

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// ownIssuerURL is the `iss` of our own IdP's tokens.
func ownIssuerURL(cfg *config.Config, publicPort int) string {
	return "https://" + cfg.Login.Host + portSuffix(publicPort)
}

// newVerifier makes the verifier of all issuers' tokens. Where no issuer changed, the one before stays, with its cache.
func (b *Builder) newVerifier(gen, before *Generation) (err error) {
	cfg := gen.Config
	if before != nil && before.Verifier != nil && !config.BeginsIDP(before.Config, cfg) &&
		config.Equal(before.Config.Tokens.Issuers, cfg.Tokens.Issuers) {
		gen.Verifier, gen.Remotes, gen.Fetched, gen.Own = before.Verifier, before.Remotes, before.Fetched, before.Own
		return nil
	}
	c := token.VerifierConfig{
		Refuse: []string{"https://" + cfg.Domain}, MaxLength: int(cfg.Tokens.MaxBytes), Revoked: b.Revoked,
		Report: newRoleFindings(b.Log, b.Roles).report,
	}
	if cfg.UsesOwnIDP() && cfg.Login != nil {
		own := token.IssuerConfig{
			Name: token.OwnIssuer, ISS: ownIssuerURL(cfg, b.PublicPort), Audiences: []string{cfg.Tokens.Audience},
			Keys: b.OwnKeys, Cookie: cfg.Tokens.Cookie, Own: true,
		}
		if cfg.IDP == nil {
			if gen.Own, err = remote(gen, before, token.OwnIssuer, "", ownJWKSConfig(cfg, b.PublicPort, b.Log)); err != nil {
				return config.Placed(cfg.Places.Of("login"), err)
			}
			own.Keys = gen.Own
		}
		c.Issuers = append(c.Issuers, own)
	}
	for _, i := range cfg.Tokens.Issuers {
		issuer := token.IssuerConfig{
			Name: i.Name, ISS: i.Issuer, Audiences: i.Audience, ClientIDs: i.ClientIDs, Algorithm: i.Algorithm, Algorithms: i.Algorithms, Cookie: i.Cookie,
			ClaimUser: i.Claims.User, ClaimEmail: i.Claims.Email, ClaimName: i.Claims.Name,
		}
		issuer.ClaimRoles, issuer.Roles = roles(i)
		for _, secret := range i.SharedSecrets() {
			issuer.Secrets = append(issuer.Secrets, []byte(secret))
		}
		if len(issuer.Secrets) == 0 {
			if issuer.Keys, err = b.issuerKeys(gen, before, i); err != nil {
				return config.Placed(i.Places.Of(""), fmt.Errorf("issuer %s: %w", i.Name, err))
			}
		}
		c.Issuers = append(c.Issuers, issuer)
	}
	gen.Verifier, err = token.NewVerifier(c)
	return config.Placed(cfg.Tokens.Places.Of("issuers"), err)
}

// roles says where the roles of an issuer's tokens are, and what becomes of them.
func roles(i config.Issuer) (claim string, c token.RolesConfig) {
	switch path := i.Claims.Roles; len(path) {
	case 0:
		return "", c
	case 1:
		claim = path[0]
	default:
		c.Path = path
	}
	c.Delimiter, c.Map, c.Unmapped = i.Claims.Delimiter, i.RoleMap, i.RolesUnmapped
	return claim, c
}

// issuerKeys are the keys of another issuer: those in the configuration, or what it publishes.
func (b *Builder) issuerKeys(gen, before *Generation, i config.Issuer) (token.KeySource, error) {
	if i.Keys.Set != "" {
		keys, err := token.ParseSet([]byte(i.Keys.Set))
		return jwks.Static(keys), err
	}
	c := jwks.RemoteConfig{URL: i.JWKS, FollowRedirect: true, Log: b.Log.With("issuer", i.Name)}
	if i.JWKS == "" {
		c.DiscoveryIssuer = i.Issuer
	}
	var err error
	if c.Client, err = issuerClient(i.CAPEM); err != nil {
		return nil, err
	}
	return remote(gen, before, i.Name, i.CAPEM, c)
}

// remote takes over keys of an issuer that are fetched already, from the same place and by the same CA, or makes a source
// that will be run when gen is in force.
func remote(gen, before *Generation, issuer, caPEM string, c jwks.RemoteConfig) (*jwks.Remote, error) {
	name := fmt.Sprintf("%s %s %x", issuer, c.URL+c.DiscoveryIssuer, sha256.Sum256([]byte(caPEM)))
	if before != nil && before.Remotes[name] != nil {
		gen.Remotes[name] = before.Remotes[name]
	}
	if gen.Remotes[name] == nil {
		r, err := jwks.NewRemote(c)
		if err != nil {
			return nil, err
		}
		gen.Remotes[name] = r
	}
	gen.Fetched[issuer] = gen.Remotes[name]
	return gen.Remotes[name], nil
}

// ownJWKSConfig is where an IdP in another process publishes its keys. They are asked for at its address, in the name of the
// login host.
func ownJWKSConfig(cfg *config.Config, publicPort int, log *slog.Logger) jwks.RemoteConfig {
	c := jwks.RemoteConfig{
		URL: ownIssuerURL(cfg, publicPort) + "/.well-known/jwks.json", Client: backChannelClient(),
		Interval: time.Minute, Log: log.With("issuer", token.OwnIssuer),
	}
	if cfg.Login.Upstream != "" {
		c.URL = strings.TrimSuffix(cfg.Login.Upstream, "/") + "/.well-known/jwks.json"
		c.Host = cfg.Login.Host + portSuffix(publicPort)
	}
	return c
}

// issuerClient is the client with which another issuer is asked: through the environment's proxy, and trusting the servers
// that the CA has signed for, where there is one, and no others.
func issuerClient(caPEM string) (*http.Client, error) {
	transport := backChannelTransport()
	transport.Proxy = proxyFromEnvironment
	if caPEM != "" {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(caPEM)) {
			return nil, errors.New("its ca holds no certificate (PEM)")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}

// proxyFromEnvironment is the proxy that HTTPS_PROXY and NO_PROXY name. What cannot be understood is not quoted: a proxy's
// address may hold a password.
func proxyFromEnvironment(r *http.Request) (*url.URL, error) {
	if isLocalName(r.URL.Hostname()) {
		return nil, nil
	}
	proxy, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("HTTPS_PROXY is no address of a proxy")
	}
	return proxy, nil
}

// backChannelClient is the client with which the process asks our own IdP: never through a proxy.
func backChannelClient() *http.Client { return &http.Client{Transport: backChannelTransport()} }

// backChannelTransport knows that *.localhost is this machine, which not every resolver does.
func backChannelTransport() *http.Transport {
	var dialer net.Dialer
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && isLocalName(host) {
				address = net.JoinHostPort("localhost", port)
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
	}
}

func isLocalName(host string) bool { return strings.HasSuffix(host, ".localhost") }
