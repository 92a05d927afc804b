package gateway

import (
	"log/slog"
	"net/netip"
	"sync/atomic"

	"github.com/viloforge/vilogate/gateway/internal/quota"
	"github.com/viloforge/vilogate/gateway/internal/spool"
)

// Buffer says how much of a body is held in memory, so that a slow client holds no connection to the backend. Its zero value
// says that nothing is.
type Buffer struct {
	// Request is the longest body of a request, in bytes, that is taken in before the backend is asked.
	Request int64
	// Response is how many bytes of an answer are read ahead of a slow reader.
	Response int64
	// Disk is how many bytes of either are on disk beyond that, where there is room (Options.BufferDisk).
	Disk int64
	// Unknown has bodies of unknown length taken in too, which are refused beyond Request and Disk. They are sent with a Content-Length.
	Unknown bool
}

// BufferDisk says where bodies are on disk: in files without a name, of so many bytes and so many in all, of which one client network
// has a quarter at most. A fifth of the file system stays free. Its zero value says that none are.
type BufferDisk struct {
	Folder string
	Bytes  int64
	Files  int
}

// buffers is the memory for bodies. Safe for concurrent use.
type buffers struct {
	memory *quota.Quota
	disk   *spool.Spool  // nil where there is none
	full   atomic.Uint64 // bodies that were streamed because there was no memory left
}

// newBuffers makes one of so many bytes, of which one client network has a quarter at most.
func newBuffers(memory int64, disk BufferDisk, log *slog.Logger) *buffers {
	b := &buffers{memory: quota.New(memory, memory/4)}
	if disk.Bytes > 0 {
		b.disk = spool.New(disk.Folder, disk.Bytes, disk.Files, func(err error) {
			log.Error("a body cannot be held on disk (buffer.disk), and streams", "folder", disk.Folder, "error", err)
		})
	}
	return b
}

// file makes a file for a body of a client network; nil where there is no room.
func (b *buffers) file(client netip.Prefix) *spool.File {
	f, err := b.disk.Create(client)
	if err != nil {
		return nil
	}
	return f
}

// reservation is the memory of one body. Its zero value has none.
type reservation struct {
	of     *buffers
	client netip.Prefix
	size   atomic.Int64
}

// grow reserves so many bytes more, if there are as many.
func (h *reservation) grow(n int) bool {
	if !h.of.memory.Acquire(h.client, int64(n)) {
		return false
	}
	h.size.Add(int64(n))
	return true
}

// release gives all of it back. Any goroutine may call it, again too.
func (h *reservation) release() {
	if n := h.size.Swap(0); n > 0 {
		h.of.memory.Release(h.client, n)
	}
}

// smallestBuffer is how many bytes a body is given room for at first.
const smallestBuffer = 4 << 10
