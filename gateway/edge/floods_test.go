package edge

import (
	"io"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// answered is how often another client is answered while a flood goes on.
const answered = 200

// parked is how many goroutines wait for further requests of HTTP/2, at most.
const parked = 64

// TestFloods: while one client does what it can to its connection, another is
// answered again and again, and nothing is left behind. How long the other waits
// depends on the machine, and is logged. It counts goroutines: not in parallel.
func TestFloods(t *testing.T) {
	for name, flood := range map[string]func(f *frames, i uint32) error{
		"rapid reset": func(f *frames, i uint32) error {
			return write(f, i, false, func(id uint32) error { return f.WriteRSTStream(id, http2.ErrCodeCancel) })
		},
		"requests": func(f *frames, i uint32) error { return write(f, i, true, nil) },
		"CONTINUATION": func(f *frames, i uint32) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}})
			}
			return f.WriteContinuation(1, false, nil)
		},
		"SETTINGS": func(f *frames, _ uint32) error { return f.WriteSettings() },
		"PING":     func(f *frames, i uint32) error { return f.WritePing(false, [8]byte{byte(i)}) },
		"empty DATA": func(f *frames, i uint32) error {
			if i == 0 {
				return write(f, 0, false, nil)
			}
			return f.WriteData(1, false, nil)
		},
		"WINDOW_UPDATE": func(f *frames, _ uint32) error { return f.WriteWindowUpdate(0, 1) },
		"PRIORITY": func(f *frames, i uint32) error {
			return f.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 2*i + 3, Weight: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(w, r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			}, nil)
			other := s.client("h2")
			s.get(other, "https://www."+domain+"/")
			before := runtime.NumGoroutine()
			f := s.frames()
			over, enough := make(chan int, 1), make(chan struct{})
			go func() {
				sent := 0
				for ; flood(f, uint32(sent)) == nil; sent++ {
					select {
					case <-enough:
						if sent >= 20_000 {
							over <- sent
							return
						}
					default:
					}
				}
				over <- sent // the server has cut it off
			}()
			var times []time.Duration
			for len(times) < answered {
				began := time.Now()
				if response, _ := s.get(other, "https://www."+domain+"/"); response.StatusCode != http.StatusOK {
					t.Fatalf("the other client: %d", response.StatusCode)
				}
				times = append(times, time.Since(began))
			}
			close(enough)
			slices.Sort(times)
			t.Logf("%d frames; the other client: %d requests, p99 %v", <-over, len(times), times[len(times)*99/100])
			if err := f.conn.NetConn().Close(); err != nil {
				t.Error(err)
			}
			eventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= before+parked })
		})
	}
}

// write sends the i-th request, and what follows it.
func write(f *frames, i uint32, end bool, then func(id uint32) error) error {
	id := 2*i + 1
	err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: f.encode("POST"), EndStream: end, EndHeaders: true})
	if err == nil && then != nil {
		return then(id)
	}
	return err
}
