package http2

import "time"

// tokenBucket limits what a client does that costs more than it is worth: so many at once, and so many a second. The clock is
// asked only when the count has come to an end. One goroutine at a time may use it.
type tokenBucket struct {
	tokens, burst int
	rate          int // a second
	since         time.Time
}

func newTokenBucket(burst, rate int) tokenBucket {
	return tokenBucket{tokens: burst, burst: burst, rate: rate, since: time.Now()}
}

// take takes a token; false where there is none.
func (b *tokenBucket) take() bool {
	if b.tokens == 0 {
		now := time.Now()
		earned := now.Sub(b.since).Seconds() * float64(b.rate)
		if earned < 1 {
			return false
		}
		b.tokens, b.since = int(min(earned, float64(b.burst))), now
	}
	b.tokens--
	return true
}

// maxTokens is how many tokens can have been added and not taken: a client that has taken in some megabytes ahead of its reader gives
// their window back later, in small steps.
const maxTokens = 1 << 16

// refill adds n tokens.
func (b *tokenBucket) refill(n int) { b.tokens = min(b.tokens+n, max(b.burst, maxTokens)) }
