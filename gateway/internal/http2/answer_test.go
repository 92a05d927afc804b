package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// routes serves by path.
func routes(all map[string]http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { all[r.URL.Path](w, r) }
}

func TestAnswers(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 4<<10)
	write := func(w io.Writer, text string) {
		if _, err := io.WriteString(w, text); err != nil {
			t.Errorf("writing: %v", err)
		}
	}
	flush := func(w http.ResponseWriter) {
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Errorf("flushing: %v", err)
		}
	}
	bubble(t, func(t *testing.T) {
		tests := []struct {
			name    string
			method  string
			handler http.HandlerFunc
			check   func(r reply) bool
		}{
			{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, func(r reply) bool {
				return r.status() == "200" && r.head.ends && r.head.field("content-length") == "0" && r.head.field("date") != ""
			}},
			{"a short body", "GET", says("hello"), func(r reply) bool {
				return r.status() == "200" && r.body == "hello" && r.head.field("content-length") == "5"
			}},
			{"a long body", "GET", says(long), func(r reply) bool {
				return r.body == long && r.head.field("content-length") == "" && !r.head.ends
			}},
			{"its own Date and length", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", "then")
				w.Header().Set("Content-Length", "5")
				write(w, "hello")
			}, func(r reply) bool { return r.head.field("date") == "then" && r.head.field("content-length") == "5" }},
			{"no Date", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }, func(r reply) bool { return r.head.field("date") == "" }},
			{"HEAD", "HEAD", says("hello"), func(r reply) bool { return r.head.ends && r.head.field("content-length") == "5" && r.body == "" }},
			{"HEAD flushed", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "7")
				flush(w)
			}, func(r reply) bool { return r.head.field("content-length") == "7" && r.body == "" && r.reset == nil }},
			{"204", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "7")
				w.WriteHeader(204)
				if _, err := io.WriteString(w, "x"); err != http.ErrBodyNotAllowed {
					t.Errorf("a body of 204: %v", err)
				}
			}, func(r reply) bool { return r.head.ends && r.head.field("content-length") == "" }},
			{"304", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "7")
				w.WriteHeader(304)
			}, func(r reply) bool { return r.head.ends && r.head.field("content-length") == "7" }},
			{"fields that are none of HTTP/2", "GET", func(w http.ResponseWriter, _ *http.Request) {
				h := w.Header()
				for _, key := range []string{"Keep-Alive", "Transfer-Encoding", "Upgrade", "Proxy-Connection", "Connection"} {
					h.Set(key, "x")
				}
				h["Bad Name"], h["X-Split"], h["X-Good"] = []string{"x"}, []string{"a\r\nb: c"}, []string{"1", "2"}
			}, func(r reply) bool { return len(r.head.fields) == 5 && r.head.field("x-good") == "1|2" }},
			{"the header as it was", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-A", "1")
				w.WriteHeader(201)
				w.Header().Set("X-A", "2")
				w.WriteHeader(500)
			}, func(r reply) bool { return r.status() == "201" && r.head.field("x-a") == "1" }},
			{"early hints", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", "</a>")
				w.WriteHeader(103)
				w.WriteHeader(101) // none of HTTP/2
				w.Header().Set("X-Late", "1")
			}, func(r reply) bool {
				return len(r.informational) == 1 && r.informational[0].field("link") == "</a>" && r.informational[0].field("x-late") == "" &&
					r.head.field("link") == "</a>" && r.head.field("x-late") == "1"
			}},
			{"trailers", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Trailer", "X-Sum, Content-Length")
				write(w, "hello")
				w.Header().Set("X-Sum", "7")
				w.Header().Set(http.TrailerPrefix+"X-Late", "8")
			}, func(r reply) bool {
				return r.body == "hello" && r.trailers.ends && r.trailers.field("x-sum") == "7" && r.trailers.field("x-late") == "8" &&
					r.head.field("trailer") == "X-Sum, Content-Length" && r.head.field("x-sum") == "" && len(r.trailers.fields) == 2
			}},
			{"longer than it says", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "3")
				if _, err := io.WriteString(w, "hello"); err != http.ErrContentLength {
					t.Errorf("more than it says: %v", err)
				}
			}, func(r reply) bool { return r.reset != nil && *r.reset == http2.ErrCodeInternal }},
			{"shorter than it says", "GET", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "7")
				write(w, "hello")
			}, func(r reply) bool { return r.body == "hello" && r.reset != nil && *r.reset == http2.ErrCodeInternal }},
			{"cut off", "GET", func(w http.ResponseWriter, _ *http.Request) {
				write(w, "hello")
				panic(http.ErrAbortHandler)
			}, func(r reply) bool { return r.body == "hello" && r.reset != nil && *r.reset == http2.ErrCodeInternal }},
			{"cut off before it begins", "GET", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, func(r reply) bool {
				return r.head.fields == nil && *r.reset == http2.ErrCodeInternal
			}},
			{"flushed", "GET", func(w http.ResponseWriter, _ *http.Request) {
				write(w, "a")
				flush(w)
				write(w, "b")
			}, func(r reply) bool { return r.body == "ab" && r.head.field("content-length") == "" }},
			{"a long header", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", long) }, func(r reply) bool {
				return r.head.field("x-long") == long
			}},
		}
		all := map[string]http.HandlerFunc{}
		for i, test := range tests {
			all[fmt.Sprint("/", i)] = test.handler
		}
		p := dial(t, newServer(t, routes(all), nil), http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
		p.write(p.WriteWindowUpdate(0, 1<<20))
		for i, test := range tests {
			id := uint32(2*i + 1)
			p.request(id, test.method, true, ":path", fmt.Sprint("/", i))
			if got := p.answer(id); !test.check(got) {
				t.Errorf("%s: %+v", test.name, got)
			}
		}
		p.stays()
	})
}

