package server

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/control"
	"github.com/viloforge/vilogate/idp/token"
)

// What `token explain` asks a running server for.
type (
	// TokenText is a token.
	TokenText struct {
		Token string `json:"token"`
	}
	// TokenVerdict is what the server makes of a token just now: token.Reason, "" for one that counts.
	TokenVerdict struct {
		Reason string `json:"reason"`
	}
	// KeyName names a key.
	KeyName struct {
		ID string `json:"id"`
	}
	// PublicKeys is a JWK set.
	PublicKeys struct {
		Set json.RawMessage `json:"set"`
	}
)

// registerTokenActions adds what `token explain` cannot know without the server: what was revoked, and the public keys of our
// own identity provider.
func (s *Server) registerTokenActions(m *control.Mux) {
	control.Handle(m, "token/verify", func(_ context.Context, in TokenText) (TokenVerdict, error) {
		verifier := s.current.Load().Verifier
		if verifier == nil {
			return TokenVerdict{}, errors.New("there is no gateway in this process; ask one that verifies tokens")
		}
		_, err := verifier.Verify(in.Token, time.Now())
		return TokenVerdict{Reason: token.Reason(err)}, nil
	})
	control.Handle(m, "keys/public", func(_ context.Context, in KeyName) (PublicKeys, error) {
		idp := s.idp.Load()
		if idp == nil {
			return PublicKeys{}, errors.New("there is no identity provider in this process")
		}
		key, err := idp.Keys().Key(in.ID, time.Now())
		if errors.Is(err, token.ErrUnknownKey) {
			return PublicKeys{Set: token.MarshalSet(nil)}, nil
		}
		if err != nil {
			return PublicKeys{}, err
		}
		return PublicKeys{Set: token.MarshalSet([]token.PublicKey{key})}, nil
	})
}
