package http2

import (
	"errors"
	"io"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// Another goroutine ends the reading of a body: the read that waits, and all later ones.
func TestInterruptAndAbort(t *testing.T) {
	for name, end := range map[string]func(body io.ReadCloser) error{
		"Interrupt": func(b io.ReadCloser) error { return b.(interface{ Interrupt() error }).Interrupt() },
		"Abort":     func(b io.ReadCloser) error { return b.(interface{ Abort() error }).Abort() },
		"Close":     io.ReadCloser.Close,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				read := make(chan error, 2)
				p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
					go func() {
						_, err := io.ReadAll(r.Body)
						read <- err
						_, err = r.Body.Read(make([]byte, 1))
						read <- err
					}()
					synctest.Wait()
					if err := end(r.Body); err != nil {
						t.Error(err)
					}
					for range 2 {
						if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) && err != http.ErrBodyReadAfterClose {
							t.Errorf("reading: %v", err)
						}
					}
				}, nil))
				p.request(1, "POST", false)
				p.write(p.WriteData(1, false, []byte("the beginning")))
				if got := p.answer(1); got.status() != "200" {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// A body with a Content-Length has to arrive at the minimum rate, while it is read, and at any where it has none.
func TestSlowBodies(t *testing.T) {
	const rate = 100
	for name, test := range map[string]struct {
		length string
		send   func(p *peer)
		pause  time.Duration // of the handler
		want   error
	}{
		"nothing":      {"1000", func(*peer) { time.Sleep(16 * time.Second) }, 0, os.ErrDeadlineExceeded},
		"too little":   {"100000", trickle(50, 60), 0, os.ErrDeadlineExceeded},
		"a fast begin": {"100000", func(p *peer) { p.write(p.WriteData(1, false, make([]byte, 16000))); time.Sleep(16 * time.Second) }, 0, os.ErrDeadlineExceeded},
		"enough":       {"12000", trickle(100, 120), 0, nil},
		"nobody reads": {"100", func(p *peer) { time.Sleep(time.Hour); p.write(p.WriteData(1, true, make([]byte, 100))) }, time.Hour + time.Second, nil},
		"no length":    {"-", func(p *peer) { time.Sleep(time.Hour); p.write(p.WriteData(1, true, nil)) }, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				result := make(chan error, 1)
				p := dial(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) {
					time.Sleep(test.pause)
					_, err := io.ReadAll(r.Body)
					result <- err
				}, func(o *Options) { o.Limits.BodyMinRate = rate }))
				p.request(1, "POST", false, "content-length", test.length)
				test.send(p)
				if err := <-result; !errors.Is(err, test.want) {
					t.Errorf("%v, want %v", err, test.want)
				}
			})
		})
	}
}

// trickle sends n bytes a second, so many times.
func trickle(n, seconds int) func(p *peer) {
	return func(p *peer) {
		for i := range seconds {
			time.Sleep(time.Second)
			if err := p.WriteData(1, i == seconds-1, make([]byte, n)); err != nil {
				return
			}
		}
	}
}

// An upload that nobody reads fills its stream's window, and leaves the connection's to others.
func TestAnUploadThatNobodyReads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		finish := make(chan struct{})
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stuck" {
				<-finish
				return
			}
			describe(w, r)
		}, nil))
		fill := func(id uint32) {
			for sent := 0; sent < 512<<10; sent += maxFrameLength {
				p.write(p.WriteData(id, false, make([]byte, maxFrameLength)))
			}
		}
		for i := range 7 {
			id := uint32(2*i + 1)
			p.request(id, "POST", false, ":path", "/stuck")
			fill(id)
		}
		p.request(101, "POST", false, "content-length", "4")
		p.write(p.WriteData(101, true, []byte("body")))
		if got := p.answer(101); got.status() != "200" {
			t.Errorf("%+v", got)
		}
		p.write(p.WriteData(1, false, []byte("x"))) // beyond its window
		if e := p.of(http2.FrameRSTStream); e.stream != 1 || e.code != http2.ErrCodeFlowControl {
			t.Error(e)
		}
		close(finish)
		for range 6 {
			p.of(http2.FrameRSTStream)
		}
		// All of it is given back.
		p.request(103, "POST", false, ":path", "/")
		fill(103)
		p.write(p.WriteData(103, true, nil))
		p.answer(103)
	})
}

// What is read is given back, to the stream and to the connection, so that a long body arrives.
func TestWindowsAreGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil || n != 64<<20 {
				t.Errorf("%d bytes, %v", n, err)
			}
		}, nil))
		p.request(1, "POST", false)
		stream, connection := 512<<10, 4<<20
		for sent := 0; sent < 64<<20; sent += maxFrameLength {
			for stream < maxFrameLength || connection < maxFrameLength {
				if e := p.of(http2.FrameWindowUpdate); e.stream == 1 {
					stream += int(e.n)
				} else {
					connection += int(e.n)
				}
			}
			p.write(p.WriteData(1, false, make([]byte, maxFrameLength)))
			stream, connection = stream-maxFrameLength, connection-maxFrameLength
		}
		p.write(p.WriteData(1, true, nil))
		if got := p.answer(1); got.status() != "200" {
			t.Errorf("%+v", got)
		}
	})
}
