package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
)

// wsgiApp answers POST with the length of what it was sent, and GET of /123 with so many bytes.
const wsgiApp = `
def application(environ, start_response):
    if environ['REQUEST_METHOD'] == 'POST':
        body = b'%d' % len(environ['wsgi.input'].read())
    else:
        body = b'x' * int(environ['PATH_INFO'][1:])
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', str(len(body)))])
    return [body]
`

// metric is the value of a metric without labels.
func (s *site) metric(t *testing.T, name string) int {
	t.Helper()
	_, rest, _ := strings.Cut(s.admin(t, "/metrics").body, "\n"+name+" ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(line, 64)
	if err != nil {
		t.Fatalf("metric %s: %v", name, err)
	}
	return int(n)
}

// upload begins a POST; the rest of its body is what is written to in. A negative length is an unknown one.
func upload(t *testing.T, c *client, url string, length int64) (in *io.PipeWriter, answered <-chan answer) {
	t.Helper()
	body, in := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = length
	done := make(chan answer, 1)
	go func() {
		response, err := c.http.Do(r)
		if err != nil {
			done <- answer{body: err.Error()}
			return
		}
		defer closeQuietly(t, response.Body)
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Errorf("%s: %v", url, err)
		}
		done <- answer{status: response.StatusCode, header: response.Header, body: string(got)}
	}()
	return in, done
}

func write(t *testing.T, to io.Writer, n int) {
	if _, err := io.WriteString(to, strings.Repeat("x", n)); err != nil {
		t.Errorf("an upload: %v", err)
	}
}

// TestSlowClientsHoldNoBackend: in front of a real gunicorn with two workers that serve one request each, four slow uploads
// and four slow readers keep nobody else waiting, and the memory that they took is given back.
func TestSlowClientsHoldNoBackend(t *testing.T) {
	t.Parallel()
	const size = 100_000
	slowClientsHoldNoBackend(t, "limits: { buffer_memory: 1024MiB }", "response: 32MiB", size, func(s *site) bool {
		return s.metric(t, "vilogate_buffered_bytes") >= 4*size/2
	})
}

// slowClientsHoldNoBackend tries that with uploads of a size, of which four halves are held when held says so.
func slowClientsHoldNoBackend(t *testing.T, limits, buffer string, size int, held func(*site) bool) {
	t.Helper()
	const large = 24 << 20 // what the sockets between here and the backend do not hold
	dir, address := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{"app.py": wsgiApp})
	launch(t, dir, append(os.Environ(), "HOME="+dir), program(t, "gunicorn", "gunicorn"), "--bind", address, "--workers", "2", "app")
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + limits + fmt.Sprintf("\nupstreams: { app: { url: \"http://%s\", keepalive: off, buffer: { %s } } }\n", address, buffer),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	eventually(t, "gunicorn answers", func() bool { return s.client().get(s.url("app", "/1")).status == http.StatusOK })
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		others := func(who string) {
			for range 4 {
				if got := c.get(s.url("app", "/5")); got.body != "xxxxx" {
					t.Errorf("%s: beside slow %s: %v", protocol, who, got)
				}
			}
		}
		var ins []*io.PipeWriter
		var answers []<-chan answer
		for range 4 {
			in, answered := upload(t, c, s.url("app", "/"), int64(size))
			write(t, in, size/2)
			ins, answers = append(ins, in), append(answers, answered)
		}
		eventually(t, "four halves are taken in", func() bool { return held(s) })
		others("uploads")
		for i, in := range ins {
			write(t, in, size-size/2)
			closeQuietly(t, in)
			if got := <-answers[i]; got.body != strconv.Itoa(size) {
				t.Errorf("%s: a slow upload: %v", protocol, got)
			}
		}
		s.awaitNoBodies(t)
		var readers []*http.Response
		for range 4 {
			readers = append(readers, getFrom(t, c, s.url("app", fmt.Sprintf("/%d", large))))
		}
		others("readers")
		for _, slow := range readers {
			if n, err := io.Copy(io.Discard, slow.Body); n != large || err != nil {
				t.Errorf("%s: a slow reader: %d bytes, %v", protocol, n, err)
			}
		}
		s.awaitNoBodies(t)
	}
	if n := s.metric(t, "vilogate_buffer_full_total"); n != 0 {
		t.Errorf("%d bodies streamed", n)
	}
}

