package edge

import (
	"sync"
	"time"
)

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// stall ends a read or a write that takes too long. Its time runs only while
// one is under way: what the other side of the gateway takes does not count.
type stall struct {
	timer *time.Timer
	mu    sync.Mutex
	over  bool  // guarded by mu: the request has ended, and its connection may have another
	err   error // guarded by mu: what setting the deadline came to
}

// newStall makes a stall that sets a deadline in the past, from a goroutine of
// its own, when time has run out; never after close.
func newStall(setDeadline func(time.Time) error) *stall {
	s := &stall{}
	s.timer = time.AfterFunc(time.Hour, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.over {
			s.err = setDeadline(longAgo)
		}
	})
	s.timer.Stop()
	return s
}

func (s *stall) start(patience time.Duration) { s.timer.Reset(patience) }

func (s *stall) stop() { s.timer.Stop() }

// close ends the stall with its request.
func (s *stall) close() error {
	s.timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.err
}
