package edge

import (
	"sync"
	"time"
)

// expired is a deadline that has passed.
var expired = time.Unix(1, 0)

// stallTimer is the timeout of single reads or writes. It runs only while one is
// in progress: time that the other side of the gateway takes does not count.
type stallTimer struct {
	timer  *time.Timer
	mu     sync.Mutex
	closed bool  // guarded by mu: the request has ended, and its connection may have another
	err    error // guarded by mu: what setting the deadline came to
}

// newStallTimer makes a timer that sets an expired deadline, from a goroutine of
// its own, at the timeout; never after close.
func newStallTimer(setDeadline func(time.Time) error) *stallTimer {
	s := &stallTimer{}
	s.timer = time.AfterFunc(time.Hour, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.closed {
			s.err = setDeadline(expired)
		}
	})
	s.timer.Stop()
	return s
}

func (s *stallTimer) start(timeout time.Duration) { s.timer.Reset(timeout) }

func (s *stallTimer) stop() { s.timer.Stop() }

// close stops the timer with its request.
func (s *stallTimer) close() error {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.err
}
