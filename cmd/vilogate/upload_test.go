package main_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// echoAtOnce answers with the request's body, each piece as soon as it arrives.
func echoAtOnce(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if err := control.EnableFullDuplex(); err != nil { // as node does by nature: q.pipe(r)
			t.Error(err)
		}
		piece := make([]byte, 16<<10)
		for {
			n, err := r.Body.Read(piece)
			if _, failed := w.Write(piece[:n]); failed != nil || err != nil {
				return
			}
			if err := control.Flush(); err != nil {
				return
			}
		}
	}
}

// TestUploadThatIsAnsweredWhileItIsRead: no byte of a body is lost when the backend's answer begins before the body has
// ended. A body has one reader.
func TestUploadThatIsAnsweredWhileItIsRead(t *testing.T) {
	t.Parallel()
	s := streaming(t, echoAtOnce(t))
	sent := make([]byte, 3_000_000)
	if _, err := rand.Read(sent); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, length := range []int64{-1, int64(len(sent))} {
			for range 3 {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url("app", "/public/echo"), io.NopCloser(bytes.NewReader(sent)))
				if err != nil {
					t.Fatal(err)
				}
				request.ContentLength = length
				response, err := c.http.Do(request)
				if err != nil {
					t.Fatalf("%s, length %d: %v", protocol, length, err)
				}
				got, err := io.ReadAll(response.Body)
				closeQuietly(t, response.Body)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%s, length %d: %d of %d bytes came back, the same up to %d, error %v", protocol, length, len(got), len(sent), commonPrefix(got, sent), err)
				}
			}
		}
	}
}

func commonPrefix(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestRequestsBehindABodyThatNobodyRead: what the backend leaves of a body is never the next request. The connection serves
// the next one, or its answer has said that it ends.
func TestRequestsBehindABodyThatNobodyRead(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/public/some" {
			if _, err := io.ReadFull(r.Body, make([]byte, 1000)); err != nil {
				t.Error(err)
			}
		}
		w.WriteHeader(http.StatusAccepted)
	})
	for _, framing := range []string{"Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000), "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("x", 100_000) + "\r\n0\r\n\r\n"} {
		var conn net.Conn
		var from *bufio.Reader
		for i := range 20 {
			for _, sent := range []string{
				"POST /public/" + []string{"none", "some"}[i%2] + " HTTP/1.1\r\nHost: app.viloforge.test\r\n" + framing,
				"GET /public/next HTTP/1.1\r\nHost: app.viloforge.test\r\n\r\n",
			} {
				if conn == nil {
					conn = s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
					from = bufio.NewReader(conn)
				}
				if _, err := io.WriteString(conn, sent); err != nil {
					t.Fatalf("request %d, %.30q: %v", i, sent, err)
				}
				got := readAnswer(t, from, "POST")
				if got.status != http.StatusAccepted {
					t.Fatalf("request %d, %.30q: status %d", i, sent, got.status)
				}
				if got.header.Get("Connection") == "close" {
					conn = nil
				}
			}
		}
	}
}

// TestAnswersBeforeTheBodyHasEnded: an early answer of the backend reaches its end while the client still holds the rest of
// its body back, and says that the connection ends.
func TestAnswersBeforeTheBodyHasEnded(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil { // as other servers do by nature
			t.Error(err)
		}
		switch r.URL.Path {
		case "/public/chunked":
			w.WriteHeader(http.StatusUnauthorized)
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "no")
		default:
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "no")
		}
	})
	for path, status := range map[string]int{"/public/chunked": 401, "/public/length": 401} {
		for _, framing := range []string{"Content-Length: 1000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"} {
			conn := s.handshake(t, s.tls("app.viloforge.test", "http/1.1"))
			if _, err := io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: app.viloforge.test\r\n"+framing); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // a last limit: the edge waits for bodies without one
				t.Fatal(err)
			}
			got := readAnswer(t, bufio.NewReader(conn), "POST")
			if got.status != status || status == 401 && got.body != "no" || got.header.Get("Connection") != "close" {
				t.Errorf("%s, %.20q: %d %q, Connection %q", path, framing, got.status, got.body, got.header.Get("Connection"))
			}
		}
	}
}

// TestLargeUploads: a body of any length goes through as it comes, and is never held.
func TestLargeUploads(t *testing.T) {
	t.Parallel()
	s := streaming(t, func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		n, err := io.Copy(hash, r.Body)
		if err != nil {
			t.Errorf("the backend reads the body: %v", err)
		}
		fmt.Fprintf(w, "%d %x %d", n, hash.Sum(nil), r.ContentLength)
	})
	alice := sessionOf(t, s)
	const size = 64 << 20
	hash := sha256.New()
	if _, err := io.CopyN(hash, pattern{}, size); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range []string{"h2", "http/1.1"} {
		for _, length := range []int64{size, -1} {
			c := newClient(t, s, s.tls("", protocol))
			request, err := http.NewRequestWithContext(context.Background(), http.MethodPut, s.url("app", "/x"), io.NopCloser(io.LimitReader(pattern{}, size)))
			if err != nil {
				t.Fatal(err)
			}
			request.ContentLength = length
			request.Header.Set("Cookie", ssoCookie+"="+alice)
			request.Header.Set("Origin", "https://app.viloforge.test")
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			closeQuietly(t, response.Body)
			if want := fmt.Sprintf("%d %x %d", size, hash.Sum(nil), length); err != nil || string(body) != want {
				t.Errorf("%s, length %d: got %q (%v), want %q", protocol, length, body, err, want)
			}
		}
	}
}

// pattern is an endless body whose bytes differ.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}
