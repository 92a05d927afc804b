package edge

import (
	"bufio"
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
	"golang.org/x/net/http2/hpack"
)

const post = "POST / HTTP/1.1\r\nHost: www." + domain + "\r\n"

func TestSlowHeader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, hello, nil)
		for _, text := range []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: www." + domain + "\r\nX-Half: "} {
			conn := s.dial("http/1.1")
			send(t, conn, text)
			if got := closes(t, conn); (text != "") != strings.HasPrefix(got, "HTTP/1.1 408 ") {
				t.Errorf("%q was answered with %q", text, got)
			}
		}
		conn, err := connect(t.Context(), s.opts.HTTPS[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(longest)); err != nil {
			t.Fatal(err)
		}
		closes(t, conn) // no handshake at all
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		s.frames().rest() // no request at all
	})
}

// slowly reads the body, and answers 408 like the gateway when it does not come.
func slowly(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.WriteHeader(http.StatusRequestTimeout)
		return
	}
	fmt.Fprintf(w, "read %d, %v", n, err)
}

func TestSlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, slowly, nil)
		conn := s.dial("http/1.1")
		send(t, conn, post+"Content-Length: 100000\r\n\r\nthe beginning")
		if got := closes(t, conn); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("HTTP/1.1: %q", got)
		}
		f := s.frames()
		f.request(1, "POST", false, hpack.HeaderField{Name: "content-length", Value: "100000"})
		if err := f.WriteData(1, false, []byte("the beginning")); err != nil {
			t.Fatal(err)
		}
		if id, code := f.reset(); id != 1 || code != "NO_ERROR" {
			t.Errorf("HTTP/2: stream %d, %s", id, code)
		}
	})
}

// TestTricklingBodyIsCutOff: bytes that come again and again, but too few.
func TestTricklingBodyIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, slowly, func(o *Options) { o.Limits.BodyMinRate = 1 << 20 })
		conn := s.dial("http/1.1")
		send(t, conn, post+"Content-Length: 100000\r\n\r\n")
		ended := make(chan string, 1)
		go func() { ended <- closes(t, conn) }()
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for sent := 0; ; sent++ {
			select {
			case got := <-ended:
				if !strings.HasPrefix(got, "HTTP/1.1 408 ") {
					t.Errorf("after %d bytes: %q", sent, got)
				}
				return
			case <-ticker.C:
				if _, err := io.WriteString(conn, "x"); err != nil {
					t.Logf("after %d bytes: %v", sent, err)
				}
			}
		}
	})
}

// TestAFastBeginningBuysNoPause: what has arrived long ago does not let a client hang on.
func TestAFastBeginningBuysNoPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, slowly, nil)
		conn := s.dial("http/1.1")
		send(t, conn, post+"Content-Length: 1000000\r\n\r\n"+strings.Repeat("x", 500_000))
		if got := closes(t, conn); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("%q", got)
		}
	})
}

// TestSteadyBodyMayTakeItsTime: nothing limits the total time.
func TestSteadyBodyMayTakeItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, slowly, nil)
		for _, protocol := range protocols {
			body, in := io.Pipe()
			go func() {
				ticker := time.NewTicker(50 * time.Millisecond)
				defer ticker.Stop()
				for range 20 { // a second in all, three times the timeout
					<-ticker.C
					if _, err := io.WriteString(in, strings.Repeat("x", 200)); err != nil {
						t.Errorf("%s: %v", protocol, err)
					}
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			}()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://www."+domain+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = 4000
			response, err := s.client(protocol).Do(request)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			if err := closing(response.Body, err); err != nil || string(got) != "read 4000, <nil>" {
				t.Errorf("%s: %q %v", protocol, got, err)
			}
		}
	})
}

