package main_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/corpus"
)

// flood is what one client does to its connections of HTTP/1.1, of which there are so many at a time.
type flood struct {
	connections int
	plain       bool // without a handshake of TLS
	// attack goes on until it has had enough, or the connection ends.
	attack func(conn net.Conn, over <-chan struct{})
}

const floodHead = " HTTP/1.1\r\nHost: app.viloforge.test\r\n"

// trickle writes a beginning, and then a piece now and then.
func trickle(begin, piece string) func(net.Conn, <-chan struct{}) {
	return func(conn net.Conn, over <-chan struct{}) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for text := begin; ; text = piece {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
			select {
			case <-tick.C:
			case <-over:
				return
			}
		}
	}
}

// endlessly writes a beginning, and then a piece again and again, and reads nothing.
func endlessly(begin, piece string) func(net.Conn, <-chan struct{}) {
	return func(conn net.Conn, _ <-chan struct{}) {
		for text := begin; ; text = piece {
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

// once writes a text and leaves, without or with the answer.
func once(text string, reads bool) func(net.Conn, <-chan struct{}) {
	return func(conn net.Conn, _ <-chan struct{}) {
		_, err := io.WriteString(conn, text)
		if err == nil && reads {
			_, _ = conn.Read(make([]byte, 1024))
		}
	}
}

func floods() map[string]flood {
	inputs := corpus.New(1, "app.viloforge.test")
	var mu sync.Mutex
	return map[string]flood{
		"slow headers":               {connections: 200, attack: trickle("GET /x"+floodHead+"X-A: ", "x")},
		"slow bodies":                {connections: 200, attack: trickle("POST /x"+floodHead+"Content-Length: 1000000\r\n\r\n", strings.Repeat("x", 100))},
		"slow chunks":                {connections: 200, attack: trickle("POST /x"+floodHead+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n")},
		"requests that nobody reads": {connections: 32, attack: endlessly("", strings.Repeat("GET /x"+floodHead+"\r\n", 50))},
		"answers that nobody reads":  {connections: 32, attack: trickle("GET /large"+floodHead+"\r\n", "")},
		"connections":                {connections: 8, attack: once("GET /x"+floodHead+"\r\n", true)},
		"long headers":               {connections: 16, attack: once("GET /x"+floodHead+strings.Repeat("X-A: "+strings.Repeat("x", 1000)+"\r\n", 1000), true)},
		"headers at the limit":       {connections: 100, attack: trickle("GET /x"+floodHead+strings.Repeat("X-A: "+strings.Repeat("x", 1000)+"\r\n", 60)+"X-B: ", "x")},
		"chunks":                     {connections: 8, attack: endlessly("POST /x"+floodHead+"Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("1\r\nx\r\n", 1000))},
		"closed early":               {connections: 8, attack: once("GET /large"+floodHead+"\r\n", false)},
		"handshakes that stall":      {connections: 400, plain: true, attack: trickle("\x16\x03\x01\x02\x00\x01", "")},
		"no TLS":                     {connections: 8, plain: true, attack: once("GET / HTTP/1.1\r\n\r\n", true)},
		"garbage": {connections: 8, attack: func(conn net.Conn, over <-chan struct{}) {
			mu.Lock()
			input := inputs.Next()
			mu.Unlock()
			once(string(input), true)(conn, over)
		}},
	}
}

// floodMemory bounds what a flood takes of the process's memory, in bytes: what each connection may hold
// (gateway/internal/http1/server), what bodies are held in (buffer_memory, of 16 MiB here), and what is left for the collector.
func floodMemory(connections int) int64 { return int64(connections)*(180<<10) + 16<<20 + 80<<20 }

// TestFloodsOfHTTP1: while one client does what it can to its connections, others are answered again and again, and memory stays
// within its bound. How long the others wait depends on the machine, and is logged.
func TestFloodsOfHTTP1(t *testing.T) {
	large := strings.Repeat("x", 2<<20)
	backend := listenLoopback(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = io.WriteString(w, large) // the client may be gone
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // likewise
	})}
	t.Cleanup(func() { closeQuietly(t, server) })
	go func() { _ = server.Serve(backend) }() // until it is closed
	s := prepare(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("\nlimits: { buffer_memory: 16MiB }\nupstreams: { app: { url: %q } }\n", "http://"+backend.Addr().String()),
		"policies/app.yaml": publicOnly,
	})
	s.program = commandBinary // the race detector takes ten times as much memory
	s.start()
	others := []*client{newClient(t, s, s.tls("", "http/1.1")), newClient(t, s, s.tls("", "h2"))}
	for _, c := range others {
		c.get(s.url("app", "/x"))
	}
	before := s.resident(t) // what a flood leaves to be collected counts for the next one, too
	for name, f := range floods() {
		t.Run(name, func(t *testing.T) {
			most := int64(0)
			over, wait := make(chan struct{}), &sync.WaitGroup{}
			var opened atomic.Int64
			for range f.connections {
				wait.Go(func() { s.attack(f, &opened, over) })
			}
			eventually(t, "all connections are open", func() bool { return opened.Load() >= int64(f.connections) })
			var times []time.Duration
			for range 25 {
				for _, c := range others {
					began := time.Now()
					if got := c.get(s.url("app", "/x")); got.status != http.StatusOK {
						t.Errorf("another client: %v", got)
					}
					times = append(times, time.Since(began))
				}
				most = max(most, s.resident(t)-before)
			}
			close(over)
			wait.Wait()
			slices.Sort(times)
			t.Logf("%d connections: %d MiB more; the others: %d requests, p99 %v", f.connections, most>>20, len(times), times[len(times)*99/100])
			if bound := floodMemory(f.connections); most > bound {
				t.Errorf("the flood took %d MiB of memory, of %d", most>>20, bound>>20)
			}
		})
	}
}

// attack opens one connection after another, until it is over, and counts them.
func (s *site) attack(f flood, opened *atomic.Int64, over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		default:
		}
		var conn net.Conn
		raw, err := net.Dial("tcp", s.at.HTTPS)
		if err != nil {
			continue
		}
		conn = raw
		ended := make(chan struct{})
		go func() { // what is written may wait for ever
			select {
			case <-over:
			case <-ended:
			}
			_ = raw.Close()
		}()
		if !f.plain {
			secured := tls.Client(raw, s.tls("app.viloforge.test", "http/1.1"))
			_ = secured.Handshake() // if it fails, so does the writing
			conn = secured
		}
		opened.Add(1)
		f.attack(conn, over)
		close(ended)
	}
}
