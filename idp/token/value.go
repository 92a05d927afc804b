package token

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/viloforge/vilogate/idp/token/names"
)

// What a claim may be at most, in bytes or in entries.
const (
	maxIdentifier = 255 // sub, jti, sid, kid
	maxEmail      = 254
	maxName       = 256
	maxDigits     = 15 // of a subject that is a number: below 2^53
	maxRoles      = 256
	maxAMR        = 16
	maxAudience   = 64

	// maxTime is the end of the year 9999: what a time in a token may be at most.
	maxTime = 253402300799
)

var (
	errIdentifier = errors.New("is not 1 to 255 visible ASCII characters")
	errUser       = errors.New("is not a user name")
	errText       = errors.New("holds a control or direction character, or is too long")
	errRole       = errors.New("is not a role")
	errList       = errors.New("is not a list of strings")
	errType       = errors.New("is of the wrong type")
	errTime       = errors.New("is not a time")
)

// checkIdentifier judges sub, jti, sid, kid and the methods of amr: visible
// ASCII, so that it is one and the same in a header, a log and a key of a store.
func checkIdentifier(s string) error {
	if s == "" || len(s) > maxIdentifier {
		return errIdentifier
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return errIdentifier
		}
	}
	return nil
}

// checkForeign judges a subject or a user name of another issuer: any language,
// nothing that breaks a line or turns the direction of what stands around it.
func checkForeign(s string) error {
	switch {
	case s == "":
		return errIdentifier
	case !names.IsForeign(s):
		return errText
	}
	return nil
}

// checkAssertedSubject judges a subject as a backend gets it: one of another
// issuer stands after that issuer's name.
func checkAssertedSubject(s string) error {
	if rest, ok := afterIssuer(s); ok {
		return checkForeign(rest)
	}
	return checkIdentifier(s)
}

// afterIssuer cuts the name of another issuer off what stands after it.
func afterIssuer(s string) (rest string, ok bool) {
	name, rest, ok := strings.Cut(s, ":")
	return rest, ok && names.IsIssuer(name)
}

func checkOwnUser(s string) error { return userError(names.IsUser(s)) }

// checkForeignUser judges a user name of another issuer that is one of ours by
// the configuration.
func checkForeignUser(s string) error { return userError(names.IsForeignUser(s)) }

func userError(good bool) error {
	if !good {
		return errUser
	}
	return nil
}

// checkAssertedUser judges a user name as a backend gets it: one of ours, or
// another issuer's after that issuer's name.
func checkAssertedUser(s string) error {
	if rest, ok := afterIssuer(s); ok {
		return checkForeign(rest)
	}
	return checkForeignUser(s)
}

func checkEmail(s string) error { return checkText(s, maxEmail) }

func checkName(s string) error { return checkText(s, maxName) }

// checkText judges what people read, a name or an address: any language, but
// nothing that breaks a line or turns the direction of what stands around it.
func checkText(s string, limit int) error {
	if len(s) > limit || !utf8.ValidString(s) {
		return errText
	}
	if strings.ContainsFunc(s, names.BreaksText) {
		return errText
	}
	return nil
}

// strictRoles is for roles that our own IdP vouches for: all good, or an error.
func strictRoles(roles []string) ([]string, error) {
	if len(roles) > maxRoles {
		return nil, errRole
	}
	for _, r := range roles {
		if !names.IsRole(r) {
			return nil, errRole
		}
	}
	return sortedSet(roles), nil
}

// assertedRoles are roles as a backend gets them: those of our own people are all
// good, those of another issuer's people are as that issuer spells them.
func assertedRoles(subject string, roles []string) ([]string, error) {
	if _, foreign := afterIssuer(subject); !foreign {
		return strictRoles(roles)
	}
	if slices.ContainsFunc(roles, func(r string) bool { return !names.IsForeign(r) }) {
		return nil, errRole
	}
	return sortedSet(roles), nil
}

func sortedSet(list []string) []string {
	list = slices.Sorted(slices.Values(list))
	return slices.Clip(slices.Compact(list))
}

func checkAMR(amr []string) error {
	if len(amr) > maxAMR {
		return errList
	}
	for _, m := range amr {
		if err := checkIdentifier(m); err != nil {
			return err
		}
	}
	return nil
}

// strings reads a list of strings.
func (v value) strings() ([]string, error) {
	if v.kind != kindArray {
		return nil, errList
	}
	list := make([]string, len(v.list))
	for i, e := range v.list {
		if e.kind != kindString {
			return nil, errList
		}
		list[i] = e.text
	}
	return list, nil
}

// time reads a NumericDate, rounded down to whole seconds: so a token ends no
// later, and counts as issued no later, than it says.
func (v value) time() (time.Time, error) {
	if v.kind != kindNumber {
		return time.Time{}, errType
	}
	whole, fraction, _ := strings.Cut(v.text, ".")
	if strings.ContainsAny(fraction, "eE") {
		return time.Time{}, errTime
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds <= 0 || seconds > maxTime {
		return time.Time{}, errTime
	}
	return time.Unix(seconds, 0), nil
}
