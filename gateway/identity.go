package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"time"
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
func (x *forwarding) setIdentity(h http.Header) {
	p := x.authentication.principal
	if p == nil {
		return
	}
	keys := x.upstream.headers
	setIfPresent(h, keys.user, p.user)
	setIfPresent(h, keys.preferredUsername, p.user)
	setIfPresent(h, keys.email, p.email)
	setIfPresent(h, keys.name, p.name)
	setIfPresent(h, keys.roles, p.roles)
	h["X-User-Id"] = p.id
	h["X-User-Assertion"] = x.assertion
}

// setIfPresent sets a header whose canonical name and value are both not empty.
func setIfPresent(h http.Header, name string, value []string) {
	if name != "" && value[0] != "" {
		h[name] = value
	}
}
