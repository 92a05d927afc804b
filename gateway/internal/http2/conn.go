package http2

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/requestcontext"
)

// The errors of streams that end before their time.
var (
	errReset      = errors.New("http2: the stream was reset")
	errConnection = errors.New("http2: the connection has ended")
	errMalformed  = errors.New("http2: the request is malformed")
	errAnswered   = errors.New("http2: the answer has ended")
)

// conn is a connection. Its reader, which is the goroutine that serves it, owns what stands first; everything else is guarded by
// mu, but what never changes.
type conn struct {
	// Never changed.
	net       net.Conn
	limits    *Limits
	log       *slog.Logger
	workers   *pool
	template  *http.Request // of all requests: with what they have in common
	base      context.Context
	handler   http.Handler
	malformed func(http.ResponseWriter, *http.Request, int, string) // or nil
	timer     *time.Timer                                           // of all the timeouts: see arm

	// Owned by the reader.
	input          input
	list           *headerList
	resets         tokenBucket
	pendingID      uint32 // of a header block whose CONTINUATION is awaited; 0 for none
	pending        headerBlock
	awaitsSettings bool // with which the client begins

	ending     atomic.Bool  // what is read is passed over: the last frame has been sent, or will be
	writeBegan atomic.Int64 // Unix time in nanoseconds, of the record that is written; 0 while none is

	mu       sync.Mutex
	idle     sync.Cond // no handler is running, or nobody writes
	streams  map[uint32]*stream
	last     uint32 // the highest stream that the client has begun
	handlers int    // running
	control  tokenBucket
	closed   closedStreams
	err      error // of the connection, which has ended with it

	// Sending.
	out           *outBuffer // frames that wait; nil for none
	writing       bool       // somebody writes, and will write what is added to out
	queue         []*stream  // that wait for their turn to send
	sendWindow    int64
	initialWindow int64 // of the client's streams
	quantum       int   // bytes sent of the piece under way
	quantumAt     time.Time
	encoder       *hpack.Encoder
	block         bytes.Buffer // what encoder writes

	// Receiving.
	receiveWindow int64 // bytes that the client may send
	consumed      int64 // and those that it will be told of

	// Timeouts; the zero time is none.
	timerAt   time.Time // when timer runs
	headerBy  time.Time
	idleSince time.Time
	draining  drainState
	drainBy   time.Time
	endBy     time.Time // when a client that is at fault has taken in what it is told; zero for no such
}

// headerBlock is a header block under way.
type headerBlock struct {
	block           []byte
	continuations   int
	endStream       bool
	dependsOnItself bool
}

// drainState is how far the connection is on its way down (RFC 9113, section 6.8).
type drainState uint8

const (
	serving    drainState = iota
	announced             // GOAWAY without a last stream: what the client sent before it saw that is served
	lastStream            // GOAWAY with the last stream: what it begins is passed over
)

// stream is a request, its answer, and what connects them. What its handler owns stands last; everything else is guarded by the
// connection's mu.
type stream struct {
	requestcontext.Context
	conn *conn
	id   uint32

	remoteEnded bool
	closed      bool
	err         error // of every further write; set when it is closed
	malformed   bool  // it is reset when it has been answered
	opens       bool  // it is the handshake of a WebSocket; never changed
	tunnel      bool  // the WebSocket is open
	localEnded  bool  // nothing more is sent through the tunnel

	// Receiving.
	readable      sync.Cond
	inbox         inbox
	bodyErr       error // of reads, when inbox is empty; io.EOF at the end
	discarding    bool  // nobody reads
	expects       bool  // 100 (Continue), when the body is read
	declared      int64 // Content-Length, or -1
	received      int64
	receiveWindow int64
	consumed      int64
	trailer       http.Header
	waitSince     time.Time     // a read waits
	credit        time.Duration // how long the next read may take; see Limits.BodyMinRate
	readBy        time.Time     // SetReadDeadline

	// Sending.
	sendable   sync.Cond
	sendWindow int64
	queued     bool
	wantsData  bool
	progress   int       // bytes sent since stallSince was set
	stallSince time.Time // a write waits for the windows
	writeBy    time.Time // SetWriteDeadline
	headSent   bool

	serve   http.Handler
	request *http.Request
	fields  field.List // of the request
	answer  answer
}

// closedStreams remembers the last streams that were closed, as many as may be under way: frames for them may be on their way.
type closedStreams struct {
	ids  []uint32
	ours []bool // we have reset it
	next int
	most int
}

func (c *closedStreams) add(id uint32, ours bool) {
	if len(c.ids) < c.most {
		c.ids, c.ours = append(c.ids, id), append(c.ours, ours)
		return
	}
	c.ids[c.next], c.ours[c.next] = id, ours
	c.next = (c.next + 1) % c.most
}

func (c *closedStreams) find(id uint32) (known, ours bool) {
	for i := range c.ids {
		if c.ids[i] == id {
			return true, c.ours[i]
		}
	}
	return false, false
}

func newConn(ctx context.Context, netConn net.Conn, state *tls.ConnectionState, o *Options, workers *pool) *conn {
	l := &o.Limits
	c := &conn{
		net: netConn, limits: l, log: o.Log, workers: workers, base: ctx, handler: o.Handler, malformed: o.Malformed,
		input:  input{conn: netConn},
		list:   newHeaderList(l),
		resets: newTokenBucket(l.Resets, l.ResetRate), control: newTokenBucket(l.ControlFrames, l.ControlRate),
		streams: map[uint32]*stream{}, closed: closedStreams{most: l.Streams},
		sendWindow: initialWindow, initialWindow: initialWindow, receiveWindow: l.ConnectionWindow,
	}
	c.template = &http.Request{Proto: "HTTP/2.0", ProtoMajor: 2, RemoteAddr: netConn.RemoteAddr().String(), TLS: state}
	c.idle.L = &c.mu
	c.encoder = hpack.NewEncoder(&c.block)
	return c
}

// arm has the timer run at a time, or before.
func (c *conn) arm(at time.Time) {
	if c.err == nil && (c.timerAt.IsZero() || at.Before(c.timerAt)) {
		c.timerAt = at
		c.timer.Reset(time.Until(at))
	}
}
