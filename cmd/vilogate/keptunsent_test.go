package main_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// notAccepting is an address at which connections stay unanswered, since too many wait there already. accept has a handler serve
// those that come from then on.
func notAccepting(t *testing.T) (address string, accept func(http.Handler)) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	// It is listened on once more later: by then no connection may have its port.
	at := netip.MustParseAddrPort(freeAddress(t))
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	listener, err := net.FileListener(file)
	closeQuietly(t, file)
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	for {
		waiting, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break
		}
		t.Cleanup(func() { closeQuietly(t, waiting) })
	}
	return address, func(handler http.Handler) {
		closeQuietly(t, listener) // and with it all that wait
		listener, err := net.Listen("tcp4", address)
		if err != nil {
			t.Fatal(err)
		}
		server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
		server.Start()
		t.Cleanup(server.Close)
	}
}

// TestAKeptFormWhoseSenderGivesUpIsStillKept: they press the button, the backend takes no connections, and they leave: what never
// left the gateway is there when they come back.
func TestAKeptFormWhoseSenderGivesUpIsStillKept(t *testing.T) {
	t.Parallel()
	for protocol, alpn := range map[string]string{"HTTP1.1": "http/1.1", "HTTP2": "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			address, accept := notAccepting(t)
			s := serve(t, map[string]string{
				"vilogate.yaml":     serveConfig + ownIdP + "upstreams: { app: { url: \"http://" + address + "\" } }\n",
				"policies/app.yaml": attackedPolicy,
			})
			s.addUser("alice", "member")
			c := newClient(t, s, s.tls("", alpn)).login("alice")
			c.endSession()
			k := newKept(t, c, "/orders")
			at, page := k.page(k.send(), "alice")
			button := formIn(t, at, page.body, "vilogate_kept")
			ctx, giveUp := context.WithCancel(t.Context())
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, button.action, strings.NewReader(button.fields.Encode()))
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range append([]string{"Content-Type: " + k.contentType}, formHeader...) {
				name, value, _ := strings.Cut(line, ": ")
				r.Header.Set(name, value)
			}
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if response, err := c.http.Do(r); err == nil {
					t.Errorf("the button was answered %s", response.Status)
					closeQuietly(t, response.Body)
				}
			}()
			eventually(t, "it is on its way", func() bool { return c.open(at).status == http.StatusGone })
			giveUp()
			<-gone
			within(t, unhelped, "it is kept again", func() bool { return c.open(at).status == http.StatusOK })
			var arrived atomic.Int32
			accept(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if body, err := io.ReadAll(r.Body); err == nil && string(body) == k.body && r.URL.Path == "/orders" {
					arrived.Add(1)
				}
			}))
			if got := c.submit(button); got.status != http.StatusOK || arrived.Load() != 1 {
				t.Errorf("the button, pressed again: %v; the backend got %d forms", got, arrived.Load())
			}
		})
	}
}

// TestNobodysFormIsJudgedByItsHeader: what looks like the button of a kept form, and holds its body back, gets its answer at once.
func TestNobodysFormIsJudgedByItsHeader(t *testing.T) {
	t.Parallel()
	s, _ := signing(t, "access_token_ttl: 1h")
	for _, cookie := range []string{"mine=1", "__Host-vilogate-kept-" + strings.Repeat("A", 26) + "=forged"} {
		form := request{method: http.MethodPost, host: appHost, target: "/x", header: append([]string{
			"Content-Length: 40", "Content-Type: application/x-www-form-urlencoded", "Cookie: " + cookie,
		}, formHeader...)}
		conn := s.h2(t, appHost)
		if got := conn.read(conn.headers(form.fields(), false)); got.status != http.StatusUnauthorized {
			t.Errorf("with %s: %v", cookie, got)
		}
	}
}
