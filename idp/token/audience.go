package token

import "slices"

// checkAudience judges whom the token is for: an audience of the issuer's, or a
// client where its tokens have no audience.
func (c *Claims) checkAudience() error {
	i := c.issuer
	switch {
	case len(i.Audiences) > 0 && len(c.audience) == 0:
		return errNoAudience
	case len(i.Audiences) > 0 && !slices.ContainsFunc(c.audience, func(a string) bool { return slices.Contains(i.Audiences, a) }):
		return errAudience
	case len(i.Audiences) > 0:
		return nil
	case len(c.audience) > 0, c.audience != nil && len(i.ClientIDs) == 0:
		return errNamesAudience
	case len(i.ClientIDs) == 0:
		return nil
	case len(c.clients) == 0:
		return errNoClient
	case slices.ContainsFunc(c.clients, func(id string) bool { return !slices.Contains(i.ClientIDs, id) }):
		return errClient
	}
	return nil
}
