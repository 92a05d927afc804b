package http2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// openTunnel begins the handshake of a WebSocket.
func (p *peer) openTunnel(id uint32, end bool, fields ...string) {
	p.t.Helper()
	p.request(id, "CONNECT", end, append([]string{":protocol", "websocket", ":path", "/socket?x=1"}, fields...)...)
}

// switched is the tunnel of a request that asks for one.
func switched(t *testing.T, w http.ResponseWriter) io.ReadWriteCloser {
	t.Helper()
	head := field.List{{Name: "Upgrade", Value: "websocket"}, {Name: "Connection", Value: "Upgrade"}, {Name: "Sec-WebSocket-Protocol", Value: "chat"}}
	tunnel, err := w.(interface {
		SwitchProtocols(field.List) (io.ReadWriteCloser, error)
	}).SwitchProtocols(head)
	if err != nil {
		t.Error(err)
		panic(http.ErrAbortHandler)
	}
	return tunnel
}

// TestTunnel: a handshake is the GET that it stands for, and what follows passes both ways until both have ended.
func TestTunnel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			tunnel := switched(t, w)
			fmt.Fprintf(tunnel, "%s %s %s %q %q %d|", r.Method, r.Host, r.RequestURI, r.Header["Upgrade"], r.Header["Connection"], r.ContentLength)
			if n, err := r.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("the request has a body: %v", err)
			}
			if _, err := io.Copy(tunnel, tunnel); err != nil {
				t.Error(err)
			}
			if err := tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
			if _, err := tunnel.Write([]byte("behind the end")); err == nil {
				t.Error("something is sent behind the end")
			}
		}, nil))
		p.openTunnel(1, false, "trailer", "x", "expect", "100-continue")
		p.write(p.WriteData(1, false, []byte("early ")))
		head := p.of(http2.FrameHeaders)
		if head.ends || head.field(":status") != "200" || head.field("sec-websocket-protocol") != "chat" || head.field("upgrade")+head.field("connection")+head.field("content-length") != "" {
			t.Errorf("answered by %v", head)
		}
		p.write(p.WriteData(1, false, []byte("later")))
		want := `GET www.example.com /socket?x=1 ["websocket"] ["Upgrade"] 0|early later`
		got := ""
		for got != want && strings.HasPrefix(want, got) {
			got += p.of(http2.FrameData).data
		}
		if got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		synctest.Wait()
		p.write(p.WriteData(1, true, nil))
		if e := p.read(); e.kind != http2.FrameData || !e.ends {
			t.Errorf("the end is %v", e)
		}
		p.stays()
		if p.server.hasRequests() {
			t.Error("the stream is still open")
		}
	})
}

// TestTunnelEnds: what a reset means to the other side, and what a handler says that ends before its client.
func TestTunnelEnds(t *testing.T) {
	for name, c := range map[string]struct {
		handler func(t *testing.T, r *http.Request, tunnel io.ReadWriteCloser)
		client  func(p *peer)
		code    http2.ErrCode
	}{
		"closed": {func(_ *testing.T, _ *http.Request, tunnel io.ReadWriteCloser) { _ = tunnel.Close() }, nil, http2.ErrCodeCancel},
		"left":   {func(*testing.T, *http.Request, io.ReadWriteCloser) {}, nil, http2.ErrCodeCancel},
		"failed": {func(*testing.T, *http.Request, io.ReadWriteCloser) { panic(http.ErrAbortHandler) }, nil, http2.ErrCodeInternal},
		"half closed": {func(_ *testing.T, _ *http.Request, tunnel io.ReadWriteCloser) {
			_ = tunnel.(interface{ CloseWrite() error }).CloseWrite()
		}, nil, http2.ErrCodeNo},
		"closed by another while it is read": {func(t *testing.T, _ *http.Request, tunnel io.ReadWriteCloser) {
			go func() { _ = tunnel.Close() }()
			if _, err := tunnel.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("read: %v", err)
			}
		}, nil, http2.ErrCodeCancel},
		"reset by the client": {func(t *testing.T, r *http.Request, tunnel io.ReadWriteCloser) {
			if _, err := tunnel.Read(make([]byte, 1)); !errors.Is(err, errReset) {
				t.Errorf("read: %v", err)
			}
			if _, err := tunnel.Write(make([]byte, 1)); !errors.Is(err, errReset) {
				t.Errorf("write: %v", err)
			}
			<-r.Context().Done()
		}, func(p *peer) { p.write(p.WriteRSTStream(1, http2.ErrCodeCancel)) }, 0},
		"header fields in it": {func(t *testing.T, _ *http.Request, tunnel io.ReadWriteCloser) {
			if _, err := tunnel.Read(make([]byte, 1)); err == nil || err == io.EOF {
				t.Errorf("read: %v", err)
			}
		}, func(p *peer) {
			p.write(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("-", ":scheme", "-", ":authority", "-", ":path", "-", "x", "1"), EndHeaders: true, EndStream: true}))
		}, http2.ErrCodeProtocol},
		"more than the window": {func(t *testing.T, r *http.Request, _ io.ReadWriteCloser) { <-r.Context().Done() }, func(p *peer) {
			for range 9 { // of 64 KiB
				p.write(p.WriteData(1, false, make([]byte, maxFrameLength)))
			}
		}, http2.ErrCodeFlowControl},
		"nothing is taken": {func(t *testing.T, _ *http.Request, tunnel io.ReadWriteCloser) {
			began := time.Now()
			for {
				if _, err := tunnel.Write(make([]byte, maxFrameLength)); err != nil {
					break
				}
			}
			if took := time.Since(began); took != time.Minute {
				t.Errorf("held for %v", took)
			}
		}, nil, http2.ErrCodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				left := make(chan struct{})
				p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
					defer close(left)
					c.handler(t, r, switched(t, w))
				}, func(o *Options) { o.Limits.StreamWindow = 128 << 10 }))
				p.openTunnel(1, false)
				if head := p.of(http2.FrameHeaders); head.field(":status") != "200" {
					t.Fatal(head)
				}
				if c.client != nil {
					synctest.Wait()
					c.client(p)
				}
				if c.client == nil || c.code != 0 {
					if e := p.of(http2.FrameRSTStream); e.code != c.code {
						t.Errorf("reset with %v, want %v", e.code, c.code)
					}
				}
				<-left
				p.stays()
			})
		})
	}
}

