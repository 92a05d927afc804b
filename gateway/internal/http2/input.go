package http2

import (
	"io"
	"net"
	"sync"
)

var readBuffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

// input reads frames. While it waits for one it has no buffer but a tiny one, so that an idle connection keeps little; the rest of
// a TLS record comes without waiting. It belongs to the reader.
type input struct {
	conn       net.Conn
	buffer     *[readBuffer]byte // nil while nothing is in it
	begin, end int               // of what is read and not used
	tiny       [tinyRead]byte
}

// release gives the buffer back, unless something is in it.
func (in *input) release() {
	if in.buffer != nil && in.begin == in.end {
		readBuffers.Put(in.buffer)
		in.buffer, in.begin, in.end = nil, 0, 0
	}
}

// free gives the buffer back.
func (in *input) free() {
	in.begin = in.end
	in.release()
}

// buffered is how much there is without reading.
func (in *input) buffered() int { return in.end - in.begin }

// next is the next n bytes. They are good until the next call.
func (in *input) next(n int) ([]byte, error) {
	if in.buffered() < n {
		if err := in.fill(n); err != nil {
			return nil, err
		}
	}
	p := in.buffer[in.begin : in.begin+n]
	in.begin += n
	return p, nil
}

// fill reads until there are n bytes.
func (in *input) fill(n int) error {
	if in.buffer == nil {
		read, err := in.conn.Read(in.tiny[:])
		if read == 0 && err != nil {
			return err
		}
		in.buffer = readBuffers.Get().(*[readBuffer]byte)
		in.begin, in.end = 0, copy(in.buffer[:], in.tiny[:read])
	}
	if in.begin+n > len(in.buffer) || in.begin == in.end {
		in.end = copy(in.buffer[:], in.buffer[in.begin:in.end])
		in.begin = 0
	}
	for in.buffered() < n {
		read, err := in.conn.Read(in.buffer[in.end:])
		in.end += read
		if err != nil && in.buffered() < n {
			if err == io.EOF && in.buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}
