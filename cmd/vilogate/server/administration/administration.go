// Package administration is what an administrator may ask for: users, sessions and keys, each under a name with what
// travels for it through the control socket. A server answers with [Handle]; where none runs, a command opens the stores of
// the state folder itself ([Open]) and answers the very same names, so that there is one way.
package administration

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
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/database"
)

// What travels through the control socket.
type (
	// UserName names a user, or with "" all.
	UserName struct {
		Name string `json:"name"`
	}
	// UserPasswd sets a password.
	UserPasswd struct {
		Name     string `json:"name"`
		Password string `json:"password"`
	}
	// UserRoles sets all roles.
	UserRoles struct {
		Name  string   `json:"name"`
		Roles []string `json:"roles"`
	}
	// SessionRevoke ends a session by its ID, or all of a user.
	SessionRevoke struct {
		ID   string `json:"id"`
		User string `json:"user"`
	}
)

// errNoIDP says that users and sessions are somebody else's.
var errNoIDP = errors.New("there is no identity provider in this process; ask the one that has the users")

// Provider returns who administers the users, each time anew: an identity provider may begin while the process runs.
type Provider func(context.Context) (*idp.Admin, error)

// Handle adds what an administrator may ask for. log keeps a record of what changes something, and is nil where nobody does.
func Handle(m *control.Mux, admin Provider, log *audit.Log) {
	a := actions{m, admin, log}
	changes(a, "user/add", func(in idp.NewUser) audit.Event { return audit.Event{User: in.Name, Roles: in.Roles} },
		func(ctx context.Context, admin *idp.Admin, in idp.NewUser) (idp.User, error) {
			return admin.AddUser(ctx, in)
		})
	reads(a, "user/list", func(ctx context.Context, admin *idp.Admin, _ control.Nothing) ([]idp.User, error) {
		return admin.Users(ctx)
	})
	reads(a, "user/show", func(ctx context.Context, admin *idp.Admin, in UserName) (idp.User, error) {
		return admin.User(ctx, in.Name)
	})
	changes(a, "user/passwd", func(in UserPasswd) audit.Event { return audit.Event{User: in.Name} },
		func(ctx context.Context, admin *idp.Admin, in UserPasswd) (control.Nothing, error) {
			return control.Nothing{}, admin.SetPassword(ctx, in.Name, in.Password)
		})
	changes(a, "user/roles", func(in UserRoles) audit.Event { return audit.Event{User: in.Name, Roles: in.Roles} },
		func(ctx context.Context, admin *idp.Admin, in UserRoles) (control.Nothing, error) {
			return control.Nothing{}, admin.SetRoles(ctx, in.Name, in.Roles)
		})
	changes(a, "user/disable", ofUser, named((*idp.Admin).Disable))
	changes(a, "user/enable", ofUser, named((*idp.Admin).Enable))
	changes(a, "user/unlock", ofUser, named((*idp.Admin).Unlock))
	changes(a, "user/delete", ofUser, named((*idp.Admin).Delete))
	reads(a, "session/list", func(ctx context.Context, admin *idp.Admin, in UserName) ([]idp.Session, error) {
		return admin.Sessions(ctx, in.Name)
	})
	changes(a, "session/revoke", func(in SessionRevoke) audit.Event { return audit.Event{Session: in.ID, User: in.User} },
		func(ctx context.Context, admin *idp.Admin, in SessionRevoke) (int, error) {
			if in.ID != "" {
				return 1, admin.RevokeSession(ctx, in.ID)
			}
			return admin.RevokeUser(ctx, in.User)
		})
	reads(a, "keys/list", func(ctx context.Context, admin *idp.Admin, _ control.Nothing) ([]idp.Key, error) {
		return admin.Keys(ctx)
	})
}

func ofUser(in UserName) audit.Event { return audit.Event{User: in.Name} }

// named is an action on one user, with nothing to answer.
func named(f func(*idp.Admin, context.Context, string) error) func(context.Context, *idp.Admin, UserName) (control.Nothing, error) {
	return func(ctx context.Context, admin *idp.Admin, in UserName) (control.Nothing, error) {
		return control.Nothing{}, f(admin, ctx, in.Name)
	}
}

// actions are where actions are added, who does them, and where those that change something are recorded.
type actions struct {
	mux   *control.Mux
	admin Provider
	log   *audit.Log
}

// reads adds an action that changes nothing.
func reads[In, Out any](a actions, name string, f func(context.Context, *idp.Admin, In) (Out, error)) {
	control.Handle(a.mux, name, by(a.admin, f))
}

