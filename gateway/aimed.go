package gateway

import (
	"sync"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
)

// aimed counts whose requests are under way at which address of an upstream, where these have an affinity: who chooses a cookie chooses
// an address, and one client is not to have all of it. Its zero value counts none. Safe for concurrent use.
type aimed struct {
	mu    sync.Mutex
	count map[aim]int // none is 0; guarded by mu
}

// aim is a client at an address.
type aim struct {
	who admission.Client
	at  *balancer.Address
}

// take counts one more, unless there are so many.
func (a *aimed) take(x aim, most int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[x] >= most {
		return false
	}
	if a.count == nil {
		a.count = map[aim]int{}
	}
	a.count[x]++
	return true
}

// give is called once for each take that succeeded.
func (a *aimed) give(x aim) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[x]--; a.count[x] == 0 {
		delete(a.count, x)
	}
}
