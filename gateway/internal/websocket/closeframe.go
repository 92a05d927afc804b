package websocket

import "encoding/binary"

// maxReason is how many bytes of a reason a close frame has room for: a control frame has 125, of which two are the code.
const maxReason = 123

// closeFrame is a close frame with a code and a reason (RFC 6455, section 5.5.1), as a server sends it.
func closeFrame(code uint16, reason string) []byte {
	reason = reason[:min(len(reason), maxReason)]
	frame := append(make([]byte, 0, 4+len(reason)), 0x80|opcodeClose, byte(2+len(reason)))
	return append(binary.BigEndian.AppendUint16(frame, code), reason...)
}

// maskedCloseFrame is a close frame as a client sends it (RFC 6455, section 5.3).
func maskedCloseFrame(code uint16, reason string, key [4]byte) []byte {
	plain := closeFrame(code, reason)
	frame := append(make([]byte, 0, len(plain)+4), plain[0], plain[1]|0x80)
	frame = append(frame, key[:]...)
	for i, b := range plain[2:] {
		frame = append(frame, b^key[i%4])
	}
	return frame
}
