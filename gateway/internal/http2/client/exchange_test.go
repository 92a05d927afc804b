package client

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// TestARequestAndItsAnswer: both whole, with informational answers before, and trailers behind.
func TestARequestAndItsAnswer(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	upload := uploadOf("the body")
	upload.Length = -1
	upload.Trailer = func() field.List { return field.List{{Name: "X-Sum", Value: "1"}} }
	var hints []string
	done := b.get(&Request{
		Method: "POST", Authority: "app.test", Path: "//x%2Fy?q", Fields: field.List{{Name: "te", Value: "trailers"}}, Upload: upload,
		Informational: func(h *http1.Head) { hints = append(hints, h.Fields.Get("link")) },
	})
	c := b.accept()
	r := c.request()
	got := r.PseudoValue("method") + " " + r.PseudoValue("scheme") + " " + r.PseudoValue("authority") + " " + r.PseudoValue("path")
	if got != "POST http app.test //x%2Fy?q" || r.RegularFields()[0].Name != "te" {
		t.Errorf("asked %s %v", got, r.RegularFields())
	}
	id := r.StreamID
	c.answer(id, false, ":status", "100")
	c.answer(id, false, ":status", "103", "link", "</a.css>")
	if d, ok := c.next().(*http2.DataFrame); !ok || string(d.Data()) != "the body" {
		t.Errorf("the body is %v", d)
	}
	if trailer := c.request(); !trailer.StreamEnded() || trailer.RegularFields()[0].Name != "x-sum" {
		t.Errorf("the trailer is %v", trailer)
	}
	c.answer(id, false, ":status", "200", "x-a", " b ")
	s := b.await(done)
	if s.err != nil {
		t.Fatal(s.err)
	}
	c.must(c.WriteDataPadded(id, false, []byte("an "), make([]byte, 100)))
	c.must(c.WriteData(id, false, []byte("answer")))
	c.answer(id, true, "grpc-status", "0")
	body, err := s.rest()
	if s.Head.Status != 200 || s.Head.Fields.Get("x-a") != "b" || body != "an answer" || err != nil || s.Trailer().Get("grpc-status") != "0" {
		t.Errorf("%+v %q %v %v", s.Head, body, err, s.Trailer())
	}
	if len(hints) != 1 || hints[0] != "</a.css>" {
		t.Errorf("told of %q", hints)
	}
}

// TestAPieceThatIsKeptStaysGood, whatever is read behind it.
func TestAPieceThatIsKeptStaysGood(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	done := b.get(&Request{Method: "GET", Authority: "app.test", Path: "/"})
	c := b.accept()
	id := c.request().StreamID
	c.answer(id, false, ":status", "200")
	s := b.await(done)
	if s.err != nil {
		t.Fatal(s.err)
	}
	var kept []byte
	for _, text := range []string{"aaa", "bbb", "ccc", "ddd", "eee"} {
		c.must(c.WriteData(id, false, []byte(text)))
		piece, err := s.Next(nil)
		if string(piece) != text || err != nil {
			t.Fatalf("%q, %v; want %q", piece, err, text)
		}
		if kept == nil {
			kept = piece
			s.Keep()
		}
	}
	c.must(c.WriteData(id, true, nil))
	if rest, err := s.rest(); rest != "" || err != nil || string(kept) != "aaa" {
		t.Errorf("%q behind it, %v; the piece is %q", rest, err, kept)
	}
}

// TestPollWaitsForNothing: it is ready when there is something, or the answer has ended.
func TestPollWaitsForNothing(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	done := b.get(&Request{Method: "GET", Authority: "app.test", Path: "/"})
	c := b.accept()
	id := c.request().StreamID
	c.answer(id, false, ":status", "200")
	s := b.await(done)
	if s.err != nil {
		t.Fatal(s.err)
	}
	for _, text := range []string{"an ", "answer"} {
		if piece, ready, err := s.Poll(); ready || piece != nil || err != nil {
			t.Errorf("before it has come: %q, %v, %v", piece, ready, err)
		}
		c.must(c.WriteData(id, false, []byte(text)))
		if piece, err := s.Next(nil); string(piece) != text || err != nil {
			t.Errorf("%q, %v", piece, err)
		}
	}
	c.must(c.WriteData(id, true, nil))
	if rest, err := s.rest(); rest != "" || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
	if _, ready, err := s.Poll(); !ready || err != io.EOF {
		t.Errorf("at the end: %v, %v", ready, err)
	}
}

