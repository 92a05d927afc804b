package client

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// limit is how long a test waits for what has to come.
const limit = 30 * time.Second

// backend hands each request to a function, which answers on the bare connection; false closes it. It counts the connections
// that are open, as far as it has heard.
type backend struct {
	key  Key
	mu   sync.Mutex
	open int // guarded by mu
	all  int // guarded by mu
}

func newBackend(t *testing.T, answer func(conn net.Conn, r *http.Request, connection int) bool) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{key: Key{Address: listener.Addr().String(), Idle: time.Minute}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.open++
			b.all++
			number := b.all
			b.mu.Unlock()
			go func() {
				for reader := bufio.NewReader(conn); ; {
					r, err := http.ReadRequest(reader)
					if err != nil || !answer(conn, r, number) {
						break
					}
				}
				_ = conn.Close()
				b.mu.Lock()
				b.open--
				b.mu.Unlock()
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return b
}

func (b *backend) counts() (open, all int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open, b.all
}

// newPool makes a pool for the backends, and looks at the end for what is left of it.
func newPool(t *testing.T, backends ...*backend) *Pool {
	t.Helper()
	before := runtime.NumGoroutine()
	p := NewPool(8, 16)
	for _, b := range backends {
		p.Add(b.key)
	}
	t.Cleanup(func() {
		p.Close()
		for _, b := range backends {
			eventually(t, "the backend's connections are closed", func() bool { open, _ := b.counts(); return open == 0 })
		}
		eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before+len(backends) })
	})
	return p
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(limit); !condition(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func get() *Request { return &Request{Head: []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")} }

func post(u *Upload) *Request {
	framing := "Transfer-Encoding: chunked"
	if u.Length >= 0 {
		framing = fmt.Sprintf("Content-Length: %d", u.Length)
	}
	if u.Expect {
		framing += "\r\nExpect: 100-continue"
	}
	return &Request{Head: []byte("POST / HTTP/1.1\r\nHost: h\r\n" + framing + "\r\n\r\n"), Upload: u}
}

// readAll reads the body, and closes the exchange.
func readAll(x *Exchange) (string, error) {
	defer x.Close()
	var body bytes.Buffer
	for {
		piece, err := x.Next(nil)
		if err == io.EOF {
			return body.String(), nil
		}
		if err != nil {
			return body.String(), err
		}
		body.Write(piece)
	}
}

func send(t *testing.T, p *Pool, b *backend, r *Request) (*Exchange, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return p.Send(ctx, b.key, limit, r)
}

func mustSend(t *testing.T, p *Pool, b *backend, r *Request) *Exchange {
	t.Helper()
	x, err := send(t, p, b, r)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func says(conn net.Conn, text string) bool {
	_, err := io.WriteString(conn, text)
	return err == nil
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"

func TestAConnectionIsUsedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		reused bool
	}{
		"length":      {good, true},
		"chunks":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n", true},
		"keep-alive":  {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\ngood", true},
		"HTTP/1.0":    {"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\ngood", false},
		"close":       {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ngood", false},
		"behind":      {good + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", false},
		"line behind": {good + "\r\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, c.answer) })
			p := newPool(t, b)
			for range 3 {
				if body, err := readAll(mustSend(t, p, b, get())); err != nil || body != "good" {
					t.Fatalf("%q, %v", body, err)
				}
			}
			if _, all := b.counts(); (all == 1) != c.reused {
				t.Errorf("%d connections for 3 requests", all)
			}
		})
	}
}

// TestAnAnswerThatWasNotReadToItsEnd is no beginning of the next one.
func TestAnAnswerThatWasNotReadToItsEnd(t *testing.T) {
	b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, good) })
	p := newPool(t, b)
	for range 3 {
		mustSend(t, p, b, get()).Close()
	}
	if _, all := b.counts(); all != 3 {
		t.Errorf("%d connections", all)
	}
}

func TestKeptConnectionsEnd(t *testing.T) {
	b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, good) })
	b.key.Idle = 50 * time.Millisecond
	p := newPool(t, b)
	if _, err := readAll(mustSend(t, p, b, get())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the timer closes it", func() bool { open, _ := b.counts(); return open == 0 && p.Kept() == 0 })
	b.key.Idle = -1
	p.Add(b.key)
	if _, err := readAll(mustSend(t, p, b, get())); err != nil || p.Kept() != 0 {
		t.Errorf("%d are kept of those that are not to be: %v", p.Kept(), err)
	}
	b.key.Idle = time.Hour
	p.Add(b.key)
	x := mustSend(t, p, b, get())
	p.Retire(func(Key) bool { return false })
	if _, err := readAll(x); err != nil || p.Kept() != 0 {
		t.Errorf("%d are kept of a key that was retired: %v", p.Kept(), err)
	}
}