// changes adds one that does; its event has its name, with a dot.
func changes[In, Out any](a actions, name string, about func(In) audit.Event, f func(context.Context, *idp.Admin, In) (Out, error)) {
	control.Handle(a.mux, name, Recorded(a.log, strings.ReplaceAll(name, "/", "."), about, by(a.admin, f)))
}

func by[In, Out any](provider Provider, f func(context.Context, *idp.Admin, In) (Out, error)) func(context.Context, In) (Out, error) {
	return func(ctx context.Context, in In) (out Out, err error) {
		admin, err := provider(ctx)
		if err != nil {
			return out, err
		}
		return f(ctx, admin, in)
	}
}

// WithoutIDP administers the users of an identity provider that is to run here and does not yet: people sign in elsewhere, or
// nowhere. Where it is another process, they are there.
func WithoutIDP(ctx context.Context, cfg *config.Config, st *stores.Stores) (*idp.Admin, error) {
	if cfg.IDP == nil && cfg.UsesOwnIDP() {
		return nil, errNoIDP
	}
	db, err := st.Database(ctx)
	if err != nil {
		return nil, err
	}
	return idp.NewAdmin(idp.AdminOptions{DB: db, Revocations: st.List, Now: time.Now})
}

// Administration is what is open while a command does without a server what it would ask one for.
type Administration struct {
	config *config.Config
	stores *stores.Stores
	audit  *audit.Log // nil without one
	stop   context.CancelFunc
	ended  chan error // of following the list, and of writing the log
}

// Open opens the stores of a state folder whose server does not run, and waits for the first view of the revocation list.
func Open(ctx context.Context, cfg *config.Config, st *state.Folder) (a *Administration, err error) {
	failed := make(chan error, 1)
	o := stores.Options{Failed: failed, Log: slog.New(slog.DiscardHandler)} // what goes wrong is the command's own answer
	a = &Administration{config: cfg, ended: make(chan error, 1)}
	// A log that is no file of its own, such as /dev/stdout, is the server's.
	if c := cfg.Audit; c != nil && c.File != "" && isOwnFile(c.File) {
		if a.audit, err = OpenAudit(c, o.Log); err != nil {
			return nil, err
		}
	}
	a.stores, err = stores.Open(ctx, cfg, st, o)
	if errors.Is(err, database.ErrDemo) {
		o.Demo = true
		a.stores, err = stores.Open(ctx, cfg, st, o)
	}
	if err != nil {
		return nil, errors.Join(err, a.closeAudit())
	}
	running, stop := context.WithCancel(ctx)
	a.stop = stop
	go func() {
		var tasks errgroup.Group
		tasks.Go(func() error { return a.stores.List.Run(running) })
		if a.audit != nil {
			tasks.Go(func() error { return a.audit.Run(running) })
		}
		a.ended <- tasks.Wait()
	}()
	for !a.stores.List.Ready() {
		select {
		case err := <-failed:
			return nil, errors.Join(fmt.Errorf("the revocation list cannot be read, so that no revocation would last: %w", err), a.Close())
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), a.Close())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return a, nil
}

// Handle adds what can be asked for to m.
func (a *Administration) Handle(m *control.Mux) {
	Handle(m, func(ctx context.Context) (*idp.Admin, error) { return WithoutIDP(ctx, a.config, a.stores) }, a.audit)
}

// Close gives the stores up.
func (a *Administration) Close() error {
	a.stop()
	return errors.Join(<-a.ended, a.closeAudit(), a.stores.Close())
}

func (a *Administration) closeAudit() error {
	if a.audit == nil {
		return nil
	}
	return a.audit.Close()
}

func isOwnFile(path string) bool {
	info, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().IsRegular()
}

// OpenAudit opens the audit log of a configuration.
func OpenAudit(c *config.Audit, log *slog.Logger) (*audit.Log, error) {
	l, err := audit.Open(audit.Options{
		File: c.File, MaxSize: int64(c.MaxSize), Keep: c.Keep,
		Fsync:     map[config.Fsync]audit.Fsync{"always": audit.Always, "interval": audit.Interval, "off": audit.Off}[c.Fsync],
		OnFailure: map[string]audit.OnFailure{"refuse": audit.Refuse, "drop": audit.Drop}[c.OnFailure],
		Log:       log,
	})
	return l, config.Placed(c.Places.Of("file"), err)
}
