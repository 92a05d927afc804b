package client

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

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
	b.key.IdleTimeout = 50 * time.Millisecond
	p := newPool(t, b)
	if _, err := readAll(mustSend(t, p, b, get())); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the timer closes it", func() bool { open, _ := b.counts(); return open == 0 && p.IdleCount() == 0 })
	b.key.IdleTimeout = -1
	p.Add(b.key)
	if _, err := readAll(mustSend(t, p, b, get())); err != nil || p.IdleCount() != 0 {
		t.Errorf("%d are kept of those that are not to be: %v", p.IdleCount(), err)
	}
	b.key.IdleTimeout = time.Hour
	p.Add(b.key)
	x := mustSend(t, p, b, get())
	p.Retire(func(Key) bool { return false })
	if _, err := readAll(x); err != nil || p.IdleCount() != 0 {
		t.Errorf("%d are kept of a key that was retired: %v", p.IdleCount(), err)
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
		if want := min(i+1, 8); i < 10 && p.IdleCount() != want {
			t.Errorf("%d are kept of one key, want %d", p.IdleCount(), want)
		}
	}
	if p.IdleCount() != 16 {
		t.Errorf("%d are kept, want 16", p.IdleCount())
	}
}

func TestConnectionsThatAreClosed(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		b := newBackend(t, func(conn net.Conn, _ *http.Request, _ int) bool { return false })
		p := newPool(t, b)
		_, err := send(t, p, b, get())
		var closed *ClosedError
		if !errors.As(err, &closed) || !closed.First || closed.Reused {
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
		if !errors.As(err, &closed) || closed.First || !closed.Reused {
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
