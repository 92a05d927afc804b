package edge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// start3 starts a server that speaks HTTP/3 as well.
func start3(t testing.TB, handler http.HandlerFunc, change func(*Options)) *site {
	t.Helper()
	sockets, err := ListenPacket(t.Context(), "127.0.0.1:0", "listen.http3")
	if err != nil {
		t.Fatal(err)
	}
	return start(t, handler, func(o *Options) {
		o.HTTP3, o.HTTP3Port = sockets, 4433
		if change != nil {
			change(o)
		}
	})
}

// client3 resolves every name to the site, and speaks HTTP/3.
func (s *site) client3() *http.Client {
	transport := &http3.Transport{
		TLSClientConfig: s.tls(http3.NextProtoH3),
		Dial: func(ctx context.Context, _ string, config *tls.Config, quicConfig *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, s.opts.HTTP3[0].LocalAddr().String(), config, quicConfig)
		},
	}
	s.t.Cleanup(func() { _ = transport.Close() }) // the server may have gone
	return &http.Client{Transport: transport}
}

func TestHTTP3(t *testing.T) {
	t.Parallel()
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		fmt.Fprintf(w, "%s %s %s %s %q %s", r.Proto, r.Method, r.Host, r.RequestURI, body, r.TLS.ServerName)
	}, func(o *Options) { o.HSTS = true })
	response, body := s.get(s.client3(), "https://www."+domain+"/a%2fb?c=d")
	if want := `HTTP/3.0 GET www.` + domain + ` /a%2fb?c=d "" www.` + domain; body != want || response.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v; want %s", body, response.Header, want)
	}
	if response.Header["Alt-Svc"] != nil {
		t.Error("HTTP/3 tells of itself")
	}
	for _, protocol := range protocols {
		if response, _ := s.get(s.client(protocol), "https://www."+domain+"/"); response.Header.Get("Alt-Svc") != `h3=":4433"; ma=86400` {
			t.Errorf("%s: Alt-Svc %q", protocol, response.Header.Get("Alt-Svc"))
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://www."+domain+"/", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	response, err = s.client3().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(response.Body); err != nil || !strings.Contains(string(body), `POST www.`+domain+` / "hello"`) {
		t.Errorf("%s, %v", body, err)
	}
}

func TestHeadersBeyondTheLimitAre431OverHTTP3(t *testing.T) {
	t.Parallel()
	s := start3(t, hello, func(o *Options) { o.Limits.HeaderBytes = 16 << 10 })
	for size, want := range map[int]int{10 << 10: http.StatusOK, 64 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www."+domain+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Long", strings.Repeat("a", size))
		response, err := s.client3().Do(request)
		if err != nil || response.StatusCode != want {
			t.Errorf("%d bytes: %v, %v", size, response, err)
		}
	}
}

// stream opens a stream of a connection of its own, which is kept alive, and writes to it.
func (s *site) stream(t *testing.T, data []byte) (*quic.Stream, error) {
	t.Helper()
	conn, err := quic.DialAddr(t.Context(), s.opts.HTTP3[0].LocalAddr().String(), s.tls(http3.NextProtoH3), &quic.Config{KeepAlivePeriod: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.CloseWithError(0, "") }) // it may have ended
	stream, err := conn.OpenStreamSync(t.Context())
	if err != nil {
		return nil, err
	}
	_, err = stream.Write(data)
	return stream, err
}

// TestStreamsWithoutARequestHoldNoConnection: not one that sends a part of a header and keeps the connection alive.
func TestStreamsWithoutARequestHoldNoConnection(t *testing.T) {
	t.Parallel()
	s := start3(t, hello, func(o *Options) { o.Limits.IdleTime = 300 * time.Millisecond })
	eventually(t, "a connection that is kept alive is closed", func() bool {
		stream, err := s.stream(t, []byte{1, 0x40, 0xff, 0}) // a HEADERS frame of 255 bytes, of which there is one
		if err != nil {
			return false // the stream came too late
		}
		_, err = io.ReadAll(stream)
		var silent *quic.IdleTimeoutError
		var closed *quic.ApplicationError
		if errors.As(err, &silent) {
			return false // so did what keeps the connection alive
		}
		if !errors.As(err, &closed) || !closed.Remote || closed.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
			t.Errorf("%v, want the connection closed", err)
		}
		return true
	})
}

