package websocket

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// frame is a frame of a test: its first byte, the size of its length field and its payload.
func frame(first byte, extended int, masked bool, payload []byte) []byte {
	mask := byte(0)
	if masked {
		mask = 0x80
	}
	b := []byte{first}
	switch extended {
	case 0:
		b = append(b, mask|byte(len(payload)))
	case 2:
		b = binary.BigEndian.AppendUint16(append(b, mask|126), uint16(len(payload)))
	case 8:
		b = binary.BigEndian.AppendUint64(append(b, mask|127), uint64(len(payload)))
	}
	if masked {
		b = append(b, 1, 2, 3, 4)
	}
	return append(b, payload...)
}

// messages are sequences of frames, by what they try.
var messages = map[string][][]byte{
	"empty":              {frame(0x81, 0, false, nil)},
	"text":               {frame(0x81, 0, false, []byte("hello"))},
	"two":                {frame(0x81, 0, false, []byte("a")), frame(0x82, 0, false, []byte("b"))},
	"125":                {frame(0x82, 0, false, make([]byte, 125))},
	"16-bit":             {frame(0x82, 2, false, make([]byte, 126)), frame(0x82, 2, false, make([]byte, 65535))},
	"64-bit":             {frame(0x82, 8, false, make([]byte, 65536)), frame(0x82, 0, false, nil)},
	"16-bit-not-minimal": {frame(0x82, 2, false, []byte("x")), frame(0x82, 2, false, nil)},
	"fragmented":         {frame(0x01, 0, false, []byte("he")), frame(0x00, 0, false, []byte("ll")), frame(0x80, 0, false, []byte("o"))},
	"control-between":    {frame(0x01, 0, false, []byte("he")), frame(0x89, 0, false, []byte("ping")), frame(0x80, 0, false, []byte("llo"))},
	"masked":             {frame(0x81, 0, true, []byte("hello")), frame(0x82, 8, true, make([]byte, 300)), frame(0x88, 0, true, nil)},
	"reserved-bits":      {frame(0xf1, 0, false, []byte("deflated"))},
	"looks-like-headers": {frame(0x82, 0, false, []byte{0x88, 0x00, 0x81, 0x7f}), frame(0x88, 0, false, []byte{0x03, 0xe8})},
	"close":              {closeFrame(4401, "signed out")},
	"masked-close":       {maskedCloseFrame(1001, "shutting down", [4]byte{9, 8, 7, 6})},
}

// TestEveryFrameEndsWhereItEnds, in whatever pieces it comes.
func TestEveryFrameEndsWhereItEnds(t *testing.T) {
	t.Parallel()
	for name, sent := range messages {
		for _, piece := range []int{1, 2, 3, 7, 1 << 20} {
			var f frames
			for i, whole := range sent {
				rest := whole
				for len(rest) > 0 {
					given := rest[:min(piece, len(rest))]
					if i > 0 && len(rest) == len(whole) && !f.boundary() {
						t.Fatalf("%s in pieces of %d: frame %d does not begin at a boundary", name, piece, i)
					}
					n, ended := f.next(given)
					if n != len(given) || ended != (n == len(rest)) || ended != f.boundary() {
						t.Fatalf("%s in pieces of %d: frame %d took %d of %d bytes, ended %v, boundary %v, %d bytes before its end", name, piece, i, n, len(given), ended, f.boundary(), len(rest)-n)
					}
					rest = rest[n:]
				}
				if f.opcode != whole[0]&0x0f {
					t.Errorf("%s: opcode %d", name, f.opcode)
				}
			}
		}
		// All in one piece: next stops at each end.
		var f frames
		all := bytes.Join(sent, nil)
		for i, whole := range sent {
			n, ended := f.next(all)
			if n != len(whole) || !ended {
				t.Errorf("%s: frame %d ended after %d bytes, want %d", name, i, n, len(whole))
			}
			all = all[n:]
		}
	}
}

// TestCloseFrames: what a browser and a backend are sent, byte by byte.
func TestCloseFrames(t *testing.T) {
	t.Parallel()
	if got, want := closeFrame(4401, "out"), []byte{0x88, 5, 0x11, 0x31, 'o', 'u', 't'}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if got, want := maskedCloseFrame(1001, "x", [4]byte{1, 2, 3, 4}), []byte{0x88, 0x83, 1, 2, 3, 4, 0x03 ^ 1, 0xe9 ^ 2, 'x' ^ 3}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	if got := closeFrame(1001, string(make([]byte, 200))); len(got) != 127 || got[1] != 125 {
		t.Errorf("%d bytes, of which the header says %d, want a control frame of 125", len(got), got[1])
	}
}

// reference finds the ends of frames in one look at all of them.
func reference(b []byte) (ends []uint64) {
	for at := uint64(0); ; {
		if uint64(len(b))-at < 2 {
			return ends
		}
		header, length := uint64(2), uint64(b[at+1]&0x7f)
		extended := map[uint64]uint64{126: 2, 127: 8}[length]
		header += extended
		if b[at+1]&0x80 != 0 {
			header += 4
		}
		if uint64(len(b))-at < header {
			return ends
		}
		if extended > 0 {
			length = 0
			for _, c := range b[at+2 : at+2+extended] {
				length = length<<8 | uint64(c)
			}
		}
		if left := uint64(len(b)) - at - header; length > left {
			return ends
		}
		at += header + length
		ends = append(ends, at)
	}
}

// FuzzFrames: whatever the bytes and however they come in pieces, frames end where one look at all of them says.
func FuzzFrames(f *testing.F) {
	for _, sent := range messages {
		f.Add(bytes.Join(sent, nil)[:min(1000, len(bytes.Join(sent, nil)))], byte(3))
	}
	f.Add([]byte{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}, byte(1))
	f.Fuzz(func(t *testing.T, b []byte, piece byte) {
		want := reference(b)
		var s frames
		var got []uint64
		at := 0
		for at < len(b) {
			given := b[at:min(len(b), at+int(piece)+1)]
			n, ended := s.next(given)
			if n == 0 || n > len(given) || !ended && n != len(given) || ended != s.boundary() {
				t.Fatalf("at %d: took %d of %d, ended %v, boundary %v", at, n, len(given), ended, s.boundary())
			}
			if at += n; ended {
				got = append(got, uint64(at))
			}
		}
		if len(got) != len(want) {
			t.Fatalf("ends %v, want %v", got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("ends %v, want %v", got, want)
			}
		}
		var whole frames
		whole.advance(b)
		if whole != s {
			t.Fatalf("in one piece %+v, in many %+v", whole, s)
		}
	})
}
