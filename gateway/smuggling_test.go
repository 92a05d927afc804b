package gateway

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/corpus"
	"github.com/viloforge/vilogate/gateway/internal/conntest"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/server"
	"github.com/viloforge/vilogate/policies/request"
)

// corpusSize is how many inputs of the corpus a test has, unless VILOGATE_CORPUS says more; `make fuzz` does.
func corpusSize(t *testing.T, size int) int {
	t.Helper()
	if text := os.Getenv("VILOGATE_CORPUS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return max(n, size)
	}
	return size
}

// perSite is how many inputs share a gateway, and its connections to the backend.
const perSite = 2000

// TestWhatIsForwardedIsWhatWasDecided: whatever a client sends, every server that may stand behind the gateway reads from what is
// forwarded the requests that were decided on, one each, with their bodies and with nobody's identity but the gateway's, or nothing.
func TestWhatIsForwardedIsWhatWasDecided(t *testing.T) {
	for seed := range corpusSize(t, 6000) / perSite {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			newSmuggling(t, uint64(seed)).try()
		})
	}
}

// smuggling is a gateway before a backend that records bytes.
type smuggling struct {
	t        *testing.T
	corpus   *corpus.Corpus
	site     *site
	gateway  *Gateway
	server   *server.Server
	listener net.Listener
	wait     sync.WaitGroup
	records  []*Record // of the connection under way

	decided  map[string]decision
	mu       sync.Mutex
	messages []string // guarded by mu: what the backend received, each from one request's first byte to its last
}

// decision is a request of an input, and what became of it.
type decision struct {
	input []byte
	sent  sentRequest
	*Record
}

// sentRequest is a request as the client has sent it.
type sentRequest struct {
	head  http1.RequestHead
	body  string
	whole bool
}

func newSmuggling(t *testing.T, seed uint64) *smuggling {
	t.Helper()
	s := &smuggling{t: t, decided: map[string]decision{}}
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var settings Settings
	s.site = newSite(t, func(o *Settings) {
		o.Upstreams = []Upstream{{Name: "app", URLs: []*url.URL{{Scheme: "http", Host: s.listener.Addr().String()}}}}
		settings = *o
	})
	s.gateway, err = New(Options{
		AssertionKey: s.site.assert, AssertionKeys: func() []byte { return nil }, Revocations: s.site.revoked,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return s.site.now }, Observe: func(r *Record) { s.records = append(s.records, r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	generation, err := NewGeneration(settings)
	if err != nil {
		t.Fatal(err)
	}
	s.gateway.Swap(generation)
	s.server = server.New(server.Options{
		Handler: s.gateway, Refuse: s.gateway.Refuse, ConnContext: s.gateway.ConnContext, Log: slog.New(slog.DiscardHandler),
		Limits: server.Limits{HeaderBytes: 64 << 10, HeaderTime: time.Minute, IdleTime: time.Minute, BodyTime: time.Minute},
	})
	cookie := "Cookie: __Secure-sso=" + s.site.sign(s.site.grant())
	s.corpus = corpus.New(seed, "app.example.test", cookie, cookie+"\r\nOrigin: https://app.example.test", "Authorization: Bearer "+s.site.sign(s.site.grant()))
	s.wait.Go(s.accept)
	return s
}

func (s *smuggling) try() {
	for range perSite {
		input := s.corpus.Next()
		s.records = nil
		s.send(input)
		s.match(input)
	}
	s.gateway.Close()
	if err := s.listener.Close(); err != nil {
		s.t.Error(err)
	}
	s.wait.Wait()
	if len(s.messages) < perSite/10 {
		s.t.Errorf("of %d inputs %d requests were forwarded", perSite, len(s.messages))
	}
	seen := map[string]bool{}
	for _, message := range s.messages {
		s.check(message, seen)
	}
}

// send sends an input on a connection of its own, which serves it until its end.
func (s *smuggling) send(input []byte) {
	client, end := conntest.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.ServeConn(s.t.Context(), end, &tls.ConnectionState{ServerName: "app.example.test"})
	}()
	go func() {
		_, _ = client.Write(input) // the gateway may refuse it before its end
		_ = client.CloseWrite()
	}()
	if _, err := io.Copy(io.Discard, client); err != nil {
		s.t.Errorf("%q: %v", input, err)
	}
	<-done
	_ = client.Close()
}

// match finds the request of each record.
func (s *smuggling) match(input []byte) {
	sent := sentRequests(input)
	for i, record := range s.records {
		if i >= len(sent) {
			if record.Decision == "allow" {
				s.t.Errorf("%q: %s %s was forwarded, which was not sent", input, record.Method, record.Path)
			}
			return
		}
		s.decided[record.RequestID] = decision{input, sent[i], record}
	}
}

// sentRequests are the requests of an input whose heads are whole, the last of which may be cut off.
func sentRequests(b []byte) (all []sentRequest) {
	for {
		b = bytes.TrimPrefix(b, []byte("\r\n"))
		var r sentRequest
		end, err := http1.RequestEnd(b, 0)
		if err != nil || end == 0 || http1.ParseRequest(&r.head, b[:end]) != nil || r.head.ToOriginForm() != nil {
			return all
		}
		if b = b[end:]; r.head.Length == http1.Chunked {
			var chunks http1.Chunks
			for !chunks.Done() {
				n, data, err := chunks.Next(b)
				if err != nil || n == 0 && !chunks.Done() {
					return append(all, r)
				}
				b, r.body = b[n:], r.body+string(data)
			}
		} else {
			n := min(int64(len(b)), r.head.Length)
			if r.body, b = string(b[:n]), b[n:]; n < r.head.Length {
				return append(all, r)
			}
		}
		r.whole = true
		all = append(all, r)
	}
}

// accept serves the backend's connections, which the gateway ends.
func (s *smuggling) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wait.Go(func() {
			defer func() { _ = conn.Close() }()
			for s.receive(conn) {
			}
		})
	}
}

