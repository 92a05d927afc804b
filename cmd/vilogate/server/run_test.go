package server

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// An identity provider alone keeps the limits that its file sets.
func TestAPlainServerKeepsTheLimits(t *testing.T) {
	t.Parallel()
	limits := config.Limits{HeaderBytes: 8 << 10, HeaderTime: strictyaml.Duration(2 * time.Minute), IdleTime: strictyaml.Duration(time.Second)}
	s := newPlainServer(http.NotFoundHandler(), nil, limits, slog.New(slog.DiscardHandler))
	if s.MaxHeaderBytes != 8<<10 || s.ReadHeaderTimeout != 2*time.Minute || s.ReadTimeout < s.ReadHeaderTimeout || s.IdleTimeout != time.Second {
		t.Errorf("got %+v", s.Server)
	}
}