// TestBounds: no more are kept than that, of a key and in all.
func TestBounds(t *testing.T) {
	answer := func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, good) }
	all := []*backend{newBackend(t, answer), newBackend(t, answer), newBackend(t, answer)}
	p := newPool(t, all...)
	var open []*Exchange
	for _, b := range all {
		for range 10 {
			open = append(open, mustSend(t, p, b, get()))
		}
	}
	for i, x := range open {
		if _, err := readAll(x); err != nil {
			t.Fatal(err)
		}
		if want := min(i+1, 8); i < 10 && p.Kept() != want {
			t.Errorf("%d are kept of one key, want %d", p.Kept(), want)
		}
	}
	if p.Kept() != 16 {
		t.Errorf("%d are kept, want 16", p.Kept())
	}
}

func TestConnectionsThatAreClosed(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return false })
		p := newPool(t, b)
		_, err := send(t, p, b, get())
		var closed *ClosedError
		if !errors.As(err, &closed) || !closed.First || closed.Kept {
			t.Errorf("%#v", err)
		}
	})
	t.Run("kept", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, r *http.Request, _ int) bool { return r.Method == "GET" && says(conn, good) })
		p := newPool(t, b)
		if _, err := readAll(mustSend(t, p, b, get())); err != nil {
			t.Fatal(err)
		}
		_, err := send(t, p, b, post(&Upload{Body: strings.NewReader("a body"), Length: 6, Interrupt: func() {}}))
		var closed *ClosedError
		if !errors.As(err, &closed) || closed.First || !closed.Kept {
			t.Errorf("%#v", err)
		}
	})
	t.Run("while it was idle", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { says(conn, good); return false })
		p := newPool(t, b)
		for range 3 {
			if _, err := readAll(mustSend(t, p, b, get())); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the backend closes it", func() bool { open, _ := b.counts(); return open == 0 })
		}
	})
	t.Run("in the head", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { says(conn, "HTTP/1.1 200 OK\r\n"); return false })
		p := newPool(t, b)
		var closed *ClosedError
		if _, err := send(t, p, b, get()); err == nil || errors.As(err, &closed) {
			t.Errorf("%#v: an answer had begun", err)
		}
	})
	t.Run("nobody there", func(t *testing.T) {
		p := newPool(t)
		var op *net.OpError
		if _, err := p.Send(t.Context(), Key{Address: "127.0.0.1:1"}, limit, get()); !errors.As(err, &op) || op.Op != "dial" {
			t.Errorf("%#v", err)
		}
	})
}

func TestTimeouts(t *testing.T) {
	release := make(chan struct{})
	b := newBackend(t, func(conn net.Conn, r *http.Request, _ int) bool {
		if r.Method == "GET" {
			<-release
			return false
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return false
		}
		return says(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n") && func() bool { <-release; return says(conn, "good") }()
	})
	p := newPool(t, b)
	r := get()
	r.HeaderTimeout = 10 * time.Millisecond
	if _, err := send(t, p, b, r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	// Neither the time that a body takes counts, nor that of the answer's body.
	body, in := io.Pipe()
	r = post(&Upload{Body: body, Length: -1, Interrupt: func() {}})
	r.HeaderTimeout = 5 * time.Second
	go func() {
		_, _ = io.WriteString(in, "a body")
		_ = in.Close()
	}()
	x := mustSend(t, p, b, r)
	close(release)
	if got, err := readAll(x); err != nil || got != "good" {
		t.Errorf("%q, %v", got, err)
	}
}

// endless is a body without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestABodyThatIsNotTaken times out: the client that sends it may have gone, which nobody would hear of.
func TestABodyThatIsNotTaken(t *testing.T) {
	release := make(chan struct{})
	b := newBackend(t, func(net.Conn, *http.Request, int) bool {
		<-release // and reads nothing
		return false
	})
	defer close(release)
	p := newPool(t, b)
	for _, length := range []int64{-1, 1 << 40} {
		r := post(&Upload{Body: endless{}, Length: length, Interrupt: func() {}})
		r.HeaderTimeout = 100 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		_, err := p.Send(ctx, b.key, limit, r)
		if cancel(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("length %d: %v", length, err)
		}
	}
}

func TestWhatEndsAnExchange(t *testing.T) {
	for name, late := range map[string]bool{"before the head": false, "in the body": true} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{})
			b := newBackend(t, func(conn net.Conn, r *http.Request, _ int) bool {
				if late {
					says(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngo")
				}
				close(asked)
				_, _ = io.Copy(io.Discard, conn) // until it is closed
				return false
			})
			p := newPool(t, b)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-asked
				cancel()
			}()
			x, err := p.Send(ctx, b.key, limit, get())
			if err == nil {
				_, err = readAll(x)
			}
			if err == nil || !late && !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("abort after the end", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, good) })
		p := newPool(t, b)
		x := mustSend(t, p, b, get())
		if _, err := readAll(x); err != nil {
			t.Fatal(err)
		}
		x.Abort() // the connection is another's by now
		if _, err := readAll(mustSend(t, p, b, get())); err != nil {
			t.Error(err)
		}
		if _, all := b.counts(); all != 1 {
			t.Errorf("%d connections", all)
		}
	})
}

