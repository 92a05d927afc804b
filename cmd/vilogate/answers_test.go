package main_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// scriptedBackend hands each request to a function, which answers on the bare connection, and returns false to have it closed.
// n counts the requests of all connections from 1, and of is the number of the connection.
func scriptedBackend(t *testing.T, answer func(conn net.Conn, n, of int) bool) (address string) {
	t.Helper()
	listener := listenLoopback(t)
	var conns sync.WaitGroup
	var requests, accepted atomic.Int32
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			of := int(accepted.Add(1))
			conns.Go(func() {
				defer closeQuietly(t, conn)
				for reader := bufio.NewReader(conn); ; {
					request, err := http.ReadRequest(reader)
					if err != nil || !answer(conn, int(requests.Add(1)), of) {
						return
					}
					if _, err := io.Copy(io.Discard, request.Body); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { closeQuietly(t, listener) })
	return listener.Addr().String()
}

// says writes an answer as it is.
func says(t *testing.T, conn net.Conn, text string) {
	if _, err := io.WriteString(conn, text); err != nil {
		t.Logf("backend: %v", err)
	}
}

func getFrom(t *testing.T, c *client, url string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	t.Cleanup(func() { closeQuietly(t, response.Body) })
	return response
}

// TestAnAnswerThatIsCutOff reaches its client as that: its header, what came of its body, and no end. Browsers send a request
// again whose connection is closed without a word, a POST too.
func TestAnAnswerThatIsCutOff(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", 100)
	addresses := map[string][]string{}
	for name, text := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nX-Sent: yes\r\nContent-Length: 1000\r\n\r\n" + half,
		"chunks":  "HTTP/1.1 200 OK\r\nX-Sent: yes\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + half,
		"between": "HTTP/1.1 200 OK\r\nX-Sent: yes\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + half + "\r\n",
		"trailer": "HTTP/1.1 200 OK\r\nX-Sent: yes\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + half + "\r\n0\r\n",
		"broken":  "HTTP/1.1 200 OK\r\nX-Sent: yes\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + half + "\r\nno number\r\n\r\n",
	} {
		addresses[name] = []string{scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
			says(t, conn, text)
			return false
		})}
	}
	s := failoverSite(t, addresses, "")
	for name := range addresses {
		for _, protocol := range []string{"http/1.1", "h2"} {
			response := getFrom(t, newClient(t, s, s.tls("", protocol)), s.url(name, "/"))
			got, err := io.ReadAll(response.Body)
			if response.StatusCode != http.StatusOK || response.Header.Get("X-Sent") != "yes" || string(got) != half || err == nil {
				t.Errorf("%s, %s: %d, %d bytes, %v; want the header, %d bytes and an error", protocol, name, response.StatusCode, len(got), err, len(half))
			}
		}
	}
	eventually(t, "the access record says why", func() bool { return strings.Contains(s.output.String(), "answer was cut off") })
}

