package acme

import (
	"errors"
	"strings"
	"time"
	"unicode"
)

// A Problem is why there is no new certificate: the operation, its error, and what
// to do next. It holds no secret.
type Problem struct {
	Op     string // what was tried, as "asking the authority … for an order"
	Err    error
	Advice string // what to do next
	// Counted says that the attempt counts toward the authority's rate limits.
	Counted bool
	// NotBefore is the authority's Retry-After; zero where it had none.
	NotBefore time.Time
	// Local says that it is this machine's fault, which is not shared with the fleet.
	Local bool
}

// maxProblemText bounds what is stored and shown of a problem, in bytes: part of it
// is written by others.
const maxProblemText = 1 << 10

// Error is the sentence for ops, on one line.
func (p *Problem) Error() string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, p.Op+": "+p.Err.Error())
	if len(text) > maxProblemText {
		text = strings.ToValidUTF8(text[:maxProblemText], "") + " …"
	}
	if p.Advice != "" {
		text += "; " + p.Advice
	}
	return text
}

// Unwrap is for errors.Is and errors.As.
func (p *Problem) Unwrap() error { return p.Err }

// asProblem finds the problem in an error. An error without one is the storage's.
func asProblem(err error, name string) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return &Problem{
		Op: "using the storage of certificates for " + name, Err: err,
		Advice: "it has to be there and writable: nothing is ordered that could not be kept",
	}
}

const adviceRateLimit = "the authority asks for patience; `vilogate cert status` says when the next attempt is"
