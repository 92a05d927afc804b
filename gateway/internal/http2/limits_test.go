package http2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// What takes too long ends: each by its own limit.
func TestTimeouts(t *testing.T) {
	wait := func(p *peer) {}
	for name, test := range map[string]struct {
		do    func(p *peer)
		after time.Duration
		code  http2.ErrCode
	}{
		"no SETTINGS": {func(p *peer) {
			_, err := io.WriteString(p.conn, preface)
			p.write(err)
		}, 10 * time.Second, http2.ErrCodeEnhanceYourCalm},
		"half a preface": {func(p *peer) {
			_, err := io.WriteString(p.conn, preface[:10])
			p.write(err)
		}, 10 * time.Second, http2.ErrCodeEnhanceYourCalm},
		"nothing": {wait, 10 * time.Second, http2.ErrCodeEnhanceYourCalm},
		"no request": {func(p *peer) {
			begin(p)
		}, 2 * time.Minute, http2.ErrCodeNo},
		"half a header block": {func(p *peer) {
			begin(p)
			p.write(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET")}))
		}, 10 * time.Second, http2.ErrCodeEnhanceYourCalm},
		"half a HEADERS frame": {func(p *peer) {
			begin(p)
			_, err := p.conn.Write(appendFrameHeader(nil, headersFrame, flagEndHeaders, 1, 100))
			p.write(err)
		}, 10 * time.Second, http2.ErrCodeEnhanceYourCalm},
		"no second request": {func(p *peer) {
			begin(p)
			time.Sleep(time.Minute)
			p.request(1, "GET", true)
		}, 3 * time.Minute, http2.ErrCodeNo},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := connect(t, newServer(t, says("hello"), nil))
				began := time.Now()
				go p.listen()
				test.do(p)
				if e := p.goAway(); e.code != test.code {
					t.Error(e)
				}
				if took := time.Since(began); took < test.after || took > test.after+2*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func begin(p *peer) {
	_, err := io.WriteString(p.conn, preface)
	p.write(err)
	p.write(p.WriteSettings())
}

// A client that opens no window holds a stream for a minute, and one that does, a piece a minute, as long as it likes.
func TestDownloadsThatNobodyTakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		result := make(chan error, 1)
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			_, err := w.Write(make([]byte, 128<<10))
			result <- errors.Join(err, r.Context().Err())
		}, nil), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		began := time.Now()
		p.request(1, "GET", true)
		if got := p.answer(1); got.reset == nil || *got.reset != http2.ErrCodeInternal || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", got.reset, time.Since(began))
		}
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		p.request(3, "GET", true)
		for range 8 {
			time.Sleep(50 * time.Second)
			p.write(p.WriteWindowUpdate(3, maxFrameLength))
			p.write(p.WriteWindowUpdate(0, maxFrameLength))
		}
		if got := p.answer(3); len(got.body) != 128<<10 || got.reset != nil {
			t.Errorf("%d bytes, %v", len(got.body), got.reset)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
		p.request(5, "GET", true) // a byte now and then is not enough
		go func() {
			for range 120 {
				time.Sleep(time.Second)
				if p.WriteWindowUpdate(5, 1) != nil {
					return
				}
			}
		}()
		if got := p.answer(5); got.reset == nil {
			t.Error("it goes on for ever")
		}
		<-result
		time.Sleep(time.Hour)
	})
}

// A client that reads nothing has a minute.
func TestAConnectionThatNobodyReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, newServer(t, says("hello"), nil))
		began := time.Now()
		begin(p)
		p.request(1, "GET", true)
		<-p.served
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// More frames that ask for nothing, or for an answer that is not read, than the limits let pass end the connection, and those
// that come with work do not.
func TestFloods(t *testing.T) {
	for name, test := range map[string]struct {
		send func(p *peer, i uint32) error
		few  int // pass
	}{
		"SETTINGS":      {func(p *peer, _ uint32) error { return p.WriteSettings() }, 900},
		"PING":          {func(p *peer, _ uint32) error { return p.WritePing(false, [8]byte{}) }, 900},
		"PRIORITY":      {func(p *peer, i uint32) error { return p.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 2*i + 3}) }, 900},
		"WINDOW_UPDATE": {func(p *peer, _ uint32) error { return p.WriteWindowUpdate(0, 1) }, 900},
		"unknown":       {func(p *peer, _ uint32) error { return p.WriteRawFrame(0x42, 0, 0, nil) }, 900},
		"empty DATA": {func(p *peer, i uint32) error {
			if i == 0 {
				p.request(1, "POST", false)
			}
			return p.WriteData(1, false, nil)
		}, 900},
		"rapid reset": {func(p *peer, i uint32) error {
			p.request(2*i+1, "POST", false)
			return p.WriteRSTStream(2*i+1, http2.ErrCodeCancel)
		}, 450},
		"rapid errors": {func(p *peer, i uint32) error {
			p.request(2*i+1, "POST", false)
			return p.WriteWindowUpdate(2*i+1, 0)
		}, 450},
		"malformed requests": {func(p *peer, i uint32) error {
			p.request(2*i+1, "GET", true, "X-Upper", "1")
			return nil
		}, 450},
		"resets of nothing": {func(p *peer, i uint32) error {
			if i == 0 {
				p.request(1, "GET", true)
			}
			return p.WriteRSTStream(1, http2.ErrCodeCancel)
		}, 900},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := dial(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // it is reset
				}, nil))
				for i := range test.few {
					p.write(test.send(p, uint32(i)))
					synctest.Wait()
				}
				for range len(p.frames) {
					if e := p.read(); e.kind == http2.FrameGoAway {
						t.Fatal(e)
					}
				}
				p.flood(2000, func(i int) error { return test.send(p, uint32(test.few+i)) })
				if e := p.goAway(); e.code != http2.ErrCodeEnhanceYourCalm {
					t.Error(e)
				}
			})
		})
	}
}

