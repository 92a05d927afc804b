package jwks

import (
	"errors"
	"fmt"
	"net/http"
)

// followNone leaves a redirect as the answer, which is not 200.
func followNone(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// followOne follows a single redirect, from https to https.
func followOne(next *http.Request, via []*http.Request) error {
	switch {
	case len(via) > 1:
		return errors.New("redirected a second time")
	case via[0].URL.Scheme != "https" || next.URL.Scheme != "https":
		return fmt.Errorf("redirected to %s://%s, and only https to https is followed", next.URL.Scheme, next.URL.Host)
	case next.URL.User != nil:
		return errors.New("redirected to an address with a user name")
	}
	return nil
}
