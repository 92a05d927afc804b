package generation

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A gateway whose login host is reached without it sends people there for both, to sign in and to sign out.
func TestALoginHostElsewhereSignsOutToo(t *testing.T) {
	t.Parallel()
	b := Builder{PublicPort: 8443}
	login, err := b.loginSettings(&config.Config{Login: &config.Login{Host: "login.example.com"}})
	if err != nil || login.Host != "" || login.URL != "https://login.example.com:8443/login" || login.LogoutURL != "https://login.example.com:8443/logout" {
		t.Errorf("got %+v, %v", login, err)
	}
	if login, err = b.loginSettings(&config.Config{Login: &config.Login{URL: "https://other.example/in"}}); err != nil || login.LogoutURL != "" {
		t.Errorf("somebody else's page: got %+v, %v", login, err)
	}
}

// Whatever a room below refuses has a place in the configuration, at a start, a check and a reload alike.
func TestWhatTheRoomsRefuseHasAPlace(t *testing.T) {
	t.Parallel()
	at := strictyaml.Place{File: "v.yaml", Line: 4, Column: 3}
	places := func(key string) strictyaml.Places { return strictyaml.Places{key: at} }
	b := Builder{PublicPort: 443, Log: slog.New(slog.DiscardHandler)}
	of := func(cfg config.Config) *Generation { return &Generation{Config: &cfg} }
	hasPlace(t, b.newVerifier(of(config.Config{Tokens: config.Tokens{
		Issuers: []config.Issuer{{Name: "short", Secret: "short"}}, Places: places("issuers"),
	}}), nil), at)
	hasPlace(t, b.addPolicies(of(config.Config{Policies: filepath.Join(t.TempDir(), "nowhere"), Places: places("policies")})), at)
	hasPlace(t, b.redis(&config.Config{Redis: &config.Redis{URL: "redis://127.0.0.1/x"}, Places: places("redis")}), at)
	hasPlace(t, b.certificates(of(config.Config{Certificates: &config.Certificates{CARoots: "nowhere.pem", Places: places("ca_roots")}})), at)
	err := certificatesErrorAt(&config.Config{Certificates: &config.Certificates{Files: []config.CertificateFiles{
		{Certificate: "nowhere.pem", Key: "nowhere.key", Places: places("certificate")},
	}}}, errors.New("missing"))
	hasPlace(t, err, at)
}

func hasPlace(t *testing.T, err error, at strictyaml.Place) {
	t.Helper()
	var all strictyaml.Errors
	if !errors.As(err, &all) || len(all) != 1 || all[0].Place != at {
		t.Errorf("got %v, want an error at %v", err, at)
	}
}

func TestANameCoversOneLabel(t *testing.T) {
	t.Parallel()
	names := []string{"example.com", "*.example.com", "*.deep.example.com"}
	for host, want := range map[string]bool{
		"example.com": true, "app.example.com": true, "a.deep.example.com": true, "*.deep.example.com": true,
		"a.b.example.com": false, "*.b.example.com": false, "example.org": false,
	} {
		if coversHost(names, host) != want {
			t.Errorf("%s: want %v", host, want)
		}
	}
}
