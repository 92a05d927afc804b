package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
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
	b := &backend{key: Key{Address: listener.Addr().String(), IdleTimeout: time.Minute}}
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
	r.HeaderTimeout = limit
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

func (endless) Read(p []byte) (int, error) { return len(p), nil }

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

func (*failing) Read([]byte) (int, error) { return 0, errors.New("the client is slow") }

// TestAPieceThatIsKeptStaysGood, whatever is read behind it.
func TestAPieceThatIsKeptStaysGood(t *testing.T) {
	var all strings.Builder
	for i := range 40_000 {
		fmt.Fprintf(&all, "%08d", i)
	}
	for name, answer := range map[string]string{
		"with a length": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", all.Len(), &all),
		"chunked":       fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", all.Len(), &all),
	} {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return says(conn, "HTTP/1.1 200 OK\r\n"+answer) })
		x := mustSend(t, newPool(t, b), b, get())
		var got []byte
		var kept []byte
		for len(got) < all.Len()/2 {
			piece, err := x.Next(nil)
			if err != nil {
				t.Fatal(err)
			}
			got, kept = append(got, piece...), piece
		}
		x.Keep()
		rest, err := readAll(x)
		if err != nil || string(got)+rest != all.String() {
			t.Errorf("%s: %d bytes of %d, or others, %v", name, len(got)+len(rest), all.Len(), err)
		}
		if !bytes.HasSuffix(got, kept) {
			t.Errorf("%s: the piece has become another one", name)
		}
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

// TestUpgradeToSomethingElse: 101 for another protocol, or for more than was asked for, is no answer.
func TestUpgradeToSomethingElse(t *testing.T) {
	for name, lines := range map[string]string{
		"none":     "Connection: upgrade\r\n",
		"another":  "Connection: upgrade\r\nUpgrade: h2c\r\n",
		"two":      "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
		"a list":   "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
		"no ASCII": "Connection: upgrade\r\nUpgrade: websoc\u212aet\r\n",
		"no token": "Connection: close\r\nUpgrade: websocket\r\n",
	} {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
			says(conn, "HTTP/1.1 101 Switching Protocols\r\n"+lines+"\r\n")
			return false
		})
		r := get()
		r.Upgrade = "websocket"
		if x, err := send(t, newPool(t, b), b, r); err == nil {
			t.Errorf("%s: it has switched", name)
			x.Close()
		}
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
	if p.IdleCount() != 0 {
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

// TestPollWaitsForNothing, and loses nothing where it would have to, as in the middle of a chunk's line.
func TestPollWaitsForNothing(t *testing.T) {
	t.Parallel()
	parts := []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2", "\r\ng", "o\r\n2;a=b\r", "\nod\r\n0\r\n", "\r\n"}
	said := make(chan struct{})
	answer := func(conn net.Conn) bool {
		for i, part := range parts {
			if i > 0 {
				<-said
			}
			says(conn, part)
		}
		return true
	}
	plain := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return answer(conn) })
	for _, key := range []Key{plain.key, newTLSBackend(t, func(conn *tls.Conn, _ *http.Request) bool { return answer(conn) })} {
		p := NewPool(8, 16)
		t.Cleanup(p.Close)
		x := sendTo(t, p, key)
		got, idle := "", 0
		for {
			piece, ready, err := x.Poll()
			if !ready {
				idle++
				said <- struct{}{}
				piece, err = x.Next(nil)
			}
			got += string(piece)
			if err != nil {
				if err != io.EOF || got != "good" || idle != len(parts)-1 {
					t.Errorf("%q, %v; not ready %d times", got, err, idle)
				}
				break
			}
		}
		x.Close()
	}
}

// TestAnAnswerThatIsResetIsNoWholeOne, where its end is its connection's: whether its reader waits for the rest, or comes when it has been
// reset.
func TestAnAnswerThatIsResetIsNoWholeOne(t *testing.T) {
	t.Parallel()
	taken, reset := make(chan struct{}), make(chan struct{})
	b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool {
		says(conn, "HTTP/1.1 200 OK\r\n\r\nhalf")
		<-taken
		if err := errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()); err != nil {
			t.Error(err)
		}
		reset <- struct{}{}
		return false
	})
	p := newPool(t, b)
	for _, waits := range []bool{true, false} {
		x := mustSend(t, p, b, get())
		if piece, err := x.Next(func() {}); string(piece) != "half" || err != nil {
			t.Fatalf("%q, %v", piece, err)
		}
		if !waits {
			taken <- struct{}{}
			<-reset
		}
		_, err := x.Next(func() {
			if waits {
				taken <- struct{}{}
				<-reset
			}
		})
		if err == nil || err == io.EOF {
			t.Errorf("waits %v: %v", waits, err)
		}
		x.Close()
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
