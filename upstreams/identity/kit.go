package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/viloforge/vilogate/gateway/problem"
	"github.com/viloforge/vilogate/idp/token"
)

// Kit verifies assertions. It is safe for concurrent use.
type Kit struct {
	config Config
	keys   keySource
}

var (
	errNoAssertion        = errors.New("identity: no assertion")
	errMultipleAssertions = errors.New("identity: more than one assertion")
)

// New checks the configuration. A file is read at once; an address is first
// asked by Run.
func New(c Config) (*Kit, error) {
	if c.Issuer == "" || c.Audience == "" {
		return nil, errors.New("identity: issuer and audience are required")
	}
	if (c.JWKS == "") == (c.Keys == nil) {
		return nil, errors.New("identity: either the location of a JWK set (JWKS), or Keys")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	keys, err := newKeySource(c)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	return &Kit{config: c, keys: keys}, nil
}

// Run keeps the keys current until ctx ends, and returns ctx's error. Until the
// keys of an address have been fetched once, protected handlers answer 503.
func (k *Kit) Run(ctx context.Context) error { return k.keys.run(ctx) }

// Require serves those requests alone that carry a good assertion: next finds
// its [Identity] with [From]. Others get 401 as problem+json, or 503 while there
// are no keys to judge with. Responses say that they vary by the assertion.
func (k *Kit) Require(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", Header)
		who, err := k.identify(r)
		if err != nil {
			k.reject(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, who)))
	})
}

// Optional serves every request (optional authentication). Only one with a good
// assertion has an [Identity]; any other is anonymous, whatever it says. Responses
// say that they vary by the assertion.
func (k *Kit) Optional(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", Header)
		who, err := k.identify(r)
		if err == nil {
			r = r.WithContext(context.WithValue(r.Context(), contextKey{}, who))
		} else {
			k.logRejection(r, err)
		}
		next.ServeHTTP(w, r)
	})
}

// identify verifies the request's assertion.
func (k *Kit) identify(r *http.Request) (Identity, error) {
	lines := r.Header[Header]
	switch {
	case len(lines) == 0:
		return Identity{}, errNoAssertion
	case len(lines) > 1:
		return Identity{}, errMultipleAssertions
	}
	a, err := k.verify(lines[0])
	if errors.Is(err, token.ErrUnknownKey) {
		// A gateway that has just started signs with a key that is new here.
		k.keys.refresh(r.Context())
		a, err = k.verify(lines[0])
	}
	if err != nil {
		return Identity{}, err
	}
	return fromAssertion(a), nil
}

func (k *Kit) verify(raw string) (*token.Assertion, error) {
	return token.VerifyAssertion(raw, k.keys, k.config.Issuer, k.config.Audience, k.config.Now())
}

// reject answers an unauthenticated request.
func (k *Kit) reject(w http.ResponseWriter, r *http.Request, err error) {
	k.logRejection(r, err)
	d := problem.Details{
		Type: problem.Type("unauthenticated"), Title: "A good assertion of the gateway is needed",
		Status: http.StatusUnauthorized, RequestID: r.Header.Get("X-Request-Id"),
	}
	if errors.Is(err, token.ErrKeysNotLoaded) && !errors.Is(err, token.ErrKeyPending) { // a stranger's key is pending too
		d.Type, d.Title, d.Status = problem.Type("unavailable"), "The gateway's keys are not known yet", http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	} else {
		w.Header().Set("WWW-Authenticate", Header) // of the gateway, not of the person
	}
	w.Header().Set("Cache-Control", "no-store")
	if err := d.Write(w); err != nil {
		k.config.Log.Debug("writing the response failed", "error", err)
	}
}

// logRejection logs why an assertion was rejected; an anonymous request only at debug level.
func (k *Kit) logRejection(r *http.Request, err error) {
	level := slog.LevelWarn
	if errors.Is(err, errNoAssertion) {
		level = slog.LevelDebug
	}
	k.config.Log.Log(r.Context(), level, "assertion rejected", "error", err, "request_id", r.Header.Get("X-Request-Id"), "method", r.Method, "path", r.URL.Path)
}
