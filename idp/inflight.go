package idp

import (
	"sync"

	"github.com/viloforge/vilogate/idp/internal/password"
)

// inFlight bounds how many attempts of a network are under way, from before the hash until the answer: those of strangers, and
// by themselves those of known browsers, account by account. Strangers are never counted by account: they would hold its places.
type inFlight struct {
	most int

	mu       sync.Mutex
	attempts map[password.Client]int // guarded by mu
}

func newInFlight(most int) *inFlight {
	return &inFlight{most: most, attempts: map[password.Client]int{}}
}

// enter takes a place, where there is one; leave gives it back.
func (f *inFlight) enter(c password.Client) (leave func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attempts[c] >= f.most {
		return nil, false
	}
	f.attempts[c]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.attempts[c]--; f.attempts[c] == 0 {
			delete(f.attempts, c)
		}
	}, true
}
