package gateway

import (
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/policies"
)

// rate is what a route's rate is at run time. It belongs to a generation; what is
// counted belongs to the gateway, and outlives reloads.
type rate struct {
	scope  limits.Scope
	rate   limits.Rate
	by     policies.RateBy
	name   string // as the fields call it, quoted
	policy string // the RateLimit-Policy field
}

// rateOf is the rate of a route, made when it is first asked for.
func (gen *Generation) rateOf(host *policies.HostPolicy, route *policies.Route) *rate {
	if known, ok := gen.rates.Load(route); ok {
		return known.(*rate)
	}
	r := &rate{
		// Not its position in the file, which a new line above it would change; but the rate itself: the backlog of
		// another rate, a stricter one perhaps, is not this one's.
		scope: limits.NewScope("route", host.Host, route.Pattern, strings.Join(route.Methods(), ","), route.Rate.String()),
		rate:  route.Rate.Rate,
		by:    route.Rate.By,
		name:  `"per-` + string(route.Rate.By) + `"`,
	}
	r.policy = r.name + ";q=" + strconv.Itoa(route.Rate.Events) + ";w=" + strconv.FormatInt(ceilSeconds(route.Rate.Per), 10)
	known, _ := gen.rates.LoadOrStore(route, r)
	return known.(*rate)
}

// ceilSeconds rounds up to whole seconds.
func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
