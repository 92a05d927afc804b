package http2

import "time"

// allowance counts what a client does that costs more than it is worth: so many at once, and so many a second. The clock is
// asked only when the count has come to an end. One goroutine at a time may use it.
type allowance struct {
	left, most int
	rate       int // a second
	since      time.Time
}

func newAllowance(most, rate int) allowance {
	return allowance{left: most, most: most, rate: rate, since: time.Now()}
}

// spend takes one away; false where there is none.
func (a *allowance) spend() bool {
	if a.left == 0 {
		now := time.Now()
		earned := now.Sub(a.since).Seconds() * float64(a.rate)
		if earned < 1 {
			return false
		}
		a.left, a.since = int(min(earned, float64(a.most))), now
	}
	a.left--
	return true
}

// mostEarned is how many can have been earned and not spent: a client that has taken in some megabytes ahead of its reader gives
// their window back later, in small steps.
const mostEarned = 1 << 16

// earn adds n.
func (a *allowance) earn(n int) { a.left = min(a.left+n, max(a.most, mostEarned)) }
