package generation

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
	if before != nil && before.Verifier != nil && config.Equal(before.Config.Tokens.Issuers, cfg.Tokens.Issuers) {
		gen.Verifier, gen.Remotes, gen.Own = before.Verifier, before.Remotes, before.Own
		return nil
	}
	c := token.VerifierConfig{Refuse: []string{"https://" + cfg.Domain}, Revoked: b.Revoked}
	if cfg.UsesOwnIDP() && cfg.Login != nil {
		own := token.IssuerConfig{
			Name: token.OwnIssuer, ISS: ownIssuerURL(cfg, b.PublicPort), Audiences: []string{cfg.Tokens.Audience},
			Keys: b.OwnKeys, Cookie: cfg.Tokens.Cookie, Own: true,
		}
		if cfg.IDP == nil {
			if gen.Own, err = remote(gen, before, ownJWKSConfig(cfg, b.PublicPort, b.Log)); err != nil {
				return config.Placed(cfg.Places.Of("login"), err)
			}
			own.Keys = gen.Own
		}
		c.Issuers = append(c.Issuers, own)
	}
	for _, i := range cfg.Tokens.Issuers {
		issuer := token.IssuerConfig{
			Name: i.Name, ISS: i.Issuer, Audiences: i.Audience, Algorithm: i.Algorithm, Cookie: i.Cookie,
			ClaimUser: i.Claims.User, ClaimEmail: i.Claims.Email, ClaimName: i.Claims.Name, ClaimRoles: i.Claims.Roles,
		}
		if i.Secret != "" {
			issuer.Secret = []byte(i.Secret)
		} else {
			at := jwks.RemoteConfig{URL: i.JWKS, Client: backChannelClient(), Log: b.Log.With("issuer", i.Name)}
			if i.JWKS == "" {
				at.DiscoveryIssuer = i.Issuer
			}
			keys, err := remote(gen, before, at)
			if err != nil {
				return config.Placed(i.Places.Of(""), fmt.Errorf("issuer %s: %w", i.Name, err))
			}
			issuer.Keys = keys
		}
		c.Issuers = append(c.Issuers, issuer)
	}
	gen.Verifier, err = token.NewVerifier(c)
	return config.Placed(cfg.Tokens.Places.Of("issuers"), err)
}

// remote takes over keys that are fetched already, or makes a source that will be run when gen is in force.
func remote(gen, before *Generation, c jwks.RemoteConfig) (*jwks.Remote, error) {
	name := c.URL + c.DiscoveryIssuer
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

// backChannelClient is the client with which the process itself asks other processes. It knows that *.localhost is this machine,
// which not every resolver does.
func backChannelClient() *http.Client {
	var dialer net.Dialer
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("localhost", port)
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSHandshakeTimeout: 5 * time.Second, ForceAttemptHTTP2: true, MaxIdleConns: 4, IdleConnTimeout: time.Minute,
	}}
}
