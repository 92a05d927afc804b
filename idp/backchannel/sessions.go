package backchannel

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// What is answered about a handle that is not good. Any other error means that nobody knows.
var (
	// ErrRefused means that the handle stands for no session: its place was taken, or the session is over.
	ErrRefused = errors.New("backchannel: the handle is not good")
	// ErrReturn means that the session lives, and that its browser has to be seen at the login host again.
	ErrReturn = errors.New("backchannel: the browser was not seen at the login host for long")
	// ErrUnsupported means that the identity provider answers no questions: it is of a version that did not renew tokens.
	ErrUnsupported = errors.New("backchannel: the identity provider answers no questions about sessions")
)

// Question is about the handle in a cookie, of which the gateway has verified the signature.
type Question struct {
	Handle    string     // the cookie's very value
	Client    netip.Addr // who sent it, for the records
	RequestID string     // likewise
}

// Status is what a good handle stands for.
type Status struct {
	// Claims are those of the session as of now: a token for [token.Verifier.VerifySession].
	Claims string
	// Seen is when the session's browser was last seen at the login host.
	Seen time.Time
}

// Successor is the access token in the place of a handle.
type Successor struct {
	Token string    // "" where none is due, or none is given
	Ends  time.Time // of the session, and so of the cookie
}

// Sessions is what an identity provider answers. It is safe for concurrent use.
type Sessions interface {
	// Check judges a handle: ErrRefused, ErrReturn, or what it stands for.
	Check(ctx context.Context, q Question) (Status, error)
	// Rotate gives a successor, if one is due. The error is ErrRefused, or that nobody knows.
	Rotate(ctx context.Context, q Question) (Successor, error)
	// Delivered says that a successor has left for the browser.
	Delivered(ctx context.Context, token string) error
	// Active reports whether a session lives that issued a token at that time, and until when that holds at the latest. It is no
	// use of the session.
	Active(ctx context.Context, session string, issued time.Time) (active bool, until time.Time, err error)
}
