package acme

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	acmez "github.com/mholt/acmez/v3/acme"
)

var begin = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func TestWhenACertificateIsDue(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, row := range map[string]struct {
		life, obtained, suggested, want time.Duration // after the begin; suggested 0: the authority says nothing
	}{
		"a third is left":                    {90 * day, 0, 0, 60 * day},
		"of a short life, too":               {6 * day, 0, 0, 4 * day},
		"the authority wants it sooner":      {90 * day, 0, 10 * day, 10 * day},
		"the authority wants it later":       {90 * day, 0, 80 * day, 80 * day},
		"not so late that it could go wrong": {100 * day, 0, 99 * day, 95 * day},
		"not after its end":                  {100 * day, 0, 1000 * day, 95 * day},
		"not one after the other":            {90 * day, time.Hour, -5 * day, 7 * time.Hour},
		"nor of a very short life":           {20 * time.Minute, 0, -5 * day, 5 * time.Minute},
		"whatever time stands in it":         {90 * day, 61 * day, 0, 61*day + 6*time.Hour},
	} {
		var info acmez.RenewalInfo
		if row.suggested != 0 {
			info.SelectedTime = begin.Add(row.suggested)
		}
		c := &certificate{
			record: record{Obtained: begin.Add(row.obtained)},
			pair:   &tls.Certificate{Leaf: &x509.Certificate{NotBefore: begin, NotAfter: begin.Add(row.life)}},
		}
		if got := renewAt(c, info).Sub(begin); got != row.want {
			t.Errorf("%s: after %v, want %v", name, got, row.want)
		}
		if warn := warnAt(c, renewAt(c, info)); !warn.Before(c.leaf().NotAfter) || warn.Before(renewAt(c, info)) {
			t.Errorf("%s: warned at %v", name, warn)
		}
	}
}

// Five failed validations of a name in an hour are what Let's Encrypt takes.
func TestTheAuthoritysLimitsAreKept(t *testing.T) {
	t.Parallel()
	counted := &Problem{Err: errors.New("x"), Counted: true}
	inAnHour, now := 0, begin
	for failures := 1; now.Before(begin.Add(24 * time.Hour)); failures++ {
		if now.Before(begin.Add(time.Hour)) {
			inAnHour++
		}
		next := retryAt(now, counted, failures, 0)
		if next.Sub(now) > 7*time.Hour || !next.After(now) {
			t.Errorf("after %d failures the next is in %v", failures, next.Sub(now))
		}
		now = next
	}
	if inAnHour > 5 {
		t.Errorf("%d attempts in the first hour", inAnHour)
	}
	if got := retryAt(begin, &Problem{Err: errors.New("x")}, 1, 1).Sub(begin); got > 10*time.Second {
		t.Errorf("what cost nothing is tried again in %v", got)
	}
	asked := begin.Add(3 * time.Hour)
	if got := retryAt(begin, &Problem{Err: errors.New("x"), Counted: true, NotBefore: asked}, 1, 0.5); !got.Equal(asked) {
		t.Errorf("the authority's wish: %v", got)
	}
	if got := retryAt(begin, &Problem{Err: errors.New("x"), NotBefore: begin.Add(1000 * time.Hour)}, 1, 0).Sub(begin); got != 24*time.Hour {
		t.Errorf("an authority that wants never to be asked: %v", got)
	}
}
