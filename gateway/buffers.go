package gateway

import (
	"net/netip"
	"sync/atomic"

	"github.com/viloforge/vilogate/gateway/internal/quota"
)

// Buffer says how much of a body is held in memory, so that a slow client holds no connection to the backend. Its zero value
// says that nothing is.
type Buffer struct {
	// Request is the longest body of a request, in bytes, that is taken in before the backend is asked.
	Request int64
	// Response is how many bytes of an answer are read ahead of a slow reader.
	Response int64
	// Unknown has bodies of unknown length taken in too, which are refused beyond Request. They are sent with a Content-Length.
	Unknown bool
}

// buffers is the memory for bodies. Safe for concurrent use.
type buffers struct {
	memory *quota.Quota
	full   atomic.Uint64 // bodies that were streamed because there was no memory left
}

// newBuffers makes one of so many bytes, of which one client network has a quarter at most.
func newBuffers(memory int64) *buffers { return &buffers{memory: quota.New(memory, memory/4)} }

// held is the memory of one body. Its zero value holds none.
type held struct {
	of     *buffers
	client netip.Prefix
	size   atomic.Int64
}

// grow reports whether so many bytes more may be held.
func (h *held) grow(n int) bool {
	if !h.of.memory.Take(h.client, int64(n)) {
		return false
	}
	h.size.Add(int64(n))
	return true
}

// release gives all of it back. Any goroutine may call it, again too.
func (h *held) release() {
	if n := h.size.Swap(0); n > 0 {
		h.of.memory.Give(h.client, n)
	}
}

// smallestBuffer is how many bytes a body is given room for at first.
const smallestBuffer = 4 << 10
