package token

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"time"
)

// MaxCookieSignatures is how many signatures are verified for the values of one cookie
// of one request: each is dear, and sending another costs next to nothing. 16 values
// that say the cookie's issuer and a key of its are judged; with one more none is.
const MaxCookieSignatures = 16

// minLength is less than any signed token has: header, two dots and signature alone.
const minLength = 64

// SignedValue is a value of a cookie that its issuer signed, expired and revoked ones too.
type SignedValue struct {
	Value  string
	Claims *Claims
}

// SignedValues are the different values of a cookie that its issuer, by its name,
// signed: whose bearer may be meant. Anybody below the domain can add values of their own.
// What is not of the issuer, for our audience and of a key that it has, is none that could
// count, and costs no signature. The work is in proportion to the bytes.
//
// The error is [ErrTooManyValues] where more signatures than [MaxCookieSignatures] would
// have to be verified, ErrKeysNotLoaded or ErrTooManyKeys where a value may be good and
// cannot be judged, and else, where no value is signed, why the first is not.
func (v *Verifier) SignedValues(issuer string, sender Sender, values iter.Seq[string]) (signed []SignedValue, err error) {
	left := MaxCookieSignatures
	var judged []string // for which signatures were verified: at most as many
	first := true
	for value := range values {
		if !first && !mayBeToken(value) || slices.Contains(judged, value) {
			continue
		}
		before := left
		c, reason := v.checkSignature(value, scope{issuer: issuer, sender: sender, left: &left})
		if left < before {
			judged = append(judged, value)
		}
		switch {
		case reason == nil:
			signed = append(signed, SignedValue{value, c})
		case errors.Is(reason, ErrKeysNotLoaded), errors.Is(reason, ErrTooManyKeys), errors.Is(reason, ErrTooManyValues):
			return nil, reason
		case first:
			err = reason
		}
		first = false
	}
	if len(signed) > 0 {
		return signed, nil
	}
	return nil, err
}

// mayBeToken reports whether a text is as long as a signed token is at least, and cut into three.
func mayBeToken(value string) bool {
	return minLength <= len(value) && strings.Count(value, ".") == 2
}

// VerifySigned judges a signed value as Verify does, without verifying its signature again.
func (v *Verifier) VerifySigned(s SignedValue, now time.Time) (*Claims, error) {
	c, known := v.cache.GetIfPresent(s.Value)
	if !known {
		c = s.Claims
	}
	if err := c.checkKey(now); err != nil {
		return nil, c.missedFor(now, err)
	}
	if !known {
		v.remember(s.Value, c)
	}
	return v.current(c, now)
}
