package http2

import "sync"

// chunk is a piece of a body that was received.
type chunk struct {
	data []byte // as far as it is filled
	next *chunk
}

var (
	smallChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, 0, smallChunk)} }}
	largeChunks = sync.Pool{New: func() any { return &chunk{data: make([]byte, 0, largeChunk)} }}
)

func (c *chunk) free() {
	c.data, c.next = c.data[:0], nil
	if cap(c.data) == smallChunk {
		smallChunks.Put(c)
		return
	}
	largeChunks.Put(c)
}

// inbox is what was received of a body and is not read yet. Its memory is what is in it, and less than two chunks.
type inbox struct {
	first, last *chunk
	begin       int // of what is left of the first
	size        int
}

func (b *inbox) write(p []byte) {
	b.size += len(p)
	for len(p) > 0 {
		if b.last == nil || len(b.last.data) == cap(b.last.data) {
			b.grow(len(p))
		}
		n := min(len(p), cap(b.last.data)-len(b.last.data))
		b.last.data = append(b.last.data, p[:n]...)
		p = p[n:]
	}
}

func (b *inbox) grow(n int) {
	pool := &largeChunks
	if b.last == nil && n <= smallChunk {
		pool = &smallChunks
	}
	c := pool.Get().(*chunk)
	if b.last == nil {
		b.first, b.begin = c, 0
	} else {
		b.last.next = c
	}
	b.last = c
}

func (b *inbox) read(p []byte) int {
	read := 0
	for read < len(p) && b.size > 0 {
		n := copy(p[read:], b.first.data[b.begin:])
		read, b.begin, b.size = read+n, b.begin+n, b.size-n
		if b.begin == len(b.first.data) {
			b.drop()
		}
	}
	return read
}

func (b *inbox) drop() {
	c := b.first
	b.first, b.begin = c.next, 0
	if b.first == nil {
		b.last = nil
	}
	c.free()
}

// discard drops everything, and says how much that was.
func (b *inbox) discard() int {
	for b.first != nil {
		b.drop()
	}
	n := b.size
	b.size = 0
	return n
}
