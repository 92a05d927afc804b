package websocket

// opcodeClose is the opcode of close frames (RFC 6455, section 5.5.1).
const opcodeClose = 0x8

// frames follows the frames of one direction (RFC 6455, section 5.2), of which it reads the headers alone. Whatever the
// bytes are, it goes on; of what is no WebSocket, it finds an end at random or never. Its zero value is at the beginning.
type frames struct {
	remaining uint64 // bytes of the payload that are still to come
	opcode    byte   // of the frame that is passing, or has last
	read      uint8  // bytes of the header
	size      uint8  // of the header in bytes, as far as is known
	extended  uint8  // bytes of the header that hold the length
}

// boundary reports whether one frame has ended and the next has not begun.
func (f *frames) boundary() bool { return f.read == 0 && f.remaining == 0 }

// next takes bytes up to the end of the frame that they begin with, and reports whether that is among them.
func (f *frames) next(p []byte) (n int, ended bool) {
	for n < len(p) {
		if f.read == 0 && f.remaining > 0 {
			passing := min(f.remaining, uint64(len(p)-n))
			f.remaining -= passing
			n += int(passing)
			return n, f.remaining == 0
		}
		if f.header(p[n]); f.read == 0 && f.remaining == 0 {
			return n + 1, true
		}
		n++
	}
	return n, false
}

// advance takes all of p.
func (f *frames) advance(p []byte) {
	for len(p) > 0 {
		n, _ := f.next(p)
		p = p[n:]
	}
}

// header takes one byte of a header; behind the last one read is 0 again, and remaining the payload.
func (f *frames) header(b byte) {
	switch {
	case f.read == 0:
		f.opcode, f.size = b&0x0f, 2
	case f.read == 1:
		switch length := b & 0x7f; length {
		case 126:
			f.extended = 2
		case 127:
			f.extended = 8
		default:
			f.extended, f.remaining = 0, uint64(length)
		}
		f.size += f.extended
		if masked := b&0x80 != 0; masked {
			f.size += 4
		}
	case f.read < 2+f.extended:
		f.remaining = f.remaining<<8 | uint64(b)
	}
	if f.read++; f.read == f.size {
		f.read = 0
	}
}
