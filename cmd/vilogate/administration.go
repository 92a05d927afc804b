package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/database"
)

// What travels through the control socket.
type (
	nothing struct{}

	userName struct {
		Name string `json:"name"`
	}
	userPasswd struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	userRoles struct {
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	}
	sessionRevoke struct {
		ID   string `json:"id"`
		User string `json:"user"`
	}
)

// errNoIDP says that users and sessions are somebody else's.
var errNoIDP = errors.New("there is no identity provider in this process; ask the one that has the users")

// handleAdministration adds what an administrator may ask for. admin is nil where there is no identity provider.
func handleAdministration(m *control.Mux, admin *idp.Admin) {
	action(m, admin, "user/add", func(ctx context.Context, in idp.NewUser) (idp.User, error) { return admin.AddUser(ctx, in) })
	action(m, admin, "user/list", func(ctx context.Context, _ nothing) ([]idp.User, error) { return admin.Users(ctx) })
	action(m, admin, "user/show", func(ctx context.Context, in userName) (idp.User, error) { return admin.User(ctx, in.Name) })
	action(m, admin, "user/passwd", func(ctx context.Context, in userPasswd) (nothing, error) {
		return nothing{}, admin.SetPassword(ctx, in.Name, in.Password)
	})
	action(m, admin, "user/roles", func(ctx context.Context, in userRoles) (nothing, error) {
		return nothing{}, admin.SetRoles(ctx, in.Name, in.Roles)
	})
	action(m, admin, "user/disable", func(ctx context.Context, in userName) (nothing, error) {
		return nothing{}, admin.Disable(ctx, in.Name)
	})
	action(m, admin, "user/enable", func(ctx context.Context, in userName) (nothing, error) {
		return nothing{}, admin.Enable(ctx, in.Name)
	})
	action(m, admin, "user/delete", func(ctx context.Context, in userName) (nothing, error) {
		return nothing{}, admin.Delete(ctx, in.Name)
	})
	action(m, admin, "session/list", func(ctx context.Context, in userName) ([]idp.Session, error) {
		return admin.Sessions(ctx, in.Name)
	})
	action(m, admin, "session/revoke", func(ctx context.Context, in sessionRevoke) (int, error) {
		if in.ID != "" {
			return 1, admin.RevokeSession(ctx, in.ID)
		}
		return admin.RevokeUser(ctx, in.User)
	})
	action(m, admin, "keys/list", func(ctx context.Context, _ nothing) ([]idp.Key, error) { return admin.Keys(ctx) })
}

func action[In, Out any](m *control.Mux, admin *idp.Admin, name string, f func(context.Context, In) (Out, error)) {
	control.Handle(m, name, func(ctx context.Context, in In) (out Out, err error) {
		if admin == nil {
			return out, errNoIDP
		}
		return f(ctx, in)
	})
}

// administration is what is open while a command does without a server what it would ask one for.
type administration struct {
	stores *stores
	admin  *idp.Admin
	stop   context.CancelFunc
	tasks  *errgroup.Group
}

// openAdministration opens the stores of a state folder whose server does not run.
func openAdministration(ctx context.Context, w *world, t target, st *state) (a *administration, err error) {
	cfg, err := t.lastConfig(w, st)
	if err != nil {
		return nil, err
	}
	failed := make(chan error, 1)
	o := storeOptions{failed: failed, log: slog.New(slog.DiscardHandler)} // what goes wrong is the command's own answer
	a = &administration{}
	a.stores, err = openStores(ctx, cfg, st, o)
	if errors.Is(err, database.ErrDemo) {
		o.demo = true
		a.stores, err = openStores(ctx, cfg, st, o)
	}
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	a.stop = stop
	a.tasks, running = errgroup.WithContext(running)
	a.tasks.Go(func() error { return unlessDone(running, a.stores.list.Run(running)) })
	for !a.stores.list.Ready() {
		select {
		case err := <-failed:
			return nil, errors.Join(fmt.Errorf("the revocation list cannot be read, so that nothing could be ended for good: %w", err), a.close())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), a.close())
		case <-time.After(5 * time.Millisecond):
		}
	}
	a.admin, err = idp.NewAdmin(idp.AdminOptions{DB: a.stores.db, Revocations: a.stores.list, Now: time.Now})
	if err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *administration) close() error {
	a.stop()
	return errors.Join(a.tasks.Wait(), a.stores.close())
}

// lastConfig is the configuration of the server that a command stands in for: the one given, else the one that the state
// folder was last served with.
func (t target) lastConfig(w *world, st *state) (*config.Config, error) {
	path := t.Config
	if path == "" {
		data, err := os.ReadFile(st.path(configFile))
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
