package http2

import "encoding/binary"

type frameType uint8

// The frames of RFC 9113, section 6.
const (
	dataFrame         frameType = 0x0
	headersFrame      frameType = 0x1
	priorityFrame     frameType = 0x2
	resetFrame        frameType = 0x3
	settingsFrame     frameType = 0x4
	pushPromiseFrame  frameType = 0x5
	pingFrame         frameType = 0x6
	goAwayFrame       frameType = 0x7
	windowUpdateFrame frameType = 0x8
	continuationFrame frameType = 0x9
)

const (
	flagEndStream  = 0x1
	flagAck        = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	frameHeaderLength = 9
	maxFrameLength    = 16 << 10 // bytes of payload: the least that everybody takes, and the most that is sent and taken here
	maxWindow         = 1<<31 - 1
	maxStreamID       = 1<<31 - 1
	initialWindow     = 65535 // bytes, before anybody says otherwise (RFC 9113, section 6.9.2)
)

// The settings of RFC 9113, section 6.5.2, of RFC 8441, section 3, and of RFC 9218, section 2.1.
const (
	settingHeaderTableSize       uint16 = 0x1
	settingEnablePush            uint16 = 0x2
	settingMaxConcurrentStreams  uint16 = 0x3
	settingInitialWindowSize     uint16 = 0x4
	settingMaxFrameSize          uint16 = 0x5
	settingMaxHeaderListSize     uint16 = 0x6
	settingEnableConnectProtocol uint16 = 0x8
	settingNoRFC7540Priorities   uint16 = 0x9
)

// preface is what a client begins with (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// frame is a frame that was read. The payload is good until the next is read.
type frame struct {
	kind    frameType
	flags   uint8
	stream  uint32
	length  int
	payload []byte
}

func (f *frame) has(flag uint8) bool { return f.flags&flag != 0 }

// parseFrameHeader parses the nine bytes that begin a frame.
func parseFrameHeader(b []byte) frame {
	return frame{
		length: int(b[0])<<16 | int(b[1])<<8 | int(b[2]),
		kind:   frameType(b[3]), flags: b[4],
		stream: binary.BigEndian.Uint32(b[5:]) & maxStreamID,
	}
}

// unpad removes the padding of a DATA or HEADERS frame (RFC 9113, section 6.1).
func (f *frame) unpad() error {
	if !f.has(flagPadded) {
		return nil
	}
	if len(f.payload) == 0 {
		return &connectionError{frameSizeError, "a padded frame without a pad length"}
	}
	padding := int(f.payload[0])
	if padding >= len(f.payload) {
		return &connectionError{protocolError, "more padding than the frame is long"}
	}
	f.payload = f.payload[1 : len(f.payload)-padding]
	return nil
}

func appendFrameHeader(b []byte, kind frameType, flags uint8, stream uint32, length int) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendReset(b []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, resetFrame, 0, stream, 4), uint32(c))
}

func appendWindowUpdate(b []byte, stream uint32, n int64) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(b, windowUpdateFrame, 0, stream, 4), uint32(n))
}

func appendPing(b []byte, flags uint8, data []byte) []byte {
	return append(appendFrameHeader(b, pingFrame, flags, 0, 8), data...)
}

func appendGoAway(b []byte, last uint32, c code, reason string) []byte {
	b = appendFrameHeader(b, goAwayFrame, 0, 0, 8+len(reason))
	b = binary.BigEndian.AppendUint32(b, last)
	return append(binary.BigEndian.AppendUint32(b, uint32(c)), reason...)
}

// setting is a parameter of a SETTINGS frame.
type setting struct {
	id    uint16
	value uint32
}

func appendSettings(b []byte, settings ...setting) []byte {
	b = appendFrameHeader(b, settingsFrame, 0, 0, 6*len(settings))
	for _, s := range settings {
		b = binary.BigEndian.AppendUint16(b, s.id)
		b = binary.BigEndian.AppendUint32(b, s.value)
	}
	return b
}

// appendBlock appends a header block: HEADERS, and CONTINUATION where it is long.
func appendBlock(b []byte, stream uint32, block []byte, endStream bool) []byte {
	kind, flags := headersFrame, uint8(0)
	if endStream {
		flags = flagEndStream
	}
	for {
		piece := block[:min(len(block), maxFrameLength)]
		if block = block[len(piece):]; len(block) == 0 {
			flags |= flagEndHeaders
		}
		b = append(appendFrameHeader(b, kind, flags, stream, len(piece)), piece...)
		if len(block) == 0 {
			return b
		}
		kind, flags = continuationFrame, 0
	}
}
