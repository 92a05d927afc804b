package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// streaming is a site whose backend is a handler of the test's own.
func streaming(t *testing.T, handler http.HandlerFunc) *site {
	t.Helper()
	backend := httptest.NewServer(handler)
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q, buffer: { request: off } } }\n", backend.URL),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public }
  - { path: /socket, allow: authenticated, websocket: true }
  - { path: "/*rest", allow: authenticated }
`,
	})
	return s
}

// TestServerSentEvents: each event arrives when it is sent, not when the stream ends.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	s := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
				return
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Errorf("flush: %v", err)
			}
			<-next
		}
	})
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := newClient(t, s, s.tls("", protocol))
		request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url("app", "/public/events"), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(response.Body)
		for i := range 3 {
			line, err := reader.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
				t.Fatalf("%s: read %q (%v), want %q while the stream is open", protocol, line, err, want)
			}
			if _, err := reader.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			next <- struct{}{}
		}
		closeQuietly(t, response.Body)
	}
}

// TestConversation: client and backend may take turns within one request, in both protocols.
func TestConversation(t *testing.T) {
	t.Parallel()
	s := streaming(t, echoAtOnce(t))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		body, in := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/talk"), body)
		if err != nil {
			t.Fatal(err)
		}
		say := func(line string) {
			if _, err := io.WriteString(in, line+"\n"); err != nil {
				t.Errorf("%s: %v", protocol, err)
			}
		}
		go say("first")
		response, err := c.http.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", protocol, err)
		}
		answers := bufio.NewScanner(response.Body)
		for i, want := range []string{"first", "second", "third"} {
			if i > 0 {
				say(want)
			}
			if !answers.Scan() || answers.Text() != want {
				t.Fatalf("%s: %q, want %q: %v", protocol, answers.Text(), want, answers.Err())
			}
		}
		if err := errors.Join(in.Close(), response.Body.Close()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}

// TestClientCancellation: when the client goes, the backend hears of it.
func TestClientCancellation(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	s := streaming(t, func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
		gone <- struct{}{}
	})
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := newClient(t, s, s.tls("", protocol))
		ctx, cancel := context.WithCancel(context.Background())
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("app", "/public/slow"), nil)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error, 1)
		go func() {
			response, err := c.http.Do(request)
			if err == nil {
				err = fmt.Errorf("answered %s", response.Status)
				closeQuietly(t, response.Body)
			}
			failed <- err
		}()
		wait(t, arrived, protocol+": the request arrives")
		cancel()
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", protocol, err)
		}
		wait(t, gone, protocol+": the backend hears that the client is gone")
	}
}

// TestHalfClosedClient: a client that has ended its side may still be reading. It may be told nothing, but no success
// that there was not.
func TestHalfClosedClient(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
		<-r.Context().Done() // as the gateway takes it: nobody is there any more
	})
	conn := s.handshake(t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, request{host: appHost, target: "/public/x"}.text()); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := readAnswer(t, bufio.NewReader(conn), http.MethodGet); got.status != 0 && got.status < 400 {
		t.Errorf("got %v, although the backend has answered nothing", got)
	}
}

func wait(t *testing.T, signal <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(waitTimeout):
		t.Fatalf("waited in vain: %s", what)
	}
}

// sessionOf makes the user alice and signs her in.
func sessionOf(t *testing.T, s *site) string {
	t.Helper()
	s.addUser("alice", "member")
	return s.client().login("alice").sso()
}