// TestRetryOffMeansOnce: what a backend may have read is not sent to it again either, over another connection; and where
// retries are on, once.
func TestRetryOffMeansOnce(t *testing.T) {
	t.Parallel()
	for options, want := range map[string]struct{ status, requests int }{", retry: off": {http.StatusBadGateway, 2}, "": {http.StatusOK, 3}} {
		var requests atomic.Int32
		address := scriptedBackend(t, func(conn net.Conn, n, _ int) bool {
			requests.Add(1)
			if n == 2 {
				return false // read, and closed without an answer
			}
			says(t, conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			return true
		})
		s := failoverSite(t, map[string][]string{"app": {address}}, options)
		c := s.client()
		for n, status := range []int{http.StatusOK, want.status} {
			if got := c.get(s.url("app", "/")); got.status != status {
				t.Errorf("%q: request %d: %v, want %d", options, n+1, got, status)
			}
		}
		if n := int(requests.Load()); n != want.requests {
			t.Errorf("%q: the backend read %d requests, want %d", options, n, want.requests)
		}
	}
}

// TestAnswersThatAreNone of HTTP, or can be read in two ways: 502, and nothing of them.
func TestAnswersThatAreNone(t *testing.T) {
	t.Parallel()
	addresses := map[string][]string{}
	for name, text := range map[string]string{
		"600":     "HTTP/1.1 600 Odd\r\nContent-Length: 4\r\n\r\nevil",
		"099":     "HTTP/1.1 099 Odd\r\nContent-Length: 4\r\n\r\nevil",
		"999":     "HTTP/1.1 999 Odd\r\nContent-Length: 4\r\n\r\nevil",
		"both":    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
		"lengths": "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil\n",
		"gzip":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
		"old":     "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
		"control": "HTTP/1.1 200 OK\r\nX-A: evil\x00\r\nContent-Length: 4\r\n\r\nevil",
		"upgrade": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nevil",
		"long":    "HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("evil", 70_000) + "\r\nContent-Length: 4\r\n\r\nevil",
		"many":    "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-A: evil\r\n", 2000) + "Content-Length: 4\r\n\r\nevil",
	} {
		addresses["n"+name] = []string{scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
			says(t, conn, text)
			return true
		})}
	}
	s := failoverSite(t, addresses, "")
	for name := range addresses {
		for _, p := range protocols() {
			got := p.send(s, t, request{host: name + ".viloforge.test", target: "/"})
			if got.status != http.StatusBadGateway || strings.Contains(got.body+fmt.Sprint(got.header), "evil") {
				t.Errorf("%s, %s: %v", p.name, name, got)
			}
		}
	}
}

// TestWhatABackendHasSentLeaves when it pauses, however short, and whatever its type and framing.
func TestWhatABackendHasSentLeaves(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	addresses := map[string][]string{}
	for name, parts := range map[string][2]string{
		"length": {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n0123456789", "0123456789"},
		"chunks": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n", "a\r\n0123456789\r\n0\r\n\r\n"},
		"close":  {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n0123456789", "0123456789"},
	} {
		addresses[name] = []string{scriptedBackend(t, func(conn net.Conn, _, _ int) bool {
			says(t, conn, parts[0])
			<-next
			says(t, conn, parts[1])
			return name != "close"
		})}
	}
	s := failoverSite(t, addresses, "")
	for name := range addresses {
		for _, protocol := range []string{"http/1.1", "h2"} {
			response := getFrom(t, newClient(t, s, s.tls("", protocol)), s.url(name, "/"))
			first := make([]byte, 10)
			_, err := io.ReadFull(response.Body, first)
			next <- struct{}{}
			if rest, failed := io.ReadAll(response.Body); errors.Join(err, failed) != nil || string(first)+string(rest) != "01234567890123456789" {
				t.Errorf("%s, %s: %q and %q, %v", protocol, name, first, rest, errors.Join(err, failed))
			}
		}
	}
}

// TestAKeptConnectionThatTurnedReadable is never used: what a backend says unasked is the answer to no request (response queue
// poisoning).
func TestAKeptConnectionThatTurnedReadable(t *testing.T) {
	t.Parallel()
	unasked := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, together := range map[string]bool{"at once": true, "later": false} {
		answered, said := make(chan struct{}), make(chan struct{})
		address := scriptedBackend(t, func(conn net.Conn, n, of int) bool {
			if n > 1 && of == 1 {
				t.Errorf("%s: request %d comes over the first connection", name, n)
			}
			answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\ngood", len("good"))
			switch {
			case n > 1:
				says(t, conn, answer)
			case together:
				says(t, conn, answer+unasked)
				close(said)
			default:
				says(t, conn, answer)
				go func() {
					<-answered
					says(t, conn, unasked)
					close(said)
				}()
			}
			return true
		})
		s := failoverSite(t, map[string][]string{"app": {address}}, "")
		c := s.client()
		for n := range 3 {
			if got := c.do(http.MethodPost, s.url("app", "/"), "a body"); got.status != http.StatusOK || got.body != "good" {
				t.Errorf("%s: request %d: %v", name, n+1, got)
			}
			if n == 0 {
				close(answered)
				wait(t, said, "the backend says something unasked")
			}
		}
	}
}
