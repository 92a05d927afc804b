package gateway

import (
	"sync"

	"github.com/viloforge/vilogate/gateway/internal/admission"
	"github.com/viloforge/vilogate/gateway/internal/balancer"
)

// affinityInFlight counts the requests in flight of each client at each address of an upstream, where these have an affinity: who
// chooses a cookie chooses an address, and one client is not to have all of it. Its zero value counts none. Safe for concurrent use.
type affinityInFlight struct {
	mu    sync.Mutex
	count map[clientAddress]int // none is 0; guarded by mu
}

// clientAddress is a client at an address.
type clientAddress struct {
	client  admission.Client
	address *balancer.Address
}

// acquire counts one more, unless there are so many.
func (a *affinityInFlight) acquire(x clientAddress, most int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[x] >= most {
		return false
	}
	if a.count == nil {
		a.count = map[clientAddress]int{}
	}
	a.count[x]++
	return true
}

// release is called once for each acquire that succeeded.
func (a *affinityInFlight) release(x clientAddress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.count[x]--; a.count[x] == 0 {
		delete(a.count, x)
	}
}
