package acme

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// authorityProblem makes a problem of the authority's problem document (RFC 8555,
// section 6.7), or of a failed request.
func (m *Manager) authorityProblem(op string, err error) *Problem {
	p := &Problem{Op: op + " (" + m.opts.Directory + ")", Err: err}
	status, retryAfter := m.clock.lastResponse()
	var acmeErr acmez.Problem
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &acmeErr):
		p.Err = acmeErr // without the addresses and attempts around it
		p.Counted = acmeErr.Status < 500
		p.Advice = adviceFor(acmeErr)
		if acmeErr.Type == acmez.ProblemTypeRateLimited || acmeErr.Status == http.StatusTooManyRequests || acmeErr.Status == http.StatusServiceUnavailable {
			p.NotBefore = retryAfter
		}
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		p.Counted, p.NotBefore, p.Advice = true, retryAfter, adviceRateLimit
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		p.Local = true
		p.Advice = fmt.Sprintf("the clock of this machine says %s; if that is wrong, set it (NTP), else the authority's own certificate has ended",
			m.opts.Now().UTC().Format(time.RFC3339))
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid):
		p.Advice = "the authority's own certificate is not trusted; for a private one, name its roots: certificates.ca_roots"
	case errors.Is(err, context.DeadlineExceeded):
		p.Advice = "it did not answer in time; what is served stays, and it is tried again by itself"
	default:
		p.Advice = "is it reachable from here, and is certificates.ca its directory? What is served stays, and it is tried again by itself"
	}
	return p
}

func adviceFor(acmeErr acmez.Problem) string {
	switch acmeErr.Type {
	case acmez.ProblemTypeRateLimited:
		return adviceRateLimit
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

// validationProblem makes a problem of a failed dns-01 validation.
func (m *Manager) validationProblem(name string, err error) *Problem {
	p := m.authorityProblem("having the authority check the TXT record for "+name, err)
	var acmeErr acmez.Problem
	if errors.As(err, &acmeErr) && acmeErr.Type != acmez.ProblemTypeCAA && acmeErr.Type != acmez.ProblemTypeRateLimited {
		p.Advice = "is the domain served by the zone that the token edits, or is there another TXT or CNAME record in the way?"
	}
	return p
}
