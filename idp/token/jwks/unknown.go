package jwks

import (
	"strings"
	"sync"

	"github.com/viloforge/vilogate/idp/token"
)

// maxUnknown is how many unknown kids are remembered.
const maxUnknown = 256

// unknownKids are the kids that tokens have named and no key has. Whether one is
// unknown to the issuer too shows only when a fetch that began after it was first
// seen has ended, with keys or without; until then it is pending. Beyond
// maxUnknown that are pending, one is not remembered, and unknown at once: their
// number is for strangers to choose.
type unknownKids struct {
	mu      sync.Mutex
	began   uint64            // fetches that have begun
	ended   uint64            // fetches that have ended; they follow each other
	seen    map[string]uint64 // the fetches that had begun when it was first seen
	order   []string          // seen, as they came: those that are not pending are first
	news    int               // how many were first seen since the last fetch began
	example string            // the first of those
	stats   UnknownStats
}

// UnknownStats counts the tokens whose kid no key has.
type UnknownStats struct {
	Pending uint64 // that may be good: a fetch was to come or under way
	Unknown uint64 // that are not
}

// see answers for a kid that no key has.
func (u *unknownKids) see(kid string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, known := u.seen[kid]
	if !known && u.remember(kid) {
		at, known = u.began, true
	}
	if !known || u.ended > at {
		u.stats.Unknown++
		return token.ErrUnknownKey
	}
	u.stats.Pending++
	return token.ErrKeyPending
}

// remember makes room for a kid and reports whether there was any. The caller holds mu.
func (u *unknownKids) remember(kid string) bool {
	if len(u.order) == maxUnknown {
		if u.ended <= u.seen[u.order[0]] {
			return false // the first is pending, and so are all behind it
		}
		delete(u.seen, u.order[0])
		u.order = u.order[1:]
	}
	if u.seen == nil {
		u.seen = make(map[string]uint64)
	}
	kid = strings.Clone(kid) // it is a piece of a whole token
	u.seen[kid], u.order = u.began, append(u.order, kid)
	if u.news++; u.news == 1 {
		u.example = kid
	}
	return true
}

// begin is told that a fetch begins, and returns how many kids are new since the
// last one began, and the first of them.
func (u *unknownKids) begin() (news int, example string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.began++
	news, example = u.news, u.example
	u.news, u.example = 0, ""
	return news, example
}

// end is told that the fetch has ended.
func (u *unknownKids) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.ended = u.began
}

func (u *unknownKids) snapshot() UnknownStats {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.stats
}
