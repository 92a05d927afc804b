package client

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

const (
	// maxData is how long the payload of a frame is: the most that everybody takes (RFC 9113, section 6.5.2).
	maxData = 16 << 10
	// firstWindow is each window before anybody says otherwise (RFC 9113, section 6.9.2).
	firstWindow = 65535
	// streamWindow is how many bytes of an answer are held for who reads it slowly.
	streamWindow = 256 << 10
	// connWindow is how many bytes of all answers may be on their way. They are given back when they come: a slow reader of one
	// answer is no business of the others on its connection.
	connWindow = 4 << 20
	// maxWaiting is how many bytes wait to be written before the bodies of requests do.
	maxWaiting = 64 << 10
	// maxControl is how many bytes wait to be written at most, of an upstream that asks for answers and takes none.
	maxControl = 1 << 20
	// initialMaxStreams is how many streams a connection is taken to have room for before the upstream says (RFC 9113, section 6.5.2).
	initialMaxStreams = 100
	// maxStreamID is the highest of all.
	maxStreamID = 1<<31 - 1
	// writeTimeout is how long an upstream may take nothing of what is written, at the least.
	writeTimeout = 30 * time.Second
)

// Why an exchange ended before its time.
var (
	errAborted  = errors.New("client: aborted")
	errClosed   = errors.New("client: closed")
	errAnswered = errors.New("client: answered before the request was sent")
	errGoAway   = errors.New("client: the upstream takes no more requests on the connection")
	errRefused  = errors.New("client: the upstream has refused the stream")
	errSilent   = errors.New("client: the upstream has closed the connection")
)

// conn is a connection to an upstream. What stands first never changes, but that the framer's reading is the reader's; everything else
// is guarded by mu.
type conn struct {
	net    net.Conn
	scheme string
	idle   time.Duration // as Key.Idle
	shared bool          // it serves other requests, too
	framer *http2.Framer // it writes into out, under mu
	ready  chan struct{} // closed when the upstream has begun to speak HTTP/2, or err is set

	mu         sync.Mutex
	exchanges  map[uint32]*Exchange
	reserved   int    // places for requests that are about to be sent
	maxStreams uint32 // requests at once
	nextID     uint32
	begun      bool  // the upstream has sent its settings
	answered   bool  // something of an answer has ever come
	draining   bool  // there are no more requests
	err        error // why it has ended
	idleTimer  *time.Timer
	idleSince  time.Time

	// Sending.
	out           []byte // what waits to be written
	spare         []byte // to be out, while the other one is written
	writing       bool   // a goroutine does
	appended      int64  // bytes ever added to out
	handed        int64  // and of them, those that may have left
	sendWindow    int64
	initialWindow int64 // of streams
	encoder       *hpack.Encoder
	block         bytes.Buffer // what encoder writes

	// Receiving.
	consumed int64 // bytes that the upstream will be told of
}

// Exchange is one request and its answer. It is owned by the goroutine that asks, which calls Close; Abort is for others. What stands
// first is that goroutine's, and the rest guarded by the connection's mu.
type Exchange struct {
	Head http1.Head // written before headRead is set

	conn    *conn
	id      uint32
	request *Request
	upload  *upload // nil: none
	stop    func() bool
	at      int64 // bytes appended before its header
	reused  bool  // its connection has had another request before
	closed  bool  // Close was called
	taken   []byte
	rest    []byte // of taken

	err      error // why it ended before its time
	readable sync.Cond
	headRead bool
	answers  []*http1.Head // informational ones that were not told yet
	informed int           // how many there were
	inbox    []byte        // of the body
	declared int64         // bytes of the body that are to come; negative where that is not known
	trailer  field.List
	received bool // the answer has come to its end
	window   int64
	consumed int64 // bytes that the upstream will be told of

	sendable   sync.Cond
	waits      bool // the sending of the body
	sent       bool // the request, to its end
	sendWindow int64
	timer      *time.Timer // of HeaderTimeout
	expires    time.Time   // zero: it does not run
}

// upload is a request's body on its way.
type upload struct {
	*h1.Upload
	x       *Exchange
	proceed chan struct{} // closed when the upstream asks for the body, or there is nothing to send any more; nil where it does not have to
	once    sync.Once     // of closing it
	done    chan struct{} // closed at the end

	piece *[maxData]byte // that the body is read into
	begun []byte         // the beginning of the body, which is all that was read where whole; read after done
	whole bool
}

func newConn(netConn net.Conn, scheme string, idle time.Duration, shared bool) *conn {
	c := &conn{
		net: netConn, scheme: scheme, idle: idle, shared: shared, ready: make(chan struct{}), exchanges: map[uint32]*Exchange{},
		maxStreams: initialMaxStreams, nextID: 1, sendWindow: firstWindow, initialWindow: firstWindow,
	}
	c.encoder = hpack.NewEncoder(&c.block)
	return c
}

func newExchange(c *conn, r *Request) *Exchange {
	x := &Exchange{conn: c, request: r, window: streamWindow, declared: -1}
	x.readable.L, x.sendable.L = &c.mu, &c.mu
	return x
}

// buffers are for bodies of answers.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxBuffer is the largest buffer that is used again.
const maxBuffer = 64 << 10

// watch has the exchange end with the context.
func (x *Exchange) watch(ctx context.Context, abort func(error)) {
	x.stop = context.AfterFunc(ctx, func() { abort(context.Cause(ctx)) })
}
