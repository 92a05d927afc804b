package admission

import "time"

// Breaker says when an upstream is asked no more for a while (circuit breaker). Its zero value: never.
type Breaker struct {
	Failures int           // in a row, after which it opens; 0 for any number
	Open     time.Duration // how long it is open; then one request in this time tries
}

// The states of a breaker.
const (
	Closed   = "closed"
	Open     = "open"
	HalfOpen = "half-open" // the next request tries
)

// breaker counts failures. A success closes it, of whatever request.
type breaker struct {
	Breaker
	failures int       // in a row
	until    time.Time // when the next request may try, while it is open
	opened   uint64    // so often
}

// isOpen reports whether so many failed in a row.
func (b *breaker) isOpen() bool { return b.Failures > 0 && b.failures >= b.Failures }

// state is the state, now.
func (b *breaker) state(now time.Time) string {
	switch {
	case !b.isOpen():
		return Closed
	case now.Before(b.until):
		return Open
	}
	return HalfOpen
}

// admits reports whether a request may be sent; if not, how long it is until one may. One that tries keeps others waiting for as long
// as the breaker is open: how it goes may never be told, as when its client goes.
func (b *breaker) admits(now time.Time) (ok bool, wait time.Duration) {
	switch b.state(now) {
	case Open:
		return false, b.until.Sub(now)
	case HalfOpen:
		b.until = now.Add(b.Open)
	}
	return true, 0
}

// failed counts a failure, and reports whether the breaker opens.
func (b *breaker) failed(now time.Time) bool {
	if b.Failures == 0 || b.isOpen() {
		return false
	}
	if b.failures++; !b.isOpen() {
		return false
	}
	b.until = now.Add(b.Open)
	b.opened++
	return true
}

// succeeded closes the breaker, and reports whether it was open.
func (b *breaker) succeeded() bool {
	was := b.isOpen()
	b.failures = 0
	return was
}