// TestMalformedAnswers: what RFC 9113 calls malformed is no answer, and the connection goes on.
func TestMalformedAnswers(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	var c *backendConn
	for _, fields := range [][]string{
		{":status", "abc"},
		{":status", "099"},
		{":status", "600"},
		{":status", "+20"},
		{"x-a", "b"},
		{":status", "200", ":status", "200"},
		{":status", "200", ":path", "/"},
		{":status", "101"},
		{":status", "200", "connection", "close"},
		{":status", "200", "transfer-encoding", "chunked"},
		{":status", "200", "X-Upper", "a"},
		{":status", "200", "content-length", "1", "content-length", "2"},
		{":status", "200", "content-length", "+1"},
		{":status", "200", "a", "b\r\nc"},
	} {
		done := b.get(&Request{})
		if c == nil {
			c = b.accept()
		}
		c.answer(c.request().StreamID, false, fields...)
		if s := b.await(done); s.err == nil {
			t.Errorf("%q: taken for an answer", fields)
		}
		if f, ok := c.next().(*http2.RSTStreamFrame); !ok || f.ErrCode != http2.ErrCodeProtocol {
			t.Errorf("%q: told %v", fields, f)
		}
	}
	for _, body := range []string{"", "ab"} {
		done := b.get(&Request{})
		id := c.request().StreamID
		c.answer(id, false, ":status", "200", "content-length", "1, 1")
		c.must(c.WriteData(id, true, []byte(body)))
		if s := b.await(done); s.err == nil {
			if got, err := s.rest(); err == nil {
				t.Errorf("%q: with a length of 1 is whole", got)
			}
		}
		c.next()
	}
	if len(b.conns) > 0 {
		t.Error("another connection was made")
	}
}

// TestWhatTheUpstreamHasNotProcessed can be told from what it may have, and its body is there to be sent again.
func TestWhatTheUpstreamHasNotProcessed(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("w", maxData)
	for name, c := range map[string]struct {
		do    func(c *backendConn, id uint32)
		body  string
		is    func(error) bool
		again bool
	}{
		"refused": {func(c *backendConn, id uint32) { c.must(c.WriteRSTStream(id, http2.ErrCodeRefusedStream)) }, "body", isUnprocessed, true},
		"refused, with the longest body that is kept": {
			func(c *backendConn, id uint32) { c.must(c.WriteRSTStream(id, http2.ErrCodeRefusedStream)) }, whole[:maxData-1], isUnprocessed, true,
		},
		"refused, with a longer one": {
			func(c *backendConn, id uint32) { c.must(c.WriteRSTStream(id, http2.ErrCodeRefusedStream)) }, whole + "x", isUnprocessed, false,
		},
		"GOAWAY": {func(c *backendConn, _ uint32) { c.must(c.WriteGoAway(0, http2.ErrCodeNo, nil)) }, "body", isUnprocessed, true},
		"GOAWAY, and the end": {func(c *backendConn, id uint32) {
			c.must(c.WriteGoAway(id, http2.ErrCodeNo, nil))
			c.must(c.net.Close())
		}, "body", isClosed, false},
		"the end":              {func(c *backendConn, _ uint32) { c.must(c.net.Close()) }, "body", isClosed, false},
		"reset by the handler": {func(c *backendConn, id uint32) { c.must(c.WriteRSTStream(id, http2.ErrCodeInternal)) }, "body", isReset, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			done := b.get(&Request{Upload: uploadOf(c.body)})
			conn := b.accept()
			id := conn.request().StreamID
			for {
				if d, ok := conn.next().(*http2.DataFrame); ok && d.StreamEnded() {
					break
				}
			}
			c.do(conn, id)
			err := b.await(done).err
			if !c.is(err) {
				t.Fatalf("%T: %v", err, err)
			}
			var unprocessed *UnprocessedError
			if errors.As(err, &unprocessed) && (unprocessed.Whole != c.again || c.again && string(unprocessed.Read) != c.body) {
				t.Errorf("of the body %d bytes are there, whole: %v", len(unprocessed.Read), unprocessed.Whole)
			}
		})
	}
}

