// Package identity tells a Go backend behind vilogate who is asking.
//
// The gateway signs a short-lived assertion for every request of somebody who
// is signed in, and sends it in X-User-Assertion. A [Kit] verifies it with the
// gateways' published keys and hands the result to the backend's handlers:
//
//	kit, err := identity.New(identity.Config{
//		JWKS:     "http://127.0.0.1:9901/.well-known/vilogate/jwks.json",
//		Issuer:   "https://viloforge.com",
//		Audience: "billing",
//	})
//	…
//	go kit.Run(ctx)
//	mux.Handle("GET /invoices", kit.Require(http.HandlerFunc(listInvoices)))
//
// and in listInvoices:
//
//	who, _ := identity.From(r.Context())
//
// Who is asking comes from the assertion and from nothing else. The plain
// headers beside it (X-User and its like) are good for logs: whoever reaches the
// backend without the gateway can send those, but cannot sign.
//
// The package stands on floor 2 with the backends, since the keys that it asks
// for are fetched one floor below; it knows tokens, key sets and the form of
// refusals, and no other room. An [Identity] in a request's context is the proof
// of a verified assertion, since nobody else can put one there.
package identity

import (
	"context"
	"slices"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// Header is the request header in which the assertion comes.
const Header = "X-User-Assertion"

// Identity is who is asking, as the gateway has signed it.
type Identity struct {
	User    string   // the user name: "alice"; of another issuer "<issuer>:<name>"
	ID      string   // stable and never reused: what to store beside one's own data
	Email   string   // may be empty
	Name    string   // for people to read; may be empty
	Roles   []string // sorted
	Session string   // the login that this request belongs to; may be empty
	AMR     []string // how the person signed in (RFC 8176): "pwd", …

	AuthTime time.Time // when the person signed in; zero when nobody said
	IssuedAt time.Time
	Expires  time.Time // of the assertion, not of the login
}

// HasRole reports whether the person has that role.
func (i Identity) HasRole(role string) bool { return slices.Contains(i.Roles, role) }

func fromAssertion(a *token.Assertion) Identity {
	return Identity{
		User: a.User, ID: a.Subject, Email: a.Email, Name: a.Name, Roles: a.Roles, Session: a.Session, AMR: a.AMR,
		AuthTime: a.AuthTime, IssuedAt: a.IssuedAt, Expires: a.Expires,
	}
}

// contextKey is the key of the request's identity in its context.
type contextKey struct{}

// From returns who is asking. Behind [Kit.Require] there is always somebody.
func From(ctx context.Context) (Identity, bool) {
	who, ok := ctx.Value(contextKey{}).(Identity)
	return who, ok
}