// TestABodyOfHTTP3IsInterrupted: what interrupts its reading does so while it waits.
func TestABodyOfHTTP3IsInterrupted(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		go func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }() // the read has the error
		_, err := io.ReadAll(r.Body)
		ended <- err
		w.WriteHeader(http.StatusRequestTimeout)
	}, nil)
	body, _ := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", "https://www."+domain+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 10
	response, err := s.client3().Do(request)
	if err != nil || response.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v, %v", response, err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestHTTP3Drains(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(arrived)
			<-leave
		}
		fmt.Fprint(w, "done")
	}, nil)
	client := s.client3()
	answered := make(chan string, 1)
	go func() {
		_, body := s.get(client, "https://www."+domain+"/slow")
		answered <- body
	}()
	<-arrived
	drained := make(chan error, 1)
	go func() { drained <- s.http3.Shutdown(t.Context()) }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www."+domain+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	for { // a request that comes before the shutdown has begun is answered
		if response, err := client.Do(request); err != nil {
			break
		} else if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(leave)
	if err := <-drained; err != nil || <-answered != "done" {
		t.Error(err)
	}
}

// TestWhatAHostAsksOfItsConnectionsHoldsForHTTP3: a client certificate, here.
func TestWhatAHostAsksOfItsConnectionsHoldsForHTTP3(t *testing.T) {
	t.Parallel()
	s := start3(t, hello, func(o *Options) {
		o.HostTLS = func(name string) *HostTLS {
			if name != "www."+domain {
				return nil
			}
			asks, err := NewHostTLS(0, readFile(t, o.Source.(*LocalCA).Path()))
			if err != nil {
				t.Error(err)
			}
			return asks
		}
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://www."+domain+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := s.client3().Do(request); err == nil {
		t.Errorf("without a certificate: %v", response)
	}
	client := s.client3()
	client.Transport.(*http3.Transport).TLSClientConfig.ServerName = "other." + domain
	if _, err := client.Do(request); err != nil {
		t.Errorf("another host: %v", err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestARequestOfHTTP3IsEnded by a write deadline that has passed, as that of a session which is over: whether it waits for something
// else or for its body, and its client learns that there is no whole answer.
func TestARequestOfHTTP3IsEnded(t *testing.T) {
	t.Parallel()
	s := start3(t, func(w http.ResponseWriter, r *http.Request) {
		go func() { _ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) }() // the request's end says whether it worked
		if r.URL.Path == "/upload" {
			if _, err := io.ReadAll(r.Body); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the body: %v", err)
			}
			return
		}
		<-r.Context().Done()
	}, nil)
	for _, path := range []string{"/wait", "/upload"} {
		body, _ := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), "POST", "https://www."+domain+path, body)
		if err != nil {
			t.Fatal(err)
		}
		var reset *http3.Error
		if response, err := s.client3().Do(request); !errors.As(err, &reset) || !reset.Remote {
			t.Errorf("%s: %v, %v; want a reset", path, response, err)
		}
	}
}

// TestTooManyConnectionsOfHTTP3AreRefused: which is logged once, and again only after there was room.
func TestTooManyConnectionsOfHTTP3AreRefused(t *testing.T) {
	t.Parallel()
	const most = 4
	s := start3(t, hello, func(o *Options) { o.Limits.Connections = most })
	dial := func() (*quic.Conn, error) {
		return quic.DialAddr(t.Context(), s.opts.HTTP3[0].LocalAddr().String(), s.tls(http3.NextProtoH3), nil)
	}
	refused := func() int { return strings.Count(s.log.String(), "connections of HTTP/3 are refused") }
	for round := range 2 {
		var open []*quic.Conn
		for len(open) < most {
			eventually(t, "a connection", func() bool {
				conn, err := dial()
				if err == nil {
					open = append(open, conn)
				}
				return err == nil
			})
		}
		before := refused()
		for range 3 {
			if conn, err := dial(); err == nil {
				t.Errorf("one more than %d is accepted: %v", most, conn.RemoteAddr())
			}
		}
		if got := refused() - before; round == 0 && got != 1 {
			t.Errorf("it is logged %d times", got)
		}
		for _, conn := range open {
			if err := conn.CloseWithError(0, ""); err != nil {
				t.Error(err)
			}
		}
	}
}
