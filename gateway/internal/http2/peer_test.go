package http2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// bubble runs a test on a clock of its own, and fails it where a goroutine is left behind.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// peer is a client that says frames, by the standard library's framer.
type peer struct {
	t      *testing.T
	server *Server
	conn   net.Conn
	*http2.Framer
	encoder *hpack.Encoder
	encoded bytes.Buffer
	frames  chan event // what the server says; closed at its end
	served  chan struct{}
	last    uint32 // stream
	quiet   bool   // the server may close while something is written
}

// id is that of a new stream.
func (p *peer) id() uint32 {
	if p.last == 0 {
		p.last = 1
	} else {
		p.last += 2
	}
	return p.last
}

// event is a frame of the server's.
type event struct {
	kind   http2.FrameType
	stream uint32
	ends   bool // END_STREAM, or an acknowledgement
	data   string
	fields []hpack.HeaderField
	code   http2.ErrCode
	last   uint32 // of GOAWAY
	n      uint32 // of WINDOW_UPDATE
}

func (e event) String() string {
	return fmt.Sprintf("%v stream=%d ends=%t data=%.80q fields=%v code=%v n=%d", e.kind, e.stream, e.ends, e.data, e.fields, e.code, e.n)
}

// field is the value of a field.
func (e event) field(name string) string {
	var all []string
	for _, f := range e.fields {
		if f.Name == name {
			all = append(all, f.Value)
		}
	}
	return strings.Join(all, "|")
}

// connect connects to the server in memory, and says nothing.
func connect(t *testing.T, s *Server) *peer {
	t.Helper()
	return connectWith(t, context.Background(), s)
}

func connectWith(t *testing.T, ctx context.Context, s *Server) *peer {
	t.Helper()
	here, there := net.Pipe()
	p := &peer{t: t, server: s, conn: here, frames: make(chan event, 1<<16), served: make(chan struct{})}
	p.Framer = http2.NewFramer(here, here)
	p.AllowIllegalWrites = true
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	p.encoder = hpack.NewEncoder(&p.encoded)
	go func() {
		defer close(p.served)
		s.ServeConn(ctx, there, nil)
	}()
	t.Cleanup(func() {
		_ = here.Close() // the server may have been first
		<-p.served
	})
	return p
}

// dial connects, and says what a client begins with.
func dial(t *testing.T, s *Server, settings ...http2.Setting) *peer {
	t.Helper()
	p := connect(t, s)
	p.begin(settings...)
	return p
}

// begin says what a client begins with.
func (p *peer) begin(settings ...http2.Setting) {
	p.t.Helper()
	go p.listen()
	_, err := io.WriteString(p.conn, preface)
	p.write(err)
	p.write(p.WriteSettings(settings...))
	p.write(p.WriteSettingsAck())
	if e := p.read(); e.kind != http2.FrameSettings {
		p.t.Fatalf("the server begins with %v", e)
	}
}

func (p *peer) write(err error) {
	p.t.Helper()
	if err != nil && !p.quiet {
		p.t.Fatal(err)
	}
}

// listen hands on what the server says.
func (p *peer) listen() {
	defer close(p.frames)
	for {
		f, err := p.ReadFrame()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
				p.t.Errorf("the server says nonsense: %v", err)
			}
			return
		}
		p.frames <- eventOf(f)
	}
}

func eventOf(f http2.Frame) event {
	e := event{kind: f.Header().Type, stream: f.Header().StreamID}
	switch f := f.(type) {
	case *http2.MetaHeadersFrame:
		e.ends, e.fields = f.StreamEnded(), f.Fields
	case *http2.DataFrame:
		e.ends, e.data = f.StreamEnded(), string(f.Data())
	case *http2.RSTStreamFrame:
		e.code = f.ErrCode
	case *http2.GoAwayFrame:
		e.code, e.last, e.data = f.ErrCode, f.LastStreamID, string(f.DebugData())
	case *http2.WindowUpdateFrame:
		e.n = f.Increment
	case *http2.SettingsFrame:
		e.ends = f.IsAck()
	case *http2.PingFrame:
		e.ends, e.data = f.IsAck(), string(f.Data[:])
	}
	return e
}

