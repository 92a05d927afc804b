package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// endless is a body without an end.
type endless struct{}

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

// held is a body whose end comes when it is interrupted.
type held struct {
	first string
	ended chan struct{}
	once  sync.Once
}

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
			if length == 0 {
				continue // nothing is uploaded then: an answer would come before the body is looked at
			}
			r := post(&Upload{Body: strings.NewReader(body), Length: length, Interrupt: func() {}, Trailer: func() field.List { return field.List{{Name: "X-T", Value: "end"}} }, timeout: limit})
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
		t.Errorf("%d connections for 5 uploads", all)
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
			if err != nil || got != "no" || x.Head.Status != 401 || p.IdleCount() != 0 {
				t.Errorf("%s, length %d: %d %q, %v; %d kept", name, length, x.Head.Status, got, err, p.IdleCount())
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
	x := mustSend(t, p, b, post(&Upload{Body: unread, Length: 6, Expect: true, Interrupt: func() {}, timeout: limit}))
	if got, err := readAll(x); err != nil || got != "no" || unread.Len() != 6 || p.IdleCount() != 0 {
		t.Errorf("%q, %v; %d bytes are unread", got, err, unread.Len())
	}
}