// held is a body whose end comes when it is interrupted.
type held struct {
	first string
	ended chan struct{}
	once  sync.Once
}

func (h *held) Read(p []byte) (int, error) {
	if h.first != "" {
		n := copy(p, h.first)
		h.first = h.first[n:]
		return n, nil
	}
	<-h.ended
	return 0, os.ErrDeadlineExceeded
}

func (h *held) interrupt() { h.once.Do(func() { close(h.ended) }) }

func TestUploads(t *testing.T) {
	long := strings.Repeat("0123456789", 100_000)
	b := newBackend(t, func(conn net.Conn, r *http.Request, _ int) bool {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		return says(conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Length: %d\r\nX-Trailer: %s\r\nContent-Length: %d\r\n\r\n%s", r.ContentLength, r.Trailer.Get("X-T"), len(body), body))
	})
	p := newPool(t, b)
	for _, body := range []string{"", "a", long} {
		for _, length := range []int64{-1, int64(len(body))} {
			r := post(&Upload{Body: strings.NewReader(body), Length: length, Interrupt: func() {}, Trailer: func() []http1.Field { return []http1.Field{{Name: "X-T", Value: "end"}} }})
			x := mustSend(t, p, b, r)
			fields := fmt.Sprint(x.Head.Fields)
			got, err := readAll(x)
			if err != nil || got != body || !strings.Contains(fields, fmt.Sprintf("X-Length %d}", length)) {
				t.Errorf("%d bytes of %d came back, %s, %v", len(got), len(body), fields, err)
			}
			if trailer := strings.Contains(fields, "X-Trailer end"); trailer != (length < 0) {
				t.Errorf("length %d: %s", length, fields)
			}
		}
	}
	if _, all := b.counts(); all != 1 {
		t.Errorf("%d connections for 6 uploads", all)
	}
}

// TestAnswersBeforeTheRequestHasEnded arrive, whole, and the connection is not used again.
func TestAnswersBeforeTheRequestHasEnded(t *testing.T) {
	for _, length := range []int64{-1, 1000} {
		for name, closes := range map[string]bool{"closes": true, "stays": false} {
			b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
				says(conn, "HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno")
				if !closes {
					_, _ = io.Copy(io.Discard, conn)
				}
				return false
			})
			p := newPool(t, b)
			body := &held{first: "abc", ended: make(chan struct{})}
			x := mustSend(t, p, b, post(&Upload{Body: body, Length: length, Interrupt: body.interrupt}))
			got, err := readAll(x)
			if err != nil || got != "no" || x.Head.Status != 401 || p.Kept() != 0 {
				t.Errorf("%s, length %d: %d %q, %v; %d kept", name, length, x.Head.Status, got, err, p.Kept())
			}
		}
	}
}

