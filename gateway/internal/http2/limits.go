package http2

import (
	"cmp"
	"time"
)

// Limits bound what one client may use. A field that is 0 has the default.
type Limits struct {
	// HeaderBytes bounds a request's header, and its trailer section: names and values, and 32 bytes a field (RFC 9113, section
	// 10.5.1). A request beyond is answered with 431; a header block that is twice as long as that on the wire, and 16 KiB,
	// ends the connection. 64 KiB.
	HeaderBytes int
	// HeaderFields bounds their number: 431 beyond. 1024.
	HeaderFields int
	// Continuations bounds the CONTINUATION frames of one header block. 32.
	Continuations int
	// HeaderTime is how long a header block may take to arrive, and the client's preface. 10 s.
	HeaderTime time.Duration
	// IdleTime is how long a connection may have no stream. 2 min.
	IdleTime time.Duration
	// Streams may be under way at once; twice as many handlers may run, while those of streams that were reset still end. A
	// stream beyond is refused. 250.
	Streams int
	// BodyMinRate is how many bytes a second of a body with a Content-Length have to arrive, while it is read. 0 is no limit.
	BodyMinRate int64
	// BodyTimeout is how far such a body may fall behind. 15 s.
	BodyTimeout time.Duration
	// WriteTimeout is how long a client may take none of what it is sent: on the connection (a TLS record), which ends
	// then, or on a stream (16 KiB, nearly, or the rest of what the handler writes at once), by its windows, which is reset then. 1 min.
	WriteTimeout time.Duration
	// Resets is how many streams a client may reset, or begin in error, at once, before it is told to go; ResetRate is how many
	// a second besides. 500, and 50.
	Resets, ResetRate int
	// ControlFrames is how many frames a client may send that ask for nothing, before it is told to go: SETTINGS, PING,
	// PRIORITY, WINDOW_UPDATE, DATA without data, and frames of unknown types. Each request and each DATA frame, sent or
	// received, earns some. ControlRate is how many a second besides. 1000, and 10.
	ControlFrames, ControlRate int
	// PendingControl is how many bytes of frames may wait for a client that reads nothing besides answers' own 64 KiB: the
	// connection is closed beyond. 64 KiB.
	PendingControl int
	// StreamWindow and ConnectionWindow are how many bytes of bodies a client may send ahead of what is read of them (RFC 9113,
	// section 5.2). A browser has one connection for all the hosts of a certificate: an upload that nobody reads fills its
	// stream's window, and the connection's has room for seven such. 512 KiB, and 4 MiB.
	StreamWindow, ConnectionWindow int64
}

// What does not depend on the client.
const (
	maxPending    = 64 << 10                           // bytes of answers that wait to be written
	lingerTime    = time.Second                        // in which a client may take the last frames in
	drainTime     = time.Second                        // in which a client may take GOAWAY in, before it is told which streams were the last
	updateShare   = 8                                  // the part of a window that is given back at once
	requestTokens = 8                                  // control frames that come with a request: RFC 7540 priorities, a window
	dataTokens    = 4                                  // and with DATA, either way: windows of stream and connection, and pings;
	bytesPerToken = 512                                // and one with so many bytes of it: clients give small windows back
	maxSettings   = 64                                 // in a SETTINGS frame: each may change the windows of all streams
	maxParked     = 64                                 // goroutines that wait for a request
	maxData       = maxFrameLength - frameHeaderLength // bytes of DATA that are sent in a frame, which fills a TLS record then
	answerBuffer  = maxData                            // bytes of an answer that are kept until there are more, or it is flushed
	headerTable   = 4 << 10                            // bytes of an HPACK dynamic table (RFC 7541, section 4.2), each way
	tinyRead      = 2 * frameHeaderLength              // bytes that an idle connection reads into
	readBuffer    = 18 << 10                           // bytes: a frame, its header, and some more
	smallChunk    = 2 << 10                            // bytes of a body that begins small
	largeChunk    = 16 << 10                           // and of others
)

func (l Limits) withDefaults() Limits {
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 64<<10)
	l.HeaderFields = cmp.Or(l.HeaderFields, 1024)
	l.Continuations = cmp.Or(l.Continuations, 32)
	l.HeaderTime = cmp.Or(l.HeaderTime, 10*time.Second)
	l.IdleTime = cmp.Or(l.IdleTime, 2*time.Minute)
	l.Streams = cmp.Or(l.Streams, 250)
	l.BodyTimeout = cmp.Or(l.BodyTimeout, 15*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, time.Minute)
	l.Resets = cmp.Or(l.Resets, 500)
	l.ResetRate = cmp.Or(l.ResetRate, 50)
	l.ControlFrames = cmp.Or(l.ControlFrames, 1000)
	l.ControlRate = cmp.Or(l.ControlRate, 10)
	l.PendingControl = cmp.Or(l.PendingControl, 64<<10)
	l.StreamWindow = cmp.Or(l.StreamWindow, 512<<10)
	l.ConnectionWindow = max(cmp.Or(l.ConnectionWindow, 4<<20), initialWindow)
	return l
}

// maxBlock is how long a header block may be on the wire.
func (l *Limits) maxBlock() int { return 2*l.HeaderBytes + maxFrameLength }