// TestSlowBackendIsNotTheClientsFault: time in which nobody reads does not count,
// neither before the first read nor between two, nor after the last.
func TestSlowBackendIsNotTheClientsFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pause := func() { <-time.After(3 * bodyTimeout) }
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			pause()
			half := make([]byte, 1000)
			n, err := io.ReadFull(r.Body, half)
			pause()
			rest, restErr := io.Copy(io.Discard, r.Body)
			closed := r.Body.Close()
			pause()
			fmt.Fprintf(w, "%d %v %d %v %v %v", n, err, rest, restErr, closed, r.Context().Err())
		}, nil)
		for _, protocol := range protocols {
			c := s.client(protocol)
			for range 2 { // the second on the same connection
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://www."+domain+"/", strings.NewReader(strings.Repeat("x", 3000)))
				if err != nil {
					t.Fatal(err)
				}
				response, err := c.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(response.Body)
				if err := closing(response.Body, err); err != nil || string(got) != "1000 <nil> 2000 <nil> <nil> <nil>" {
					t.Errorf("%s: %q %v", protocol, got, err)
				}
			}
		}
	})
}

// TestBodiesWithoutLengthMayPause: a body without a length may be half of a
// conversation, with pauses of any length. That answers arrive meanwhile is for
// the proxy to show, which has the say over who reads the body.
func TestBodiesWithoutLengthMayPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		arrived := make(chan string, 1)
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			lines := bufio.NewScanner(r.Body)
			for lines.Scan() {
				arrived <- lines.Text()
			}
			if err := lines.Err(); err != nil {
				t.Errorf("%s: %v", r.Proto, err)
			}
		}, nil)
		for _, protocol := range protocols {
			body, in := io.Pipe()
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://www."+domain+"/", body)
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				response, err := s.client(protocol).Do(request)
				if err == nil {
					err = response.Body.Close()
				}
				done <- err
			}()
			for _, line := range []string{"first", "second", "third"} {
				if _, err := io.WriteString(in, line+"\n"); err != nil {
					t.Fatalf("%s: %v", protocol, err)
				}
				if got := <-arrived; got != line {
					t.Fatalf("%s: %q, want %q", protocol, got, line)
				}
				<-time.After(3 * bodyTimeout)
			}
			if err := errors.Join(in.Close(), <-done); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		}
	})
}

// TestClientThatDoesNotRead: a client that takes nothing of its answer holds
// neither handler nor connection, whether it is TCP that is full or the window of
// a stream.
func TestClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 4)
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			piece := make([]byte, 64<<10)
			for range 1000 {
				if _, err := w.Write(piece); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}, nil)
		await := func(what string) {
			t.Helper()
			select {
			case err := <-failed:
				if err == nil {
					t.Errorf("%s: everything was written", what)
				}
			case <-time.After(longest):
				t.Errorf("%s: the handler still writes", what)
			}
		}
		send(t, s.dial("http/1.1"), "GET / HTTP/1.1\r\nHost: www."+domain+"\r\n\r\n")
		await("HTTP/1.1")

		f := s.frames(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		f.request(1, "GET", true)
		if id, _ := f.reset(); id != 1 {
			t.Errorf("stream %d was reset", id)
		}
		await("HTTP/2 without a window")
	})
}

// TestStreamWithoutAWindowIsReset: also when the handler has long returned, and
// only the server holds what is not taken.
func TestStreamWithoutAWindowIsReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, hello, nil)
		f := s.frames(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		f.request(1, "GET", true)
		if id, _ := f.reset(); id != 1 {
			t.Errorf("stream %d was reset", id)
		}
	})
}

// TestQuietStreamsLive: who has nothing to say need not say it.
func TestQuietStreamsLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := startInMemory(t, func(w http.ResponseWriter, r *http.Request) {
			for range 3 {
				fmt.Fprint(w, "event\n")
				w.(http.Flusher).Flush()
				<-time.After(2 * writeTimeout)
			}
		}, nil)
		for _, protocol := range protocols {
			if _, got := s.get(s.client(protocol), "https://www."+domain+"/"); got != strings.Repeat("event\n", 3) {
				t.Errorf("%s: %q", protocol, got)
			}
		}
	})
}