func isUnprocessed(err error) bool {
	_, ok := errors.AsType[*UnprocessedError](err)
	return ok
}

func isClosed(err error) bool {
	closed, ok := errors.AsType[*h1.ClosedError](err)
	return ok && closed.First && !closed.Reused
}

func isReset(err error) bool {
	reset, ok := errors.AsType[*ResetError](err)
	return ok && reset.Code == http2.ErrCodeInternal
}

// TestACutOffAnswerIsNoWholeOne: a reset, or the end of the connection, behind the header.
func TestACutOffAnswerIsNoWholeOne(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(c *backendConn, id uint32) error{
		"reset": func(c *backendConn, id uint32) error { return c.WriteRSTStream(id, http2.ErrCodeCancel) },
		"end":   func(c *backendConn, _ uint32) error { return c.net.Close() },
		"GOAWAY": func(c *backendConn, _ uint32) error {
			return c.WriteGoAway(0, http2.ErrCodeInternal, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			done := b.get(&Request{})
			c := b.accept()
			id := c.request().StreamID
			c.answer(id, false, ":status", "200")
			c.must(c.WriteData(id, false, []byte("some")))
			s := b.await(done)
			if piece, err := s.Next(nil); string(piece) != "some" || err != nil {
				t.Errorf("%q %v", piece, err)
			}
			c.must(cut(c, id))
			if _, err := s.Next(nil); err == nil || errors.Is(err, io.EOF) || isUnprocessed(err) {
				t.Errorf("cut off: %v", err)
			}
		})
	}
}

// TestWhoGoesAwayIsTold: the upstream's stream is reset when the context ends, or the exchange is closed or aborted.
func TestWhoGoesAwayIsTold(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	waiting := b.getWith(ctx, &Request{})
	c := b.accept()
	c.request()
	gone := errors.New("gone")
	cancel(gone)
	if err := b.await(waiting).err; !errors.Is(err, gone) {
		t.Errorf("the error is %v", err)
	}
	for _, end := range []func(*Exchange){nil, (*Exchange).Close, (*Exchange).Abort} {
		if end != nil {
			done := b.get(&Request{})
			c.answer(c.request().StreamID, false, ":status", "200")
			end(b.await(done).Exchange)
		}
		if f, ok := c.next().(*http2.RSTStreamFrame); !ok || f.ErrCode != http2.ErrCodeCancel {
			t.Errorf("told %v", f)
		}
	}
}

// TestHeaderTimeout: it runs while the upstream takes nothing of the body, and from when the request was sent.
func TestHeaderTimeout(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	for _, upload := range []*h1.Upload{nil, uploadOf("short"), uploadOf(strings.Repeat("x", 2*firstWindow))} {
		done := b.get(&Request{Upload: upload, HeaderTimeout: 50 * time.Millisecond})
		if err := b.await(done).err; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	}
	reads, writes := io.Pipe()
	t.Cleanup(func() { _ = writes.Close() })
	done := b.get(&Request{HeaderTimeout: 50 * time.Millisecond, Upload: &h1.Upload{Body: reads, Length: -1, Interrupt: func() { _ = reads.Close() }}})
	c := b.accept()
	for range 3 + 1 {
		for {
			if _, ok := c.next().(*http2.MetaHeadersFrame); ok {
				break
			}
		}
	}
	// Twice the time passes, and a client that sends nothing is to blame.
	for range 2 {
		b.await(b.get(&Request{HeaderTimeout: 50 * time.Millisecond}))
	}
	select {
	case s := <-done:
		t.Errorf("who waits for its client's body has ended: %v", s.err)
	default:
	}
	c.must(writes.Close())
	if err := b.await(done).err; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
}
