package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	h1 "github.com/viloforge/vilogate/gateway/internal/http1/client"
)

// TestConnectionsHaveRoomForAsManyAsTheUpstreamLets: requests share a connection up to its limit, and there is another one beyond.
func TestConnectionsHaveRoomForAsManyAsTheUpstreamLets(t *testing.T) {
	t.Parallel()
	b := newBackend(t, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 2})
	var dones []chan sent
	for range 2 {
		dones = append(dones, b.get(&Request{}))
	}
	one := b.accept()
	first, second := one.request().StreamID, one.request().StreamID
	dones = append(dones, b.get(&Request{}))
	two := b.accept()
	two.answer(two.request().StreamID, true, ":status", "204")
	one.answer(first, true, ":status", "204")
	one.answer(second, true, ":status", "204")
	for _, done := range dones {
		if s := b.await(done); s.err != nil {
			t.Error(s.err)
		}
	}
	if n := b.pool.Kept(); n != 2 {
		t.Errorf("%d connections are kept", n)
	}
	// What has ended makes room.
	done := b.get(&Request{})
	one.answer(one.request().StreamID, true, ":status", "204")
	if s := b.await(done); s.err != nil {
		t.Error(s.err)
	}
}

// TestConnectionsThatEnd: idle ones in time, those that are not needed and those that the upstream gives up with their last request; what is
// under way goes on.
func TestConnectionsThatEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(b *backend, c *backendConn){
		"idle":    nil,
		"retired": func(b *backend, _ *backendConn) { b.pool.Retire(func(h1.Key) bool { return false }) },
		"GOAWAY":  func(_ *backend, c *backendConn) { c.must(c.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)) },
		"closed":  func(b *backend, _ *backendConn) { b.pool.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			if end == nil {
				b.key.IdleTimeout = 20 * time.Millisecond
				b.pool.Add(b.key)
			}
			done := b.get(&Request{})
			c := b.accept()
			id := c.request().StreamID
			if end != nil {
				end(b, c)
			}
			c.answer(id, false, ":status", "200")
			c.must(c.WriteData(id, true, []byte("whole")))
			s := b.await(done)
			if s.err != nil {
				t.Fatal(s.err)
			}
			if body, err := s.rest(); body != "whole" || err != nil {
				t.Errorf("%q %v", body, err)
			}
			for {
				_, err := c.read()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("the connection does not end: %v", err)
				}
			}
			if n := b.pool.Kept(); n != 0 {
				t.Errorf("%d connections are kept", n)
			}
		})
	}
}