// TestAReaderWhoStopsHoldsNoBackend that sends its answer bit by bit: the gateway writes to the client whenever it has to wait for more,
// and a client of HTTP/2 whose window is closed takes nothing of that.
func TestAReaderWhoStopsHoldsNoBackend(t *testing.T) {
	t.Parallel()
	const piece, large = 1 << 10, 24 << 20 // what the sockets between here and the backend do not hold
	begun, sent := make(chan struct{}), make(chan error, 1)
	backend := scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
		body := strings.Repeat("x", large)
		says(t, conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", large)+body[:piece])
		<-begun
		_, err := io.WriteString(conn, body[piece:])
		sent <- err
		return err == nil
	})
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig +
			fmt.Sprintf("limits: { buffer_memory: 1024MiB }\nupstreams: { app: { url: \"http://%s\", buffer: { response: 32MiB } } }\n", backend),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	c := s.h2(t, "app.viloforge.test")
	c.check(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
	stream := c.headers(request{host: "app.viloforge.test"}.fields(), true)
	for got, ended := 0, false; !ended; {
		frame, err := c.framer.ReadFrame()
		c.check(err)
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			close(begun)
			if err := <-sent; err != nil {
				t.Fatalf("the backend waits for a client who takes nothing: %v", err)
			}
			c.check(c.framer.WriteWindowUpdate(0, large))
			c.check(c.framer.WriteWindowUpdate(stream, large))
		case *http2.DataFrame:
			got, ended = got+len(f.Data()), f.StreamEnded()
			if ended && got != large {
				t.Errorf("%d bytes of %d", got, large)
			}
		case *http2.RSTStreamFrame:
			t.Fatalf("the stream was reset behind %d bytes: %v", got, f.ErrCode)
		}
	}
}

// TestAReaderWhoStopsHoldsNoSlot of an upstream whose answer is there, or could be: one that the sockets hold, one that comes in two pieces,
// and one over HTTP/2 that has come whole.
func TestAReaderWhoStopsHoldsNoSlot(t *testing.T) {
	t.Parallel()
	const size = 40_000
	body, begun := strings.Repeat("x", size), make(chan struct{})
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
	_, whole := newH2CBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, body); err != nil {
			t.Error(err)
		}
	})
	for name, url := range map[string]string{
		"held by sockets": "http://" + scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
			says(t, conn, head+body)
			return true
		}),
		"in two pieces": "http://" + scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
			says(t, conn, head+body[:100])
			<-begun
			says(t, conn, body[100:])
			return true
		}),
		"whole": whole,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, map[string]string{
				"vilogate.yaml":     serveConfig + fmt.Sprintf("upstreams: { app: { url: %q, concurrency: 1 } }\n", url),
				"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
			})
			c := s.h2(t, "app.viloforge.test")
			c.check(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
			stream := c.headers(request{host: "app.viloforge.test"}.fields(), true)
			for got, ended := 0, false; !ended; {
				frame, err := c.framer.ReadFrame()
				c.check(err)
				switch f := frame.(type) {
				case *http2.MetaHeadersFrame:
					if name == "in two pieces" {
						close(begun)
					}
					s.awaitLoad(t, 0, 0)
					c.check(c.framer.WriteWindowUpdate(stream, size))
				case *http2.DataFrame:
					if got, ended = got+len(f.Data()), f.StreamEnded(); ended && got != size {
						t.Errorf("%d bytes of %d", got, size)
					}
				case *http2.RSTStreamFrame:
					t.Fatalf("the slot was held until the stream was reset: %v", f.ErrCode)
				}
			}
		})
	}
}

// framedBackend answers with what it was told of the body's framing, and the body's length.
func framedBackend(t *testing.T, requests *atomic.Int32) *httptest.Server {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		got, err := io.ReadAll(r.Body)
		if _, err := fmt.Fprintf(w, "%d %v %q %d %v", r.ContentLength, r.TransferEncoding, r.Header.Get("Expect"), len(got), err); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(backend.Close)
	return backend
}