// TestTunnelWindow: a client may send as much ahead as was read, and no more.
func TestTunnelWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		read := make(chan int)
		p := dial(t, newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			tunnel := switched(t, w)
			for n := range read {
				if _, err := io.ReadFull(tunnel, make([]byte, n)); err != nil {
					t.Error(err)
				}
			}
		}, func(o *Options) { o.Limits.StreamWindow = 16 << 10 }))
		p.openTunnel(1, false)
		p.of(http2.FrameHeaders)
		p.write(p.WriteData(1, false, make([]byte, 16<<10)))
		p.stays()
		for range 8 {
			read <- 2 << 10
			if e := p.of(http2.FrameWindowUpdate); e.stream != 1 || e.n != 2<<10 {
				t.Errorf("%d bytes of stream %d are given back", e.n, e.stream)
			}
		}
		close(read)
	})
}

// TestAnswersToAHandshake: who does not switch can say anything but success.
func TestAnswersToAHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.RawQuery {
			case "nothing":
			case "page":
				if _, err := io.WriteString(w, "a page"); err != nil {
					t.Error(err)
				}
			default:
				http.Error(w, "no", http.StatusForbidden)
			}
		}, nil))
		for i, c := range []struct{ fields, want string }{
			{":path /?no", "403"},
			{":path /?nothing", ""},
			{":path /?page", ""},
			{":path /?no :protocol webtransport", "501"},
			{":path /?no :protocol WebSocket", "501"},
		} {
			id := uint32(2*i + 1)
			fields := strings.Fields(c.fields)
			if len(fields) == 2 {
				fields = append(fields, ":protocol", "websocket")
			}
			p.request(id, "CONNECT", false, fields...)
			got := p.answer(id)
			if got.status() != c.want || c.want == "" && (got.reset == nil || *got.reset != http2.ErrCodeInternal) {
				t.Errorf("%s: answered by %q %v", c.fields, got.status(), got.reset)
			}
			if c.want != "" {
				if end := p.answer(id); end.reset == nil || *end.reset != http2.ErrCodeNo {
					t.Errorf("%s: then %v", c.fields, end)
				}
			}
		}
		p.stays()
	})
}

// TestOnlyAHandshakeSwitches: other requests have no tunnel, nor has one that was answered.
func TestOnlyAHandshakeSwitches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && r.Header.Get("Upgrade") != "" {
				w.WriteHeader(http.StatusForbidden)
			}
			if _, err := w.(*writer).SwitchProtocols(nil); !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%s: %v", r.Method, err)
			}
		}, nil))
		p.request(1, "GET", true)
		if got := p.answer(1); got.status() != "200" {
			t.Error(got)
		}
		p.request(3, "CONNECT", false, ":path", "-", ":scheme", "-")
		if got := p.answer(3); got.status() != "200" {
			t.Error(got)
		}
		p.openTunnel(5, false)
		if got := p.answer(5); got.status() != "403" {
			t.Error(got)
		}
	})
}

// TestShutdownWithTunnels waits for them; when there is no more time, they are no requests that are cut off.
func TestShutdownWithTunnels(t *testing.T) {
	for name, other := range map[string]bool{"alone": false, "beside a request": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/socket" {
						_, _ = io.Copy(io.Discard, switched(t, w))
						return
					}
					<-r.Context().Done()
				}, nil)
				p := dial(t, s)
				p.openTunnel(1, false)
				p.of(http2.FrameHeaders)
				if other {
					p.request(3, "GET", true)
					synctest.Wait()
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				began := time.Now()
				if err := s.Shutdown(ctx); (err != nil) != other || time.Since(began) != time.Minute {
					t.Errorf("ended after %v: %v", time.Since(began), err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