// TestNobodyWhoSpeaksHTTP2IsADialThatFails, before anything of a request has left.
func TestNobodyWhoSpeaksHTTP2IsADialThatFails(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != "PRI" { // which the preface looks like
			t.Errorf("%s has arrived", r.URL)
		}
	}))
	t.Cleanup(plain.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	for _, address := range []string{plain.Listener.Addr().String(), silent.Addr().String()} {
		_, err := NewPool().Send(t.Context(), h1.Key{Address: address}, 100*time.Millisecond, &Request{Method: "POST", Authority: "a", Path: "/secret"})
		var op *net.OpError
		if !errors.As(err, &op) || op.Op != "dial" {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestASlowReaderHoldsItsWindowAlone: what nobody takes of one answer is bounded, and the other answers of the connection go on.
func TestASlowReaderHoldsItsWindowAlone(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	slow := b.get(&Request{})
	c := b.accept()
	slowID := c.request().StreamID
	c.answer(slowID, false, ":status", "200")
	held := b.await(slow)
	sent, window := 0, map[uint32]int{0: connWindow, slowID: streamWindow}
	frames := make(chan http2.Frame, 1000)
	go func() {
		defer close(frames)
		for {
			f, err := c.ReadFrame()
			if err != nil {
				return
			}
			switch f := f.(type) {
			case *http2.WindowUpdateFrame, *http2.MetaHeadersFrame:
				frames <- f
			}
		}
	}()
	// send sends as much as the windows let it, up to n bytes, and waits for more of the connection's.
	send := func(id uint32, n int) {
		for n > 0 && window[id] > 0 {
			if window[0] == 0 {
				if f, ok := (<-frames).(*http2.WindowUpdateFrame); ok {
					window[f.StreamID] += int(f.Increment)
				}
				continue
			}
			piece := min(n, maxData, window[0], window[id])
			c.must(c.WriteData(id, false, make([]byte, piece)))
			n, sent = n-piece, sent+piece
			window[0] -= piece
			window[id] -= piece
		}
	}
	send(slowID, 1<<30)
	if sent != streamWindow {
		t.Errorf("%d bytes were taken of an answer that nobody reads", sent)
	}
	quick := b.get(&Request{})
	var quickID uint32
	for quickID == 0 {
		switch f := (<-frames).(type) {
		case *http2.MetaHeadersFrame:
			quickID = f.StreamID
		case *http2.WindowUpdateFrame:
			window[f.StreamID] += int(f.Increment)
		}
	}
	window[quickID] = streamWindow
	c.answer(quickID, false, ":status", "200")
	s := b.await(quick)
	sent = 0
	const large = 8 << 20 // twice what may be on its way
	done := make(chan int)
	go func() {
		n := 0
		for n < large {
			piece, err := s.Next(nil)
			if err != nil {
				break
			}
			n += len(piece)
		}
		done <- n
	}()
	for sent < large {
		send(quickID, large-sent)
		if sent < large {
			if f, ok := (<-frames).(*http2.WindowUpdateFrame); ok {
				window[f.StreamID] += int(f.Increment)
			}
		}
	}
	if n := <-done; n != large {
		t.Errorf("%d bytes came", n)
	}
	// And what was held is there, once it is read.
	n := 0
	for n < streamWindow {
		piece, err := held.Next(nil)
		if err != nil {
			t.Fatal(err)
		}
		n += len(piece)
	}
}

// TestMoreThanTheWindowResetsTheStream, so that no upstream fills the memory.
func TestMoreThanTheWindowResetsTheStream(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	done := b.get(&Request{})
	c := b.accept()
	id := c.request().StreamID
	c.answer(id, false, ":status", "200")
	s := b.await(done)
	for range streamWindow/maxData + 1 {
		c.must(c.WriteData(id, false, make([]byte, maxData)))
	}
	if f, ok := c.next().(*http2.RSTStreamFrame); !ok || f.ErrCode != http2.ErrCodeFlowControl {
		t.Errorf("told %v", f)
	}
	if _, err := s.rest(); err == nil {
		t.Error("the answer is whole")
	}
}

// TestBesideEachOther: a server of net/http echoes many bodies at once, as they come.
func TestBesideEachOther(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-End")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-End", r.URL.Path)
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 3}
	server.Start()
	t.Cleanup(server.Close)
	pool, key := NewPool(), h1.Key{Address: server.Listener.Addr().String()}
	pool.Add(key)
	t.Cleanup(pool.Close)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			body := strings.Repeat(fmt.Sprint(i, " "), 100<<10)
			path := fmt.Sprintf("/%d", i)
			x, err := pool.Send(t.Context(), key, hangTimeout, &Request{Method: "POST", Authority: "a", Path: path, Upload: &h1.Upload{
				Body: strings.NewReader(body), Length: -1, Interrupt: func() { t.Errorf("%s: interrupted", path) },
			}})
			if err != nil {
				t.Error(err)
				return
			}
			defer x.Close()
			var got bytes.Buffer
			for err == nil {
				var piece []byte
				piece, err = x.Next(func() {})
				got.Write(piece)
			}
			if err != io.EOF || got.String() != body || x.Trailer().Get("x-end") != path {
				t.Errorf("%s: %d bytes of %d: %v, trailer %v", path, got.Len(), len(body), err, x.Trailer())
			}
		})
	}
	all.Wait()
}
