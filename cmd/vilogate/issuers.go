package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"slices"
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

// verifier verifies the tokens of every issuer. One that is as before stays, with what it remembers.
func (b *builder) verifier(cfg *config.Config, gen, before *generation) (*token.Verifier, error) {
	if before != nil && before.verifier != nil && reflect.DeepEqual(issuersOf(before.cfg), issuersOf(cfg)) {
		gen.remotes = before.remotes
		return before.verifier, nil
	}
	c := token.VerifierConfig{Refuse: []string{"https://" + cfg.Domain}, Revoked: b.revoked}
	if cfg.OwnLogin() && cfg.Login != nil {
		own := token.IssuerConfig{
			Name: token.OwnIssuer, ISS: ownIssuerURL(cfg, b.publicPort), Audiences: []string{cfg.Tokens.Audience},
			Keys: b.ownKeys, Cookie: cfg.Tokens.Cookie, Own: true,
		}
		if own.Keys == nil {
			keys, err := b.remote(gen, before, ownKeysAt(cfg, b.publicPort, b.log))
			if err != nil {
				return nil, placed(cfg.Places.Of("login"), err)
			}
			own.Keys = keys
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
			remote := jwks.RemoteConfig{URL: i.JWKS, Client: backChannel(), Log: b.log.With("issuer", i.Name)}
			if i.JWKS == "" {
				remote.DiscoveryIssuer = i.Issuer
			}
			keys, err := b.remote(gen, before, remote)
			if err != nil {
				return nil, placed(i.Places.Of(""), fmt.Errorf("issuer %s: %w", i.Name, err))
			}
			issuer.Keys = keys
		}
		c.Issuers = append(c.Issuers, issuer)
	}
	verifier, err := token.NewVerifier(c)
	return verifier, placed(cfg.Tokens.Places.Of("issuers"), err)
}

// remote takes over keys that are fetched already, or makes a source that will be started when gen is committed.
func (b *builder) remote(gen, before *generation, c jwks.RemoteConfig) (*remoteKeys, error) {
	name := c.URL + c.DiscoveryIssuer
	if before != nil && before.remotes[name] != nil {
		gen.remotes[name] = before.remotes[name]
	}
	if gen.remotes[name] == nil {
		r, err := jwks.NewRemote(c)
		if err != nil {
			return nil, err
		}
		gen.remotes[name] = &remoteKeys{Remote: r}
	}
	return gen.remotes[name], nil
}

// ownKeysAt is where an IdP in another process publishes its keys. They are asked for at its address, in the name of the
// login host.
func ownKeysAt(cfg *config.Config, publicPort int, log *slog.Logger) jwks.RemoteConfig {
	c := jwks.RemoteConfig{
		URL: ownIssuerURL(cfg, publicPort) + "/.well-known/jwks.json", Client: backChannel(),
		Interval: time.Minute, Log: log.With("issuer", token.OwnIssuer),
	}
	if cfg.Login.Upstream != "" {
		c.URL = strings.TrimSuffix(cfg.Login.Upstream, "/") + "/.well-known/jwks.json"
		c.Host = cfg.Login.Host + portSuffix(publicPort)
	}
	return c
}

// backChannel is the client with which the process itself asks other processes. It knows that *.localhost is this machine,
// which not every resolver does.
func backChannel() *http.Client {
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

// issuersOf is what decides whose tokens are believed.
func issuersOf(cfg *config.Config) []config.Issuer {
	all := slices.Clone(cfg.Tokens.Issuers)
	for i := range all {
		all[i].Places, all[i].Claims.Places = nil, nil
	}
	return all
}