// A writer that is kept writes nothing when its handler has returned.
func TestAnAnswerHasEndedWithItsHandler(t *testing.T) {
	bubble(t, func(t *testing.T) {
		kept := make(chan http.ResponseWriter, 1)
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) { kept <- w }, nil))
		p.request(1, "GET", true)
		p.answer(1)
		synctest.Wait()
		w := <-kept
		w.WriteHeader(500)
		if _, err := w.Write([]byte("x")); err == nil {
			t.Error("it is written")
		}
		if err := http.NewResponseController(w).Flush(); err == nil {
			t.Error("it is flushed")
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
			t.Error(err)
		}
		p.stays()
	})
}

// Writes to a stream that was reset fail, also where the error of a flush is not looked at.
func TestWritesToAStreamThatWasReset(t *testing.T) {
	bubble(t, func(t *testing.T) {
		failed := make(chan int, 1)
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			for n := 0; ; n++ {
				if _, err := io.WriteString(w, "x"); err != nil {
					failed <- n
					return
				}
				if n > 0 {
					<-r.Context().Done()
				}
				_ = http.NewResponseController(w).Flush()
			}
		}, nil))
		p.request(1, "GET", true)
		p.of(http2.FrameData)
		p.write(p.WriteRSTStream(1, http2.ErrCodeCancel))
		if n := <-failed; n > 2 {
			t.Errorf("%d writes do not fail", n)
		}
	})
}

// What the client still sends of a request is of no use when it has been answered (RFC 9113, section 8.1).
func TestAnEarlyAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, says("no"), nil))
		p.request(1, "POST", false)
		if got := p.answer(1); got.body != "no" || got.reset != nil {
			t.Errorf("%+v", got)
		}
		if e := p.of(http2.FrameRSTStream); e.stream != 1 || e.code != http2.ErrCodeNo {
			t.Error(e)
		}
		for range 100 { // what is on its way is passed over, and the connection's window given back
			p.write(p.WriteData(1, false, make([]byte, 10<<10)))
		}
		if e := p.read(); e.kind != http2.FrameWindowUpdate || e.stream != 0 {
			t.Error(e)
		}
		p.stays()
	})
}

func TestContinueIsSentWhenTheBodyIsRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/refuse":
				w.WriteHeader(403)
				return
			case "/late":
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			}
			describe(w, r)
		}, nil))
		p.request(1, "POST", false, "expect", "100-continue", ":path", "/refuse")
		if got := p.answer(1); got.status() != "403" || len(got.informational) != 0 {
			t.Errorf("%+v", got)
		}
		p.request(3, "POST", false, "expect", "100-continue", ":path", "/late")
		if e := p.of(http2.FrameHeaders); e.field(":status") != "200" {
			t.Error(e)
		}
		p.write(p.WriteData(3, true, nil))
		p.answer(3)
		p.request(5, "POST", false, "expect", "100-continue")
		if e := p.of(http2.FrameHeaders); e.field(":status") != "100" || e.ends {
			t.Error(e)
		}
		p.write(p.WriteData(5, true, []byte("body")))
		if got := p.answer(5); !strings.Contains(got.body, `body="body"`) {
			t.Error(got.body)
		}
	})
}

// The context of a request ends when its stream or its connection does, or its handler has returned.
func TestContexts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		contexts := make(chan context.Context, 4)
		s := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			contexts <- r.Context()
			contexts <- child
			if r.Method == "POST" {
				<-child.Done()
			}
		}, nil)
		ended := func(why string) {
			t.Helper()
			for range 2 {
				<-(<-contexts).Done()
			}
			synctest.Wait()
		}
		p := dial(t, s)
		p.request(1, "GET", true)
		ended("the handler has returned")
		p.request(3, "POST", true)
		p.write(p.WriteRSTStream(3, http2.ErrCodeCancel))
		ended("the stream was reset")
		p.request(5, "POST", true)
		synctest.Wait()
		p.write(p.conn.Close())
		ended("the connection was closed")
	})
}

// Deadlines of a handler's own.
func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		causes := make(chan error, 1)
		p := dial(t, newServer(t, routes(map[string]http.HandlerFunc{
			"/read": func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)); err != nil {
					t.Error(err)
				}
				_, err := io.ReadAll(r.Body)
				causes <- err
			},
			"/write": func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
					t.Error(err)
				}
				<-r.Context().Done()
				_, err := w.Write(make([]byte, 1<<20))
				causes <- err
			},
			"/past": func(w http.ResponseWriter, r *http.Request) {
				if err := http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)); err != nil {
					t.Error(err)
				}
				<-r.Context().Done()
				_, err := w.Write(make([]byte, 1<<20))
				causes <- err
			},
			"/undone": func(w http.ResponseWriter, r *http.Request) {
				control := http.NewResponseController(w)
				err := errors.Join(control.SetReadDeadline(time.Now().Add(time.Second)), control.SetReadDeadline(time.Time{}),
					control.SetWriteDeadline(time.Now().Add(time.Second)), control.SetWriteDeadline(time.Time{}))
				time.Sleep(2 * time.Second)
				_, e := io.ReadAll(r.Body)
				causes <- errors.Join(err, e)
			},
		}), nil))
		for id, path := range []string{"/read", "/write", "/past"} {
			id := uint32(2*id + 1)
			p.request(id, "POST", false, ":path", path)
			if err := <-causes; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v", path, err)
			}
			if got := p.of(http2.FrameRSTStream); path != "/read" && got.code != http2.ErrCodeInternal {
				t.Errorf("%s: %v", path, got)
			}
		}
		p.request(7, "POST", false, ":path", "/undone")
		time.Sleep(3 * time.Second)
		p.write(p.WriteData(7, true, nil))
		if err := <-causes; err != nil {
			t.Error(err)
		}
	})
}
