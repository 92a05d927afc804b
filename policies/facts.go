package policies

import (
	"net/netip"
	"slices"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// amrMFA says that somebody showed more than one factor (RFC 8176).
const amrMFA = "mfa"

// SecondFactor is when somebody last showed a second factor; zero for never. A token
// shows by amr that it was asked for at the login.
func (id *Identity) SecondFactor() time.Time {
	if id.MFATime.IsZero() && slices.Contains(id.AMR, amrMFA) {
		return id.AuthTime
	}
	return id.MFATime
}

// add adds the facts that an expression reads.
func (r *Reads) add(more *Reads) {
	r.Client, r.Now, r.TokenLifetime = r.Client || more.Client, r.Now || more.Now, r.TokenLifetime || more.TokenLifetime
	for _, name := range more.Query {
		r.Query = insertSorted(r.Query, name)
	}
	for _, name := range more.Headers {
		r.Headers = insertSorted(r.Headers, name)
	}
	for _, name := range more.Claims {
		r.Claims = insertSorted(r.Claims, name)
	}
}

// insertSorted is a sorted list with one more word, once.
func insertSorted(list []string, word string) []string {
	if i, found := slices.BinarySearch(list, word); !found {
		return slices.Insert(list, i, word)
	}
	return list
}

// An Identity is somebody whose token was verified: built once a token, shared by its requests, never written again.
type Identity struct {
	Issuer   string   // the configured name; our own is "vilogate"
	User     string   // as backends see it in X-User
	Subject  string   // stable, never reused
	Email    string   // as the issuer knows it
	Name     string   // for people
	Session  string   // "" where the issuer has no sessions
	Roles    []string // sorted
	AMR      []string // how they signed in (RFC 8176)
	AuthTime time.Time

	// EmailVerified says that the issuer has made sure that Email is theirs: our own always, another by email_verified.
	// What is not verified counts as no address in any condition.
	EmailVerified bool
	// MFATime is when they last showed a second factor, where a test names it; no issuer does yet. Where it is zero and AMR
	// holds "mfa", they did so at AuthTime.
	MFATime  time.Time
	IssuedAt time.Time // of the token
	Expires  time.Time // of the token
	Claims   Claims    // of the token; nil for none
	Bearer   bool      // by a Bearer token, not by a cookie
}

// Claims are the claims of a token. A value is what encoding/json makes of one: string, bool, float64, nil, []any or
// map[string]any. It is safe for concurrent use.
type Claims interface {
	Claim(name string) (value any, ok bool)
}

// Facts are what a decision may depend on besides the identity. There is nothing else: no clock, no network.
type Facts struct {
	Now    time.Time
	Method string
	Host   request.Host
	Path   request.Path
	Client netip.Addr // who asks, behind trusted proxies; of the zero Addr no network is known, behind a not either
	Query  string     // byte for byte, without the "?"; only Route.Reads.Query needs it
	Header Header     // only Route.Reads.Headers needs it; nil for none
}

// Header gives the values of a request's header fields by name; http.Header is one.
type Header interface {
	Values(name string) []string
}

// Reads are the facts that a decision of a route depends on, besides who asks: what an audit record has to hold so that
// the decision can be made again.
type Reads struct {
	Client        bool // the client's address
	Now           bool // the time of day; not the age of a login, which is who asks
	TokenLifetime bool // when the token was issued, and until when it is good
	Query         []string
	Headers       []string // by canonical names, X-Tenant
	Claims        []string
}