// receive keeps a message and answers it, and is false at the connection's end. Nothing is to come behind a message before it
// was answered: what does counts as its own.
func (s *smuggling) receive(conn net.Conn) bool {
	var bytes strings.Builder
	reader := bufio.NewReader(io.TeeReader(conn, &bytes))
	r, err := http.ReadRequest(reader)
	if err == nil {
		if r.Header.Get("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n") // if it fails, so does the reading
		}
		_, err = io.Copy(io.Discard, r.Body)
	}
	if bytes.Len() > 0 {
		s.mu.Lock()
		s.messages = append(s.messages, bytes.String())
		s.mu.Unlock()
	}
	if err != nil {
		return false
	}
	_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	return err == nil
}

// check has each server read a message, which is one request for all of them, or for none: what a client does not end is never
// whole.
func (s *smuggling) check(message string, seen map[string]bool) {
	cut := false
	for i, by := range corpus.Servers() {
		read, rest, err := by.Read(message)
		if i == 0 {
			cut = errors.Is(err, corpus.ErrCut)
		}
		switch {
		case cut && len(read) == 0 && err != nil:
			continue
		case err != nil || len(read) != 1 || rest != "":
			s.t.Errorf("%q: read by %s as %d requests, and %q: %v", message, by.Name, len(read), rest, err)
			continue
		}
		id := strings.Join(read[0].Values("X-Request-Id"), " ")
		d, ok := s.decided[id]
		if i == 0 && seen[id] {
			s.t.Errorf("%q was sent twice", message)
		}
		if seen[id] = true; !ok {
			s.t.Errorf("%q: read by %s as %q, which nobody decided on", message, by.Name, id)
			continue
		}
		if problem := d.differsFrom(&read[0]); problem != "" {
			s.t.Errorf("%q of %q: read by %s, %s", message, d.input, by.Name, problem)
		}
	}
}

// differsFrom says what a server reads that was not decided on.
func (d *decision) differsFrom(read *corpus.Request) string {
	authority, _ := request.TrimFinalDot(d.sent.head.Host)
	target, err := request.Canonicalise(d.sent.head.Method, authority, d.sent.head.Target)
	if err != nil {
		return "which is " + err.Error()
	}
	want := target.Path.String()
	if target.HasQuery {
		want += "?" + target.Query
	}
	user := strings.Join(read.Values("X-User-Id"), " ")
	switch {
	case d.Decision != "allow":
		return "which was " + d.Decision
	case read.Method != d.Method || d.Method != d.sent.head.Method:
		return fmt.Sprintf("of method %q, not %q", read.Method, d.sent.head.Method)
	case read.Target != want || d.Path != target.Path.String():
		return fmt.Sprintf("for %q, not %q", read.Target, want)
	case read.Host != string(target.Host) || d.Host != read.Host:
		return fmt.Sprintf("for host %q, not %q", read.Host, target.Host)
	case !d.sent.whole || read.Body != d.sent.body:
		return fmt.Sprintf("with the body %q, not %q", read.Body, d.sent.body)
	case user != d.Subject || strings.Join(read.Values("X-User"), " ") != cmp.Or(map[string]string{"u-1": "alice"}[d.Subject], ""):
		return fmt.Sprintf("of user %q, not %q", user, d.Subject)
	case len(read.Values("Content-Length"))+len(read.Values("Transfer-Encoding")) > 1:
		return "framed in two ways"
	}
	return ""
}
