package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/server"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

type tokenCommands struct {
	Explain tokenExplainCommand `cmd:"" help:"Say what the configuration makes of a token, which is read from standard input."`
	Create  unsupportedCommand  `cmd:"" passthrough:"" help:"Create a token (not supported yet)."`
}

// tokenExplainCommand judges a token by the verifier that a server would have, and prints neither the token nor its signature.
type tokenExplainCommand struct {
	Config    string   `short:"c" default:"vilogate.yaml" placeholder:"FILE" help:"The configuration."`
	JSON      bool     `help:"Print JSON."`
	Arguments []string `arg:"" optional:"" hidden:"" help:"Nothing: the token comes from standard input."`
}

// errTokenArgument does not say which argument it was: that may be a token.
var errTokenArgument = errors.New("token explain takes no arguments: the token is read from standard input, " +
	"where neither the list of processes nor the shell's history sees it")

// maxTokenInput bounds what is read; no token is as long.
const maxTokenInput = 1 << 20

// Run explains the token.
func (c *tokenExplainCommand) Run(w *commandEnv) error {
	if len(c.Arguments) > 0 {
		return usageError{errTokenArgument}
	}
	cfg, err := config.Load(c.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile})
	if err != nil {
		return err
	}
	if !cfg.Gateway() {
		return fmt.Errorf("%s configures no gateway (`policies`): nothing verifies tokens by it", c.Config)
	}
	data, err := io.ReadAll(io.LimitReader(w.stdin, maxTokenInput))
	if err != nil {
		return fmt.Errorf("reading the token: %w", err)
	}
	raw := strings.TrimSpace(string(data))
	if scheme, rest, ok := strings.Cut(raw, " "); ok && strings.EqualFold(scheme, "bearer") {
		raw = strings.TrimSpace(rest)
	}
	if raw == "" {
		return usageError{errors.New("there is no token on standard input")}
	}
	report, err := c.explain(w, cfg, raw)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(w.stdout, report)
	}
	_, err = io.WriteString(w.stdout, report.text())
	return err
}

// explain judges the token, with keys that are fetched where they are needed.
func (c *tokenExplainCommand) explain(w *commandEnv, cfg *config.Config, raw string) (*tokenReport, error) {
	running := runningServer{ctx: w.ctx, dir: cfg.State}
	verifier, remotes, err := generation.Verifier(cfg, token.KeySourceFunc(running.key))
	if err != nil {
		return nil, err
	}
	e := verifier.Explain(raw, time.Now())
	var fetching error
	if errors.Is(e.Err, token.ErrKeysNotLoaded) {
		fetching = fetchKeys(w.ctx, remotes[e.Issuer])
		e = verifier.Explain(raw, time.Now())
	}
	report := newTokenReport(cfg, e, fetching)
	if reason, err := running.verdict(raw); err == nil {
		report.Server = reason
	}
	return report, nil
}

// runningServer is the server of the state folder, where one runs.
type runningServer struct {
	ctx context.Context
	dir string
}

// key asks it for a key of our own identity provider; a [token.KeySource].
func (r runningServer) key(kid string, _ time.Time) (token.PublicKey, error) {
	answer, err := callServer[server.PublicKeys](r.ctx, r.dir, "keys/public", server.KeyName{ID: kid})
	if err != nil {
		return token.PublicKey{}, token.ErrKeysNotLoaded
	}
	keys, err := token.ParseSet(answer.Set)
	switch {
	case err != nil:
		return token.PublicKey{}, err
	case len(keys) == 0:
		return token.PublicKey{}, token.ErrUnknownKey
	}
	return keys[0], nil
}

// verdict asks it what it makes of the token just now.
func (r runningServer) verdict(raw string) (string, error) {
	answer, err := callServer[server.TokenVerdict](r.ctx, r.dir, "token/verify", server.TokenText{Token: raw})
	if err != nil {
		return "", err
	}
	if answer.Reason == "" {
		return "accepted", nil
	}
	return answer.Reason, nil
}

// fetchKeys fetches a key set once; nil is one that nobody publishes.
func fetchKeys(ctx context.Context, remote *jwks.Remote) error {
	if remote == nil {
		return nil
	}
	ctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- remote.Run(ctx) }()
	for !remote.Ready() && remote.Status().Err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	stop()
	<-ended // with the error of the context
	return remote.Status().Err
}
