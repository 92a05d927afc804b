package jwks

import (
	"strings"
	"sync"

	"github.com/viloforge/vilogate/idp/token"
)

// maxUnknown is how many unknown kids are remembered.
const maxUnknown = 1024

// unknownKids are the kids that tokens have named and no key has. Whether one is
// unknown to the issuer too shows only when a fetch that began after it was first
// seen has ended, with keys or without; until then it is pending. Beyond
// maxUnknown that are pending, one is not remembered, and unknown at once: their
// number is for strangers to choose. Room is made by the one that nobody has named
// for longest, so that many others do not make one pending again that tokens go on
// to name, such as that of a cookie planted beside a good one.
type unknownKids struct {
	mu      sync.Mutex
	began   uint64 // fetches that have begun
	ended   uint64 // fetches that have ended; they follow each other
	named   uint64 // tokens that named one
	seen    map[string]*unknownKid
	news    int    // how many were first seen since the last fetch began
	example string // the first of those
	stats   UnknownStats
}

type unknownKid struct {
	began uint64 // the fetches that had begun when it was first seen
	named uint64 // the tokens that had named one when it was last seen
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
	u.named++
	k := u.seen[kid]
	if k == nil {
		k = u.remember(kid)
	} else {
		k.named = u.named
	}
	if k == nil || u.ended > k.began {
		u.stats.Unknown++
		return token.ErrUnknownKey
	}
	u.stats.Pending++
	return token.ErrKeyPending
}

// remember makes room for a kid; nil where there is none. The caller holds mu.
func (u *unknownKids) remember(kid string) *unknownKid {
	if len(u.seen) == maxUnknown && !u.forgetOne() {
		return nil
	}
	if u.seen == nil {
		u.seen = make(map[string]*unknownKid)
	}
	kid = strings.Clone(kid) // it is a piece of a whole token
	k := &unknownKid{began: u.began, named: u.named}
	u.seen[kid] = k
	if u.news++; u.news == 1 {
		u.example = kid
	}
	return k
}

// forgetOne forgets, of those that are not pending, the one that was named longest ago, and reports
// whether there was one.
func (u *unknownKids) forgetOne() bool {
	oldest := ""
	for kid, k := range u.seen {
		if u.ended > k.began && (oldest == "" || k.named < u.seen[oldest].named) {
			oldest = kid
		}
	}
	delete(u.seen, oldest)
	return oldest != ""
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
