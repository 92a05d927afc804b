package token

import (
	"fmt"
	"strings"
	"time"
)

// claimReader reads the claims of one token. Its first error stays.
type claimReader struct {
	object
	err error
}

func (r *claimReader) fail(name string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%w: %s %w", errInvalid, name, err)
	}
}

// text reads a string that check likes. One that is required must be there; one
// that is not may be left out or null.
func (r *claimReader) text(name string, required bool, check func(string) error) string {
	v, ok := r.get(name)
	switch {
	case !ok && required:
		r.fail(name, errMissing)
	case !ok, v.kind == kindNull && !required:
	case v.kind != kindString:
		r.fail(name, errType)
	default:
		r.fail(name, check(v.text))
		return v.text
	}
	return ""
}

func (r *claimReader) time(name string, required bool) time.Time {
	v, ok := r.get(name)
	if !ok {
		if required {
			r.fail(name, errMissing)
		}
		return time.Time{}
	}
	t, err := v.time()
	r.fail(name, err)
	return t
}

func (r *claimReader) list(name string, required bool) []string {
	v, ok := r.get(name)
	if !ok {
		if required {
			r.fail(name, errMissing)
		}
		return nil
	}
	list, err := v.strings()
	r.fail(name, err)
	return list
}

// audiences reads aud, which may be one string or a list (RFC 7519, 4.1.3).
func (r *claimReader) audiences() []string {
	v, ok := r.get("aud")
	if !ok {
		return nil
	}
	if v.kind == kindString {
		return []string{v.text}
	}
	list, err := v.strings()
	if len(list) > maxAudience {
		err = errList
	}
	r.fail("aud", err)
	return list
}

// clientClaims name the client that a token was made for (RFC 9068, section 2.2;
// OpenID Connect Core, section 2).
var clientClaims = []string{"client_id", "azp"}

// clients reads the clients that a token names.
func (r *claimReader) clients() (clients []string) {
	for _, name := range clientClaims {
		if _, ok := r.get(name); ok {
			clients = append(clients, r.text(name, true, checkForeign))
		}
	}
	return clients
}

func checkCaseVariants(o object, names []string) error {
	for _, m := range o {
		for _, name := range names {
			if m.name != name && strings.EqualFold(m.name, name) {
				return fmt.Errorf("%w: %s %w", errInvalid, name, errCaseVariant)
			}
		}
	}
	return nil
}