// read is the next frame.
func (p *peer) read() event {
	p.t.Helper()
	select {
	case e, ok := <-p.frames:
		if !ok {
			p.t.Fatal("the connection is closed")
		}
		return e
	case <-time.After(time.Hour):
		p.t.Fatal("the server says nothing")
	}
	panic("not reached")
}

// of is the next frame of a kind.
func (p *peer) of(kind http2.FrameType) event {
	p.t.Helper()
	for {
		if e := p.read(); e.kind == kind && (kind != http2.FrameSettings || !e.ends) {
			return e
		}
	}
}

// block encodes a request's header, whose pseudo-header fields may be replaced, or left out where they are "-".
func (p *peer) block(method string, fields ...string) []byte {
	all := [][2]string{{":method", method}, {":scheme", "https"}, {":authority", "www.example.com"}, {":path", "/"}}
	for i := 0; i < len(fields); i += 2 {
		name, value := fields[i], fields[i+1]
		replaced := false
		for k := range 4 {
			if all[k][0] == name {
				all[k][1], replaced = value, true
			}
		}
		if !replaced {
			all = append(all, [2]string{name, value})
		}
	}
	p.encoded.Reset()
	for _, f := range all {
		if f[1] != "-" {
			p.write(p.encoder.WriteField(hpack.HeaderField{Name: strings.TrimPrefix(f[0], "again "), Value: f[1]}))
		}
	}
	return p.encoded.Bytes()
}

// request begins a stream.
func (p *peer) request(id uint32, method string, end bool, fields ...string) {
	p.t.Helper()
	block := bytes.Clone(p.block(method, fields...))
	p.write(p.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: block[:min(len(block), maxFrameLength)], EndStream: end, EndHeaders: len(block) <= maxFrameLength,
	}))
	for len(block) > maxFrameLength {
		block = block[maxFrameLength:]
		p.write(p.WriteContinuation(id, len(block) <= maxFrameLength, block[:min(len(block), maxFrameLength)]))
	}
}

// reply is a whole answer.
type reply struct {
	head, trailers event
	informational  []event
	body           string
	reset          *http2.ErrCode // what came in place of its end, or behind it
}

// answer reads until a stream has ended.
func (p *peer) answer(id uint32) reply {
	p.t.Helper()
	var r reply
	for {
		e := p.read()
		if e.stream != id {
			continue
		}
		switch e.kind {
		case http2.FrameHeaders:
			switch {
			case r.head.fields != nil:
				r.trailers = e
			case strings.HasPrefix(e.field(":status"), "1"):
				r.informational = append(r.informational, e)
				continue
			default:
				r.head = e
			}
		case http2.FrameData:
			r.body += e.data
		case http2.FrameRSTStream:
			r.reset = &e.code
			return r
		default:
			continue
		}
		if e.ends {
			return r
		}
	}
}

func (r reply) status() string { return r.head.field(":status") }

// goAway reads until the server says that the connection ends, and closes it.
func (p *peer) goAway() event {
	p.t.Helper()
	e := p.of(http2.FrameGoAway)
	p.rest()
	return e
}

// rest reads what there is until the server closes.
func (p *peer) rest() (all []event) {
	p.t.Helper()
	for {
		select {
		case e, ok := <-p.frames:
			if !ok {
				return all
			}
			all = append(all, e)
		case <-time.After(time.Hour):
			p.t.Fatal("the connection stays open")
		}
	}
}

// stays pings the server: the connection is in order.
func (p *peer) stays() {
	p.t.Helper()
	p.write(p.WritePing(false, [8]byte{1}))
	for {
		if e := p.of(http2.FramePing); e.ends {
			return
		}
	}
}

// says answers with a text.
func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, text); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