// TestBodiesOfUnknownLengthAreTakenIn where the upstream wants that: they go on with a length, Expect is answered by the gateway,
// and one beyond the bound is refused and never sent.
func TestBodiesOfUnknownLengthAreTakenIn(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	backend := framedBackend(t, &requests)
	s := failoverSite(t, map[string][]string{"app": {strings.TrimPrefix(backend.URL, "http://")}}, ", buffer: { request: 64KiB, unknown: true }")
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, n := range []int{0, 1, 5000, 64 << 10} {
			in, answered := upload(t, c, s.url("app", "/"), -1)
			write(t, in, n)
			closeQuietly(t, in)
			if got, want := <-answered, fmt.Sprintf(`%d [] "" %d <nil>`, n, n); got.body != want {
				t.Errorf("%s, %d bytes: %v, want %s", protocol, n, got, want)
			}
		}
		before := requests.Load()
		in, answered := upload(t, c, s.url("app", "/"), -1)
		if _, err := io.WriteString(in, strings.Repeat("x", 64<<10+1)); err != nil {
			t.Logf("%s: too much: %v", protocol, err)
		}
		if got := <-answered; got.status != http.StatusRequestEntityTooLarge || got.problem(t).Type == "" || requests.Load() != before {
			t.Errorf("%s: too much: %v, %d requests", protocol, got, requests.Load()-before)
		}
		closeQuietly(t, in)
	}
	conn := s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
	from := bufio.NewReader(conn)
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: app.viloforge.test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := from.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 100 ") || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := io.WriteString(conn, "3\r\nabc\r\n0\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := from.ReadString('\n'); err != nil { // behind the informational answer
		t.Fatal(err)
	}
	if got := readAnswer(t, from, "POST"); got.body != `3 [] "" 3 <nil>` {
		t.Errorf("behind 100 Continue: %v", got)
	}
	eventually(t, "the log says why", func() bool { return strings.Contains(s.output.String(), "(buffer.request, buffer.disk), 65536 bytes") })
	eventually(t, "no memory is held", func() bool { return s.metric(t, "vilogate_buffered_bytes") == 0 })
}

// TestAnAbortedUploadReachesNoBackend: it is recorded as what it is, and its memory is given back.
func TestAnAbortedUploadReachesNoBackend(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	backend := framedBackend(t, &requests)
	s := failoverSite(t, map[string][]string{"app": {strings.TrimPrefix(backend.URL, "http://")}}, "")
	for n, protocol := range []string{"http/1.1", "h2"} {
		in, answered := upload(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/"), 1000)
		write(t, in, 500)
		eventually(t, "the half is taken in", func() bool { return s.metric(t, "vilogate_buffered_bytes") > 0 })
		if err := in.CloseWithError(io.ErrUnexpectedEOF); err != nil {
			t.Error(err)
		}
		if got := <-answered; got.status != 0 {
			t.Errorf("%s: %v", protocol, got)
		}
		eventually(t, "it is recorded", func() bool { return strings.Count(s.output.String(), "client closed request") == n+1 })
		eventually(t, "no memory is held", func() bool { return s.metric(t, "vilogate_buffered_bytes") == 0 })
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("the backend was asked %d times", n)
	}
}

// TestBodiesBeyondTheMemoryStream: what is too much for one client's share of it is passed on as it comes, whole and in order, and
// counted.
func TestBodiesBeyondTheMemoryStream(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 2)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if n, err := io.Copy(w, r.Body); n != 1<<20 || err != nil {
			t.Errorf("the backend got %d bytes, %v", n, err)
		}
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("limits: { buffer_memory: 1MiB }\nupstreams: { app: { url: %q } }\n", backend.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		in, answered := upload(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/"), 1<<20)
		write(t, in, 1<<19)
		<-begun // by a half: the other one is not there yet
		var rest sync.WaitGroup
		rest.Go(func() {
			write(t, in, 1<<19)
			closeQuietly(t, in)
		})
		if got := <-answered; len(got.body) != 1<<20 || strings.Trim(got.body, "x") != "" {
			t.Errorf("%s: %d, %d bytes", protocol, got.status, len(got.body))
		}
		rest.Wait()
	}
	if n := s.metric(t, "vilogate_buffer_full_total"); n < 2 {
		t.Errorf("%d bodies streamed", n)
	}
	eventually(t, "no memory is held", func() bool { return s.metric(t, "vilogate_buffered_bytes") == 0 })
}
