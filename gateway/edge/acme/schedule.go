package acme

import (
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

// renewAt is when a certificate is due: at the time that was chosen from the
// window which the authority suggests (RFC 9773), or when a third of its life is
// left. Whatever the authority says, that is when a twentieth is left at the
// latest, and not before calmUntil.
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
	if first := calmUntil(c); at.Before(first) {
		at = first
	}
	return at
}

// calmUntil is until when a certificate is not replaced by itself, counted from
// when it was obtained: an authority that wants every one replaced, or calls every
// one revoked, is not asked for one after the other.
func calmUntil(c *certificate) time.Time {
	leaf := c.leaf()
	return c.Obtained.Add(min(leaf.NotAfter.Sub(leaf.NotBefore)/4, 6*time.Hour))
}

// warnAt is from when a certificate that was not renewed is trouble: half of the
// time between its renewal and its end is over.
func warnAt(c *certificate, renewal time.Time) time.Time {
	return renewal.Add(c.leaf().NotAfter.Sub(renewal) / 2)
}

// The pauses after failures. Let's Encrypt, for one, takes five failed
// validations of a name in an hour; what never reached the authority costs
// nothing, and may be over the next moment.
var (
	countedPauses = []time.Duration{
		2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 6 * time.Hour,
	}
	freePauses = []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
	}
)

// mostPause is the longest pause, whoever asks for it.
const mostPause = 24 * time.Hour

// retryAt is when an attempt that failed is made again: failures is how many
// failed in a row, and spread, from 0 to 1, keeps a fleet from asking in step.
func retryAt(now time.Time, p *Problem, failures int, spread float64) time.Time {
	pauses := freePauses
	if p.Counted {
		pauses = countedPauses
	}
	pause := pauses[min(max(failures, 1), len(pauses))-1]
	at := now.Add(pause + time.Duration(spread*float64(pause)/4))
	if p.NotBefore.After(at) {
		at = p.NotBefore
	}
	return atMost(at, now)
}

// atMost keeps a time within the longest pause from now: a clock that was wrong, of
// this machine or of another, stops nobody for longer.
func atMost(at, now time.Time) time.Time {
	if most := now.Add(mostPause); at.After(most) {
		return most
	}
	return at
}
