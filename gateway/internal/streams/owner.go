package streams

import "time"

// Owner is by whose sign-in a stream was admitted, as its token says. What the token does not carry is empty; the zero Owner
// is nobody, whose streams no sign-out ends.
type Owner struct {
	Issuer            string
	Token             string // jti
	Session           string // sid
	Subject           string
	IssuedAt, Expires time.Time
	// Own says that our own identity provider knows whether the session lives.
	Own bool
}

// A Holder is what a stream belongs to. Its methods are called from another goroutine than its own, and also after
// Finish; they return at once.
type Holder interface {
	// Owner says who was admitted.
	Owner() Owner
	// Admitted reports whether the policies in force admit the request now.
	Admitted() bool
	// End ends the stream. Only the first call counts.
	End(Cause)
}
