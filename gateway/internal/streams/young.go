package streams

import (
	"sync"
	"time"
)

// shards is how many lists of young streams there are, so that requests seldom wait for one another. It is a power of two.
const shards = 16

// A shard is a list of young streams, in the order in which they came.
type shard struct {
	mu             sync.Mutex
	oldest, newest *Stream // guarded by mu

	_ [40]byte // a cache line of its own
}

// add adds a stream. mu is held, as in the other methods.
func (h *shard) add(s *Stream) {
	s.state, s.prev, s.next = young, h.newest, nil
	if h.newest == nil {
		h.oldest = s
	} else {
		h.newest.next = s
	}
	h.newest = s
}

func (h *shard) remove(s *Stream) {
	if s.prev == nil {
		h.oldest = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		h.newest = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.state, s.prev, s.next = unknown, nil, nil
}

// since returns the oldest stream if it began at the moment or before; nil otherwise.
func (h *shard) since(moment time.Time) *Stream {
	if s := h.oldest; s != nil && !s.begun.After(moment) {
		return s
	}
	return nil
}
