package identity

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// Config says whose assertions count.
type Config struct {
	// JWKS is where the gateways publish their keys: an http or https address
	// (every gateway has it at /.well-known/vilogate/jwks.json, on its admin
	// listener and on every host that it serves), or the path of a file. Either
	// JWKS or Keys.
	JWKS string

	// Keys answers with the keys, where the gateway is in the same process.
	Keys token.KeySource

	// Issuer is "https://" and the parent domain: a name, not an address.
	Issuer string

	// Audience is how the gateway's configuration calls this backend, under
	// `upstreams`. An assertion made for another backend does not count.
	Audience string

	// Client fetches the keys. Optional: one of its own.
	Client *http.Client

	// Now is the clock. Optional: time.Now.
	Now func() time.Time

	// Log hears of assertions refused and of keys that could not be fetched.
	// Optional.
	Log *slog.Logger
}
