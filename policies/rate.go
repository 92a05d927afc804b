package policies

import "github.com/viloforge/vilogate/gateway/limits/gcra"

// A Rate is how often a route may be asked: so many in a time, for each user, address or for everybody together.
type Rate struct {
	gcra.Rate
	By RateBy
}

// RateBy is what a rate counts by.
type RateBy string

// What there is to count by. Under PerUser, anonymous requests (optional authentication) count by address.
const (
	PerUser  RateBy = "user"
	PerIP    RateBy = "ip"
	PerRoute RateBy = "route"
)

// String is the rate as a file writes it.
func (r Rate) String() string {
	return r.Rate.String() + " per " + string(r.By)
}
