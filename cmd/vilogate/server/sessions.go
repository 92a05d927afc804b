package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp"
	"github.com/viloforge/vilogate/idp/backchannel"
)

// ownSessions asks the identity provider of this process, whichever is there when something is served.
type ownSessions struct{ idp func() *idp.IDP }

var _ backchannel.Sessions = (*ownSessions)(nil)

// Check implements backchannel.Sessions.
func (o *ownSessions) Check(ctx context.Context, q backchannel.Question) (backchannel.Status, error) {
	return o.idp().Sessions().Check(ctx, q)
}

// Rotate implements backchannel.Sessions.
func (o *ownSessions) Rotate(ctx context.Context, q backchannel.Question) (backchannel.Successor, error) {
	return o.idp().Sessions().Rotate(ctx, q)
}

// Delivered implements backchannel.Sessions.
func (o *ownSessions) Delivered(ctx context.Context, token string) error {
	return o.idp().Sessions().Delivered(ctx, token)
}

// Active implements backchannel.Sessions.
func (o *ownSessions) Active(ctx context.Context, session string, issued time.Time) (bool, time.Time, error) {
	return o.idp().Sessions().Active(ctx, session, issued)
}

// sessionStatus asks about the sessions of streams whom the configuration in force says.
type sessionStatus struct{ server *Server }

// statusInterval is how often it is asked again where nobody knows about sessions.
const statusInterval = time.Hour

// SessionActive implements gateway.SessionStatus. Without anybody to ask, sessions live until a revocation says otherwise.
func (a sessionStatus) SessionActive(ctx context.Context, sid string, issued time.Time) (active bool, until time.Time, err error) {
	if gen := a.server.current.Load().Gateway; gen != nil && gen.Login.Sessions != nil {
		active, until, err = gen.Login.Sessions.Active(ctx, sid, issued)
		if !errors.Is(err, backchannel.ErrUnsupported) {
			return active, until, err
		}
	}
	return true, time.Now().Add(statusInterval), nil
}

// idpHandler is what an identity provider without a gateway in its process serves: the login host to gateways, and to gateways
// themselves what they ask about sessions. Nobody reaches that by the login host's name.
func (s *Server) idpHandler(cfg *config.Config, pages *idp.IDP) (http.Handler, error) {
	questions, err := backchannel.NewHandler(pages.Sessions(), []byte(cfg.Secret), time.Now, s.o.Log)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ":")
		if r.URL.Path == backchannel.Path && !strings.EqualFold(host, cfg.Login.Host) {
			questions.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	}), nil
}
