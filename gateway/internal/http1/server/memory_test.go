package server

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/conntest"
)

// testLimits are long enough to be told apart.
var testLimits = Limits{
	HeaderBytes: 64 << 10, HeaderTime: 10 * time.Second, IdleTime: time.Minute, BodyMinRate: 100, BodyTime: 15 * time.Second,
}

// site is a server in a synctest bubble.
type site struct {
	*Server
	t *testing.T
}

// serve runs test in a bubble, with a server of the handler.
func serve(t *testing.T, handler http.HandlerFunc, test func(s *site)) {
	t.Helper()
	serveWith(t, Options{Handler: handler}, test)
}

func serveWith(t *testing.T, o Options, test func(s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if o.Limits == (Limits{}) {
			o.Limits = testLimits
		}
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
		s := &site{New(o), t}
		// A connection is read on behind its last answer, and the clock of a bubble ends with its test.
		t.Cleanup(func() {
			_ = s.Close()
			<-time.After(2 * lingerTime)
		})
		test(s)
	})
}

// peer is the client's end of a connection.
type peer struct {
	*conntest.Conn
	t      *testing.T
	answer *bufio.Reader
	served chan struct{} // closed when the server has done with the connection
}

func (s *site) dial() *peer {
	client, conn := conntest.Pipe()
	p := &peer{client, s.t, bufio.NewReader(client), make(chan struct{})}
	go func() {
		defer close(p.served)
		s.ServeConn(context.Background(), conn, nil)
	}()
	return p
}

// send sends what there is, and waits until the server waits.
func (p *peer) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.t.Fatalf("sending %.40q: %v", text, err)
	}
	synctest.Wait()
}

// read reads an answer to a request of that method, with its body.
func (p *peer) read(method string) (*http.Response, string) {
	p.t.Helper()
	answer, err := http.ReadResponse(p.answer, &http.Request{Method: method})
	if err != nil {
		p.t.Fatalf("reading an answer: %v", err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatalf("reading an answer's body: %v", err)
	}
	return answer, string(body)
}

// rest is all that comes until the server ends the connection. It sends nothing more.
func (p *peer) rest() string {
	p.t.Helper()
	all, err := io.ReadAll(p.answer)
	if err != nil {
		p.t.Fatalf("reading to the end: %v", err)
	}
	return string(all)
}

// ask sends a request, and returns all that comes until the connection ends; the client ends it when there is nothing to do.
func (s *site) ask(text string) string {
	p := s.dial()
	p.send(text)
	_ = p.CloseWrite()
	all := p.rest()
	_ = p.Close()
	<-p.served
	return all
}

// echo answers with what it was asked.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, r.Method+" "+r.RequestURI+" "+string(body))
}

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

// withoutDate is the text of answers, with line feeds alone, and without their Date.
func withoutDate(head string) string {
	lines := strings.Split(head, "\r\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Date: ") }), "\n")
}
