package acme

import (
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// renewAt is when a certificate is due: at the time that was chosen from the
// window which the authority suggests (RFC 9773), or when a third of its life is
// left. Whatever the authority says, that is when a twentieth is left at the
// latest, and not before earliestRenewal.
func renewAt(c *certificate, suggested acmez.RenewalInfo) time.Time {
	leaf := c.leaf()
	life := leaf.NotAfter.Sub(leaf.NotBefore)
	at := leaf.NotAfter.Add(-life / 3)
	if !suggested.SelectedTime.IsZero() {
		at = suggested.SelectedTime
	}
	if last := leaf.NotAfter.Add(-life / 20); at.After(last) {
		at = last
	}
	if first := earliestRenewal(c); at.Before(first) {
		at = first
	}
	return at
}

// earliestRenewal is before when a certificate is not renewed automatically,
// counted from when it was obtained: an authority that wants every one replaced,
// or calls every one revoked, causes no renewal loop.
func earliestRenewal(c *certificate) time.Time {
	leaf := c.leaf()
	return c.Obtained.Add(min(leaf.NotAfter.Sub(leaf.NotBefore)/4, 6*time.Hour))
}

// warnAt is when a certificate that was not renewed counts as overdue: half of the
// time between its renewal and its expiry has passed.
func warnAt(c *certificate, renewal time.Time) time.Time {
	return renewal.Add(c.leaf().NotAfter.Sub(renewal) / 2)
}

// Backoff after failures. Let's Encrypt, for one, takes five failed validations of
// a name in an hour; what never reached the authority counts toward no rate limit,
// and may be over the next moment.
var (
	countedBackoff = []time.Duration{
		2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour,
	}
	uncountedBackoff = []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	}
)

// maxBackoff is the longest backoff, also of a Retry-After.
const maxBackoff = 24 * time.Hour

// retryAt is when a failed attempt is retried: failures is how many failed in a
// row, and jitter, from 0 to 1, keeps a fleet from retrying in step (thundering herd).
func retryAt(now time.Time, p *Problem, failures int, jitter float64) time.Time {
	backoffs := uncountedBackoff
	if p.Counted {
		backoffs = countedBackoff
	}
	backoff := backoffs[min(max(failures, 1), len(backoffs))-1]
	at := now.Add(backoff + time.Duration(jitter*float64(backoff)/4))
	if p.NotBefore.After(at) {
		at = p.NotBefore
	}
	return capBackoff(at, now)
}

// capBackoff keeps a time within maxBackoff from now: a clock that was wrong, of
// this machine or of another, stops nobody for longer.
func capBackoff(at, now time.Time) time.Time {
	if latest := now.Add(maxBackoff); at.After(latest) {
		return latest
	}
	return at
}
