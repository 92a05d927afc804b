package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/cmd/vilogate/handover"
	"github.com/viloforge/vilogate/cmd/vilogate/server/generation"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/metrics"
	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/stores"
	"github.com/viloforge/vilogate/cmd/vilogate/state"
	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/edge"
	"github.com/viloforge/vilogate/gateway/edge/acme"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
	"golang.org/x/sync/errgroup"
)

// Options say which server to run.
type Options struct {
	// Load reads the configuration, now and at every reload.
	Load func() (*config.Config, error)
	// State is the state folder. Whoever opened it closes it after the server.
	State *state.Folder
	// Shadow is a folder of policies that are evaluated beside the live ones. Optional.
	Shadow string
	// Demo says that the users are demo users.
	Demo bool
	// HSTS has answers tell browsers to come by HTTPS only.
	HSTS bool
	// Watch reloads when the configuration or a policy has changed.
	Watch bool
	// Stdout is told the line `ready`.
	Stdout io.Writer
	Log    *slog.Logger
	// Inherited is what the process was started with: listeners of systemd, or another process that hands over. Optional.
	Inherited *handover.Inherited
	// Notify tells systemd how the process is. Optional.
	Notify handover.Notifier
	// LogDropped is how many lines of the log could not be written. Optional.
	LogDropped func() uint64
}

// Server is a process that serves: what `serve` and `dev` have in common. [New] makes every part, so that whatever is wrong
// is known before anything is served; [Server.Run] starts them and takes them down in order.
type Server struct {
	o             Options
	builder       generation.Builder
	stores        *stores.Stores
	idp           atomic.Pointer[idp.IDP] // nil in a gateway alone, until a reload begins one
	gateway       *gateway.Gateway        // nil in an IdP alone
	edge          *edge.Server            // likewise
	forwardAuth   *edge.PlainServer       // nil where no proxy asks
	source        edge.Source             // nil in an IdP alone
	acme          *acme.Manager           // nil unless the certificates come from an authority
	caPath        string                  // of the local CA
	assertionKey  *token.PrivateKey
	assertionKeys *assertionKeys
	audit         *audit.Log // nil without one
	limits        *limits.Limiter
	descriptors   Descriptors // of a gateway
	metrics       *metrics.Metrics
	started       time.Time
	ready         readiness
	listeners     *listeners
	servers       []plainServer
	control       *control.Server
	tasks         []func(context.Context) error
	closers       []func() error // called last to first
	transfer      *transfer
	active        atomic.Bool // in charge: no other process is, from which this one is to take over

	group      *errgroup.Group // the goroutines that Run started
	background context.Context // they end with it

	// current is what everything that serves reads, each time anew: the gateway's requests, the edge's handshakes, the
	// certificates from files, the IdP's addresses to return to. A single store replaces all of it.
	current   atomic.Pointer[generation.Generation]
	replacing sync.Mutex                          // held by whoever is about to replace current
	fetching  map[*jwks.Remote]context.CancelFunc // of current, once they were started; guarded by replacing
}

// AddTask has Run start f, and end with it when it fails. f ends with its context. It is to be called before Run.
func (s *Server) AddTask(f func(context.Context) error) { s.tasks = append(s.tasks, f) }

// Config is the configuration of the current generation.
func (s *Server) Config() *config.Config { return s.current.Load().Config }

// AssertionKey verifies what this gateway tells backends.
func (s *Server) AssertionKey() token.PublicKey { return s.assertionKey.Public() }

// Close gives up whatever was opened.
func (s *Server) Close() error {
	var err error
	for _, f := range slices.Backward(s.closers) {
		err = errors.Join(err, f())
	}
	s.closers = nil
	return err
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

// AddUsers makes users where there are none at all yet.
func (s *Server) AddUsers(ctx context.Context, users []idp.NewUser) error {
	admin := s.idp.Load().Admin()
	there, err := admin.Users(ctx)
	if err != nil || len(there) > 0 {
		return err
	}
	for _, u := range users {
		if _, err := admin.AddUser(ctx, u); err != nil {
			return fmt.Errorf("adding the user %s: %w", u.Name, err)
		}
	}
	return nil
}

// addWarningCheck adds a check that is reported but never affects readiness.
func (s *Server) addWarningCheck(name string, check func() error) {
	s.ready.warnings = append(s.ready.warnings, healthCheck{name, check})
	s.metrics.Ready(name, check)
}

// addReadyCheck adds a readiness check.
func (s *Server) addReadyCheck(name string, check func() error) {
	s.ready.checks = append(s.ready.checks, healthCheck{name, check})
	s.metrics.Ready(name, check)
}

// ignoreCanceled drops the error of a task that ended because ctx was canceled or timed out.
func ignoreCanceled(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}
