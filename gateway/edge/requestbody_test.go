package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestBodyThatNobodyReads: a refusal does not wait for a body that does not come.
func TestBodyThatNobodyReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/closes" {
				if err := r.Body.Close(); err != nil {
					t.Error(err)
				}
			}
			w.WriteHeader(http.StatusForbidden)
		}, nil)
		for _, path := range []string{"/", "/closes"} {
			for _, length := range []string{"Content-Length: 1000", "Transfer-Encoding: chunked"} {
				conn := s.dial("http/1.1")
				send(t, conn, "POST "+path+" HTTP/1.1\r\nHost: www."+domain+"\r\n"+length+"\r\n\r\n")
				if got := closes(t, conn); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
					t.Errorf("%s with %s: %q", path, length, got)
				}
			}
		}
	})
}

// TestBodyIsNeverTheNextRequest: what is left of a body that a handler has closed
// is not read as a request.
func TestBodyIsNeverTheNextRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked := make(chan string, 10)
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			asked <- r.URL.Path
			if r.URL.Query().Has("read") {
				if _, err := io.ReadFull(r.Body, make([]byte, 5)); err != nil {
					t.Error(err)
				}
			}
			if r.URL.Query().Has("close") {
				if err := r.Body.Close(); err != nil {
					t.Logf("close: %v", err)
				}
			}
		}, nil)
		const smuggled = "GET /smuggled HTTP/1.1\r\nHost: www." + domain + "\r\n\r\n"
		for _, query := range []string{"", "?read", "?close", "?read&close"} {
			for _, length := range []int{5 + len(smuggled), 1000, 1 << 20} {
				conn := s.dial("http/1.1")
				send(t, conn, fmt.Sprintf("POST /%s HTTP/1.1\r\nHost: www.%s\r\nContent-Length: %d\r\n\r\n12345", query, domain, length))
				if got := <-asked; got != "/" {
					t.Fatalf("asked for %s", got)
				}
				if length > 5+len(smuggled) {
					eventually(t, "the answer", func() bool { _, err := conn.Read(make([]byte, 1)); return err == nil })
				}
				if _, err := io.WriteString(conn, smuggled+"\r\n\r\n"+smuggled); err != nil {
					t.Logf("%d bytes, %q: %v", length, query, err)
				}
				if err := conn.CloseWrite(); err != nil {
					t.Logf("%d bytes, %q: %v", length, query, err)
				}
				closes(t, conn)
				want := 0
				if length == 5+len(smuggled) {
					want = 1 // the second is a request of its own
				}
				if got := len(asked); got > want {
					t.Errorf("%d bytes, %q: %d requests more, want %d", length, query, got, want)
				}
				for range len(asked) {
					<-asked
				}
			}
		}
	})
}

// TestWhatFollowsABrokenBodyIsNoRequest: also in full duplex, in which net/http
// leaves the body to the handler; whether the answer begins before or after.
func TestWhatFollowsABrokenBodyIsNoRequest(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/", "/duplex", "/duplex/begun"} {
		for _, body := range []string{"xx\r\n", "2\r\nhello\r\n", "5\nhello\r\n0\r\n\r\n", "1;" + strings.Repeat("x", 20000) + "\r\nh\r\n0\r\n\r\n"} {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int32
				s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
					asked.Add(1)
					control := http.NewResponseController(w)
					if path != "/" {
						if err := control.EnableFullDuplex(); err != nil {
							t.Error(err)
						}
					}
					if path == "/duplex/begun" {
						if err := control.Flush(); err != nil {
							t.Error(err)
						}
					}
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						t.Errorf("%.20q is a body", body)
					}
					w.WriteHeader(http.StatusBadRequest)
				}, nil)
				conn := s.dial("http/1.1")
				_, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: www."+domain+"\r\nTransfer-Encoding: chunked\r\n\r\n"+body+
					"GET /smuggled HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
				if err != nil {
					t.Logf("%s %.20q: %v", path, body, err) // it may be cut off before it has said all
				}
				if got := closes(t, conn); asked.Load() != 1 || strings.Count(got, "HTTP/1.1 ") != 1 {
					t.Errorf("%s %.20q: %d requests, answered with %q", path, body, asked.Load(), got)
				}
			})
		}
	}
}