// TestABodyThatFails is never a whole one.
func TestABodyThatFails(t *testing.T) {
	whole := make(chan bool, 1)
	for _, u := range []*Upload{{Length: 1000, Body: strings.NewReader("abc")}, {Length: -1, Body: io.MultiReader(strings.NewReader("abc"), &failing{})}} {
		b := newBackend(t, func(_ net.Conn, r *http.Request, _ int) bool {
			_, err := io.ReadAll(r.Body)
			whole <- err == nil
			return false
		})
		p := newPool(t, b)
		u.Interrupt = func() {}
		if x, err := send(t, p, b, post(u)); err == nil {
			t.Errorf("answered %d", x.Head.Status)
			x.Close()
		}
		if <-whole {
			t.Error("the backend takes it for whole")
		}
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("the client is slow") }

func TestExpect(t *testing.T) {
	b := newBackend(t, func(conn net.Conn, r *http.Request, n int) bool {
		if n == 1 {
			says(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			body, err := io.ReadAll(r.Body)
			return err == nil && says(conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		}
		says(conn, "HTTP/1.1 417 No\r\nContent-Length: 2\r\n\r\nno")
		_, _ = io.Copy(io.Discard, conn)
		return false
	})
	p := newPool(t, b)
	if got, err := readAll(mustSend(t, p, b, post(&Upload{Body: strings.NewReader("a body"), Length: 6, Expect: true, Interrupt: func() {}}))); err != nil || got != "a body" {
		t.Errorf("%q, %v", got, err)
	}
	unread := strings.NewReader("a body")
	x := mustSend(t, p, b, post(&Upload{Body: unread, Length: 6, Expect: true, Interrupt: func() {}}))
	if got, err := readAll(x); err != nil || got != "no" || unread.Len() != 6 || p.Kept() != 0 {
		t.Errorf("%q, %v; %d bytes are unread", got, err, unread.Len())
	}
}

func TestInformationalAnswers(t *testing.T) {
	b := newBackend(t, func(conn net.Conn, r *http.Request, n int) bool {
		if n == 1 {
			return says(conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+good) && false
		}
		says(conn, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000)+good)
		return false
	})
	p := newPool(t, b)
	var told []int
	r := get()
	r.Informational = func(h *http1.Head) { told = append(told, h.Status) }
	if got, err := readAll(mustSend(t, p, b, r)); err != nil || got != "good" || fmt.Sprint(told) != "[103 102]" {
		t.Errorf("%q, %v, %v", got, told, err)
	}
	if x, err := send(t, p, b, r); err == nil {
		t.Error("a thousand of them are an answer")
		x.Close()
	}
}

func TestUpgrade(t *testing.T) {
	b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
		says(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\nhello ")
		_, _ = io.Copy(conn, conn)
		return false
	})
	p := newPool(t, b)
	if x, err := send(t, p, b, get()); err == nil {
		t.Error("101 for who has not asked")
		x.Close()
	}
	r := get()
	r.Upgrade = "websocket"
	x := mustSend(t, p, b, r)
	tunnel := x.Tunnel()
	if _, err := io.WriteString(tunnel, "world"); err != nil {
		t.Error(err)
	}
	if err := tunnel.CloseWrite(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(tunnel); err != nil || string(got) != "hello world" {
		t.Errorf("%q, %v", got, err)
	}
	x.Close()
	if p.Kept() != 0 {
		t.Error("it is kept")
	}
}

// TestPause: it is called before there is a wait, and not where the answer has ended.
func TestPause(t *testing.T) {
	paused := make(chan struct{})
	b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
		says(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n")
		<-paused
		return says(conn, "2\r\nod\r\n0\r\n\r\n")
	})
	p := newPool(t, b)
	x := mustSend(t, p, b, get())
	defer x.Close()
	calls, got := 0, ""
	for {
		piece, err := x.Next(func() {
			if calls++; calls == 1 {
				close(paused)
			}
		})
		got += string(piece)
		if err != nil {
			if err != io.EOF || got != "good" || calls == 0 {
				t.Errorf("%q, %v, %d pauses", got, err, calls)
			}
			return
		}
	}
}

func TestLargeHeads(t *testing.T) {
	for size, ok := range map[int]bool{5_000: true, 200_000: true, 300_000: false} {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
			return says(conn, "HTTP/1.1 200 OK\r\nX-A: "+strings.Repeat("a", size)+"\r\nContent-Length: 4\r\n\r\ngood")
		})
		p := newPool(t, b)
		x, err := send(t, p, b, get())
		if ok != (err == nil) || !ok && !errors.Is(err, http1.ErrTooLong) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if err == nil {
			if got, err := readAll(x); err != nil || got != "good" {
				t.Errorf("%d bytes: %q, %v", size, got, err)
			}
		}
	}
}
