package http2

import "fmt"

// code is an error code (RFC 9113, section 7).
type code uint32

const (
	noError            code = 0x0
	protocolError      code = 0x1
	internalError      code = 0x2
	flowControlError   code = 0x3
	streamClosed       code = 0x5
	frameSizeError     code = 0x6
	refusedStream      code = 0x7
	cancel             code = 0x8
	compressionError   code = 0x9
	enhanceYourCalm    code = 0xb
	inadequateSecurity code = 0xc
)

// connectionError ends the connection (RFC 9113, section 5.4.1).
type connectionError struct {
	code   code
	reason string
}

func (e *connectionError) Error() string {
	return fmt.Sprintf("http2: connection error %#x: %s", uint32(e.code), e.reason)
}

// streamError ends one stream (RFC 9113, section 5.4.2).
type streamError struct {
	stream uint32
	code   code
	reason string
}

func (e *streamError) Error() string {
	return fmt.Sprintf("http2: stream %d: error %#x: %s", e.stream, uint32(e.code), e.reason)
}