// TestAnnouncedTrailersArrive: the handler's request shares them with the one
// that net/http keeps.
func TestAnnouncedTrailersArrive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			slowly(w, r)
			fmt.Fprint(w, ", ", r.Trailer.Get("X-Sum"))
		}, nil)
		for _, protocol := range protocols {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://www."+domain+"/", io.NopCloser(strings.NewReader("body")))
			if err != nil {
				t.Fatal(err)
			}
			request.Trailer = http.Header{"X-Sum": {"7"}}
			response, err := s.client(protocol).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			if err := closing(response.Body, err); err != nil || string(got) != "read 4, <nil>, 7" {
				t.Errorf("%s: %q %v", protocol, got, err)
			}
		}
	})
}

// TestABodyThatAnotherGoroutineReadsHoldsNothing: what a proxy's upstream still reads when the answer is complete neither
// keeps the connection open for longer than the draining takes, nor does it for a client that sends a byte now and then.
func TestABodyThatAnotherGoroutineReadsHoldsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reads := make(chan error, 10)
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			go func() {
				_, err := io.Copy(io.Discard, r.Body)
				_, again := r.Body.Read(make([]byte, 1))
				reads <- errors.Join(err, again)
			}()
			synctest.Wait() // it waits for the client
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusNotFound)
		}, nil)
		for _, framing := range []string{"Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
			for _, trickles := range []bool{false, true} {
				conn := s.dial("http/1.1")
				send(t, conn, post+framing)
				ended := make(chan string, 1)
				go func() { ended <- closes(t, conn) }()
				began := time.Now()
				ticker := time.NewTicker(bodyTimeout / 10)
				for got := ""; got == ""; {
					select {
					case got = <-ended:
						if !strings.HasPrefix(got, "HTTP/1.1 404 ") {
							t.Errorf("%.20q: %q", framing, got)
						}
					case <-ticker.C:
						if trickles {
							_, _ = io.WriteString(conn, "x") // it fails once the connection is closed
						}
					}
				}
				ticker.Stop()
				if took := time.Since(began); took > bodyTimeout+time.Second {
					t.Errorf("%.20q, trickling %v: the connection was open for %v", framing, trickles, took)
				}
				if err := <-reads; err == nil {
					t.Errorf("%.20q: the body ended", framing)
				}
			}
		}
	})
}

// TestInterruptedBody: a read that waits for the client ends when another goroutine says so, and so does every further one.
func TestInterruptedBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			ended := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, r.Body)
				ended <- err
			}()
			synctest.Wait()
			if err := r.Body.(interface{ Interrupt() error }).Interrupt(); err != nil {
				t.Error(err)
			}
			if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the read that waited: %v", err)
			}
			if _, err := r.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("a further read: %v", err)
			}
			w.WriteHeader(http.StatusBadGateway)
		}, nil)
		conn := s.dial("http/1.1")
		send(t, conn, post+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		if got := closes(t, conn); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "Connection: close") {
			t.Errorf("HTTP/1.1: %q", got)
		}
		f := s.frames()
		f.request(1, "POST", false)
		if err := f.WriteData(1, false, []byte("abc")); err != nil {
			t.Fatal(err)
		}
		if id, code := f.reset(); id != 1 || code != "NO_ERROR" {
			t.Errorf("HTTP/2: stream %d, %s", id, code)
		}
	})
}

// TestAbortedBody: nothing is read of the rest of a request that was aborted, and its connection ends at once.
func TestAbortedBody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(_ http.ResponseWriter, r *http.Request) {
			ended := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, r.Body)
				ended <- err
			}()
			synctest.Wait()
			if err := r.Body.(interface{ Abort() error }).Abort(); err != nil {
				t.Error(err)
			}
			if err := <-ended; err == nil {
				t.Error("the read that waited has come to the end of the body")
			}
			panic(http.ErrAbortHandler)
		}, nil)
		conn := s.dial("http/1.1")
		began := time.Now()
		send(t, conn, post+"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
		if got := closes(t, conn); got != "" {
			t.Errorf("%q", got)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the connection ended after %v", took)
		}
	})
}
