package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	acmez "github.com/mholt/acmez/v3/acme"
)

// A Problem is why there is no new certificate: what was tried, what came of it,
// and what to do next. It holds no secret.
type Problem struct {
	Doing  string // what was tried, as "asking the authority … for an order"
	Err    error
	Advice string // what to do next
	// Counted says that the authority counts the attempt, so that another one too
	// soon would use up what it allows.
	Counted bool
	// NotBefore is when the authority takes another attempt; zero where it said nothing.
	NotBefore time.Time
	// Ours says that it is this machine's alone, and nobody else's.
	Ours bool
}

// maxText bounds what is kept and shown of a problem, in bytes: others have a say
// in it.
const maxText = 1 << 10

// Error is the sentence for ops, on one line.
func (p *Problem) Error() string {
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, p.Doing+": "+p.Err.Error())
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + " …"
	}
	if p.Advice != "" {
		text += "; " + p.Advice
	}
	return text
}

// Unwrap is for errors.Is and errors.As.
func (p *Problem) Unwrap() error { return p.Err }

// problemOf finds the problem in an error. What has none went wrong in the storage.
func problemOf(err error, name string) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	return &Problem{
		Doing: "using the storage of certificates for " + name, Err: err,
		Advice: "it has to be there and writable: nothing is ordered that could not be kept",
	}
}

// ofAuthority makes a problem of what the authority answered, or of its silence.
func (m *Manager) ofAuthority(doing string, err error) *Problem {
	p := &Problem{Doing: doing + " (" + m.o.Directory + ")", Err: err}
	status, retry := m.clock.last()
	var said acmez.Problem
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &said):
		p.Err = said // without the addresses and attempts around it
		p.Counted = said.Status < 500
		p.Advice = adviceFor(said)
		if said.Type == acmez.ProblemTypeRateLimited || said.Status == http.StatusTooManyRequests || said.Status == http.StatusServiceUnavailable {
			p.NotBefore = retry
		}
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		p.Counted, p.NotBefore, p.Advice = true, retry, advicePatience
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		p.Ours = true
		p.Advice = fmt.Sprintf("the clock of this machine says %s; if that is wrong, set it (NTP), else the authority's own certificate has ended",
			m.o.Now().UTC().Format(time.RFC3339))
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		p.Advice = "the authority's own certificate is not trusted; for a private one, name its roots: certificates.ca_roots"
	case errors.Is(err, context.DeadlineExceeded):
		p.Advice = "it did not answer in time; what is served stays, and it is tried again by itself"
	default:
		p.Advice = "is it reachable from here, and is certificates.ca its directory? What is served stays, and it is tried again by itself"
	}
	return p
}

const advicePatience = "the authority asks for patience; `vilogate cert status` says when the next attempt is"

func adviceFor(said acmez.Problem) string {
	switch said.Type {
	case acmez.ProblemTypeRateLimited:
		return advicePatience
	case acmez.ProblemTypeExternalAccountRequired:
		return "this authority wants an account of its own: set certificates.eab (key_id and mac_key), which it gives you"
	case acmez.ProblemTypeInvalidContact, acmez.ProblemTypeUnsupportedContact:
		return "set certificates.email to an address that the authority takes"
	case acmez.ProblemTypeCAA:
		return "a CAA record of the domain names other authorities; add this one, or remove the record"
	case acmez.ProblemTypeRejectedIdentifier, acmez.ProblemTypeUnsupportedIdentifier:
		return "the authority does not sign for this name; look at certificates.names"
	}
	return "what is served stays, and it is tried again by itself"
}

// ofValidation makes a problem of what the authority found when it looked for the
// TXT record of a name.
func (m *Manager) ofValidation(name string, err error) *Problem {
	p := m.ofAuthority("having the authority check the TXT record for "+name, err)
	var said acmez.Problem
	if errors.As(err, &said) && said.Type != acmez.ProblemTypeCAA && said.Type != acmez.ProblemTypeRateLimited {
		p.Advice = "is the domain served by the zone that the token edits, or is there another TXT or CNAME record in the way?"
	}
	return p
}
