package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/server/administration"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
)

// target is the server that a command is about, by its configuration or its state folder.
type target struct {
	Config string `short:"c" placeholder:"FILE" help:"The server's configuration."`
	State  string `placeholder:"DIR" help:"The server's state folder; default: ./.vilogate if there is one, else /var/lib/vilogate."`
}

// dir is the server's state folder. From here on, root acts as the user whom it belongs to; one that is merely there must be
// this user's own.
func (t target) dir(w *commandEnv) (string, error) {
	dir := "/var/lib/vilogate"
	switch {
	case t.Config != "" && t.State != "":
		return "", usageError{errors.New("either -c or --state")}
	case t.State != "":
		dir = t.State
	case t.Config != "":
		// Whoever administers need not have the server's secrets.
		c, err := config.Load(t.Config, config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile, NoSecrets: true})
		if err != nil {
			return "", err
		}
		dir = c.State
	default:
		if _, err := os.Lstat(devState); err == nil {
			return devState, state.CheckFound(devState)
		}
	}
	return dir, state.BecomeOwner(dir)
}

// waitTimeout is how long a command waits for a server that is just starting, or just ending.
const waitTimeout = 10 * time.Second

// errNoServer says that no server has the state folder.
var errNoServer = errors.New("no server is running")

// callTimeout bounds a call, where nothing else is said.
const callTimeout = time.Minute

// call runs the action called name on the server of the target. Where none runs and the action does not need one, this process
// takes the state folder for as long as it takes, and does it itself: through the same socket, so that there is one way.
func call[Out any](w *commandEnv, t target, name string, in any, offline bool) (out Out, err error) {
	return callWithTimeout[Out](w, t, name, in, offline, callTimeout)
}

// callWithTimeout is call for actions that may take longer.
func callWithTimeout[Out any](w *commandEnv, t target, name string, in any, offline bool, timeout time.Duration) (out Out, err error) {
	dir, err := t.dir(w)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeout(w.ctx, timeout)
	defer cancel()
	deadline := time.Now().Add(waitTimeout)
	for {
		st, err := state.Open(dir, offline && t.Config != "")
		switch {
		case err == nil && offline:
			return callOffline[Out](ctx, w, t, st, name, in)
		case err == nil:
			return out, errors.Join(fmt.Errorf("%w with the state folder %s", errNoServer, dir), st.Close())
		case !errors.Is(err, state.ErrInUse):
			return out, err
		}
		out, err := callServer[Out](ctx, dir, name, in)
		if !errors.Is(err, control.ErrUnreachable) || time.Now().After(deadline) {
			return out, err
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func callServer[Out any](ctx context.Context, dir, name string, in any) (out Out, err error) {
	client, err := control.Dial(dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	return out, client.Call(ctx, name, in, &out)
}

// callOffline runs the action in this process, without a server. It owns the state folder, and gives it up at the end.
func callOffline[Out any](ctx context.Context, w *commandEnv, t target, st *state.Folder, name string, in any) (out Out, err error) {
	defer func() { err = errors.Join(err, st.Close()) }()
	cfg, err := t.lastConfig(w, st)
	if err != nil {
		return out, err
	}
	admin, err := administration.Open(ctx, cfg, st)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	var mux control.Mux
	admin.Handle(&mux)
	log := newLog(w.stderr)
	defer log.close()
	server, err := control.Listen(st.Dir, &mux, log.Logger)
	if err != nil {
		return out, err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	defer func() { err = errors.Join(err, server.Close(), <-served) }()
	return callServer[Out](ctx, st.Dir, name, in)
}

// lastConfig is the configuration of the server that a command stands in for: the one given, else the one that the state
// folder was last served with.
func (t target) lastConfig(w *commandEnv, st *state.Folder) (*config.Config, error) {
	path := t.Config
	if path == "" {
		data, err := st.Read(state.Config)
		switch {
		case errors.Is(err, fs.ErrNotExist): // no server ever ran here, so that there is nothing to be revoked anywhere
			first := &config.Config{IDP: &config.IDP{}}
			first.SetDefaults()
			return first, nil
		case err != nil:
			return nil, err
		}
		path = strings.TrimSpace(string(data))
	}
	sources := config.Sources{Getenv: w.getenv, ReadFile: os.ReadFile, NoSecrets: true}
	cfg, err := config.Load(path, sources)
	if err != nil {
		return nil, err
	}
	if cfg.Places.Of("redis") != cfg.Places.Of("") { // what is revoked must reach the fleet, which takes the secret
		sources.NoSecrets = false
		return config.Load(path, sources)
	}
	return cfg, nil
}

// devState is where dev keeps everything, and where commands look first.
const devState = ".vilogate"