// flood sends until the server has had enough, or so often.
func (p *peer) flood(most int, send func(i int) error) {
	p.t.Helper()
	p.quiet = true
	for i := range most {
		if send(i) != nil {
			return
		}
	}
}

// Control frames in time, and with work, are not too many.
func TestFramesThatAreNoFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, says("hello"), nil))
		for range 3000 {
			time.Sleep(time.Second)
			p.stays()
			if len(p.frames) > 0 {
				t.Fatal(p.read())
			}
			p.request(p.id(), "GET", true)
			p.answer(p.last)
		}
		for range 3000 {
			p.request(p.id(), "GET", true)
			p.answer(p.last)
			p.write(p.WriteWindowUpdate(0, 5))
			p.write(p.WriteSettings())
		}
	})
}

// A header block of too many frames, or too long, ends the connection.
func TestHeaderBlocksWithoutEnd(t *testing.T) {
	for name, fragment := range map[string][]byte{"empty": nil, "small": make([]byte, 1), "long": make([]byte, maxFrameLength)} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := dial(t, newServer(t, says("hello"), nil))
				p.write(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("GET")}))
				p.flood(100, func(int) error { return p.WriteContinuation(1, false, fragment) })
				if e := p.goAway(); e.code != http2.ErrCodeEnhanceYourCalm {
					t.Error(e)
				}
			})
		})
	}
}

// Streams beyond the limit are refused, and so are those beyond twice as many handlers, while resets have not yet ended them.
func TestStreamsBeyondTheLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		finish := make(chan struct{})
		p := dial(t, newServer(t, func(http.ResponseWriter, *http.Request) { <-finish }, func(o *Options) { o.Limits.Streams = 3 }))
		begin := func() bool {
			p.request(p.id(), "GET", true)
			p.write(p.WritePing(false, [8]byte{9}))
			for good := true; ; {
				switch e := p.read(); {
				case e.kind == http2.FrameRSTStream:
					good = e.stream != p.last || e.code != http2.ErrCodeRefusedStream
				case e.kind == http2.FramePing:
					return good
				}
			}
		}
		for i := range 4 {
			if begin() != (i < 3) {
				t.Errorf("stream %d", i)
			}
		}
		for id := uint32(1); id <= 5; id += 2 {
			p.write(p.WriteRSTStream(id, http2.ErrCodeCancel))
		}
		for i := range 4 {
			if begin() != (i < 3) {
				t.Errorf("stream %d beside handlers that still run", i)
			}
		}
		p.write(p.WriteRSTStream(9, http2.ErrCodeCancel))
		if begin() {
			t.Error("a seventh handler runs")
		}
		close(finish)
		synctest.Wait()
		if !begin() {
			t.Error("a stream is refused")
		}
	})
}

// Frames that wait for a client that asks, and does not read, are bounded.
func TestPendingControlFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := connect(t, newServer(t, says("hello"), func(o *Options) { o.Limits.ControlFrames = 1 << 20 }))
		begin(p)
		began, sent := time.Now(), 0
		for p.WritePing(false, [8]byte{}) == nil && !p.server.ending() {
			sent += 17
		}
		// What is being written, and what waits behind it.
		if most := 2 * (maxPending + 64<<10 + 2*maxFrameLength); sent > most || time.Since(began) > 0 {
			t.Errorf("%d bytes wait, after %v", sent, time.Since(began))
		}
		p.write(p.conn.Close())
	})
}

// DATA beyond the connection's window ends the connection.
func TestTheConnectionsWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(o *Options) {
			o.Limits.ConnectionWindow = initialWindow
		}))
		p.quiet = true
		p.request(1, "POST", false)
		for range 5 {
			p.write(p.WriteData(1, false, make([]byte, maxFrameLength)))
		}
		if e := p.goAway(); e.code != http2.ErrCodeFlowControl {
			t.Error(e)
		}
	})
}

// A token bucket lets so many pass at once, and then so many a second.
func TestAllowance(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newTokenBucket(10, 2)
		pass := func(want int) {
			t.Helper()
			passed := 0
			for a.take() {
				passed++
			}
			if passed != want {
				t.Errorf("%d pass, want %d", passed, want)
			}
		}
		pass(10)
		time.Sleep(3 * time.Second)
		pass(6)
		a.refill(4)
		pass(4)
		time.Sleep(time.Hour)
		pass(10)
	})
}

// ending reports whether no connection is served any more.
func (s *Server) ending() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if !c.ending.Load() {
			return false
		}
	}
	return true
}
