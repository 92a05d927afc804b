package idp

import (
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
)

// Audit keeps a record of who signed in and out, or did not get in. It is safe for concurrent use.
type Audit interface {
	// PutEvent records what must not stand without its record: an error says that there is none.
	PutEvent(*audit.Event) error
	// PutEventBestEffort records what stands in any case. It never blocks.
	PutEventBestEffort(*audit.Event)
}

// maxRecordedFailures bounds the failed logins that are recorded within failureWindow: whoever tries passwords fills no disk.
const (
	maxRecordedFailures = 100
	failureWindow       = time.Minute
)

// failureSampler lets so many records of failures through. It is safe for concurrent use.
type failureSampler struct {
	mu                sync.Mutex
	began             time.Time
	recorded, omitted int
}

// take reports whether a failure is to be recorded, and how many were not in the window before.
func (f *failureSampler) take(now time.Time) (record bool, omitted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.began) >= failureWindow || now.Before(f.began) {
		omitted, f.omitted = f.omitted, 0
		f.began, f.recorded = now, 0
	}
	if f.recorded == maxRecordedFailures {
		f.omitted++
		return false, 0
	}
	f.recorded++
	return true, omitted
}

// flush returns how many failures were not recorded in a window that is over, once.
func (f *failureSampler) flush(now time.Time) (omitted int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now.Sub(f.began) < failureWindow {
		return 0
	}
	omitted, f.omitted = f.omitted, 0
	return omitted
}
