package gateway

import (
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// prepareAssertion signs the assertion, or takes the cached one, where there is a
// principal.
func (x *forwarding) prepareAssertion(now time.Time) error {
	if x.authentication.principal == nil {
		return nil
	}
	value, err := x.authentication.principal.assertionFor(x.upstream, x.gen.assertionIssuer, x.g.opts.AssertionKey, now)
	if errors.Is(err, errAssertionTooLong) {
		return refuseTooMuchIdentity(x.authentication.claims.IssuerName())
	}
	if err != nil {
		return fmt.Errorf("gateway: %w", err)
	}
	x.assertion = value
	return nil
}

// setIdentity writes the identity headers; cleanHeaders has removed forged ones.
func (x *forwarding) setIdentity(h *field.List) {
	p := x.authentication.principal
	if p == nil {
		return
	}
	names := x.upstream.headers
	setIfPresent(h, names.user, p.user)
	setIfPresent(h, names.preferredUsername, p.user)
	setIfPresent(h, names.email, p.email)
	setIfPresent(h, names.name, p.name)
	setIfPresent(h, names.roles, p.roles)
	h.Set(userIDHeader, p.id)
	h.Set(assertionHeader, x.assertion)
}

// setIfPresent sets a header whose name and value are both not empty.
func setIfPresent(h *field.List, name, value string) {
	if name != "" && value != "" {
		h.Set(name, value)
	}
}
