package idp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that their deadlines follow the clock of a synctest bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p <- theirs
	return ours, nil
}

// forgetful takes the deadline of HTTP/1 back at the first read, as a gateway in the same process does.
type forgetful struct {
	io.ReadCloser
	control *http.ResponseController
	begun   bool
}

func (f *forgetful) Read(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		if err := f.control.SetReadDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
	return f.ReadCloser.Read(p)
}

// wrapped hides all of a writer but what Unwrap shows.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestAFormThatNeverEndsHoldsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	protocols := map[string]*http.Protocols{"HTTP/1.1": {}, "HTTP/2.0": {}}
	protocols["HTTP/1.1"].SetHTTP1(true)
	protocols["HTTP/2.0"].SetUnencryptedHTTP2(true)
	for name, spoken := range protocols {
		for what, test := range map[string]struct {
			begins string
			status int
			after  time.Duration
		}{
			"nothing":  {"", http.StatusRequestTimeout, formTimeout},
			"a part":   {"username=alice&", http.StatusRequestTimeout, formTimeout},
			"too much": {strings.Repeat("x", maxForm+1), http.StatusRequestEntityTooLarge, 0},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					listener := make(pipes)
					server := &http.Server{Protocols: spoken, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
						again := r.WithContext(r.Context())
						if again.ProtoMajor == 1 {
							again.Body = &forgetful{ReadCloser: r.Body, control: http.NewResponseController(rw)}
						}
						w.idp.ServeHTTP(wrapped{rw}, again)
					})}
					served := make(chan error, 1)
					go func() { served <- server.Serve(listener) }()
					transport := &http.Transport{Protocols: spoken, DialContext: listener.dial}
					body, more := io.Pipe()
					began := time.Now()
					go func() { _, _ = io.WriteString(more, test.begins) }()
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+loginHost+"/login", body)
					if err != nil {
						t.Fatal(err)
					}
					r.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"}}
					response, err := transport.RoundTrip(r)
					if err != nil {
						t.Fatal(err)
					}
					if took := time.Since(began); response.StatusCode != test.status || response.Proto != name || took != test.after {
						t.Errorf("%s %d after %v, want %d after %v", response.Proto, response.StatusCode, took, test.status, test.after)
					}
					_, err = io.Copy(io.Discard, response.Body)
					err = errors.Join(err, response.Body.Close(), more.Close())
					transport.CloseIdleConnections()
					close(listener)
					if err := errors.Join(err, server.Close()); err != nil {
						t.Error(err)
					}
					if err := <-served; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
				})
			})
		}
	}
}
