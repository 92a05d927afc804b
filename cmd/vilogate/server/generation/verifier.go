package generation

import (
	"log/slog"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

// Verifier makes the verifier of a configuration's issuers as a server does, for who only asks about tokens: without the list
// of revocations, and with ownKeys where our own identity provider is in the process. The remote key sets, by the issuers' names, are to be run.
func Verifier(cfg *config.Config, ownKeys token.KeySource) (*token.Verifier, map[string]*jwks.Remote, error) {
	b := Builder{PublicPort: PublicPort(cfg, cfg.Listen.HTTPS.Port()), OwnKeys: ownKeys, Log: slog.New(slog.DiscardHandler)}
	gen := &Generation{Config: cfg, Remotes: map[string]*jwks.Remote{}, Fetched: map[string]*jwks.Remote{}}
	if err := b.newVerifier(gen, nil); err != nil {
		return nil, nil, err
	}
	return gen.Verifier, gen.Fetched, nil
}
