package limits

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Usage is the backlog of a key, and the burst of its rate.
type Usage struct {
	Key            Key
	Backlog, Burst time.Duration
}

// Shared is the store through which the gateways of a fleet sync the backlogs of their keys.
type Shared interface {
	// Add adds to the backlog of each key in the fleet, and sets Backlog to what that is then. It does so within a second
	// or two, or fails; then some of it may have been added. No two of the batch have one key.
	Add(ctx context.Context, batch []Usage) error
}

// fleet is the sync queue: the indexes of sets with an unsynced backlog.
type fleet struct {
	shared Shared
	log    *slog.Logger
	queue  chan uint32

	unsynced atomic.Uint64
	failures atomic.Uint64
	lastSync atomic.Int64
}

func newFleet(shared Shared, log *slog.Logger) *fleet {
	return &fleet{shared: shared, log: log, queue: make(chan uint32, queueLength)}
}

// enqueue enqueues a set for the next sync, if there is room. It does not wait.
func (f *fleet) enqueue(index uint32) bool {
	select {
	case f.queue <- index:
		return true
	default:
		f.unsynced.Add(1)
		return false
	}
}

// queueLength is how many sets may wait for the next sync.
const queueLength = 1 << 16
