package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestWhatIsNoRequestIsAnsweredAndRecorded: what cannot be read as HTTP, or is longer than is read, is refused in the gateway's
// own words, with a request id that is in the log, and counted.
func TestWhatIsNoRequestIsAnsweredAndRecorded(t *testing.T) {
	t.Parallel()
	backend := record(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.url()),
		"policies/app.yaml": publicOnly,
	})
	const host = "Host: app.viloforge.test\r\n"
	for name, c := range map[string]struct {
		raw    string
		status int
		method string // in the record
	}{
		"length and coding":   {"POST /x HTTP/1.1\r\n" + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "POST"},
		"no method":           {"\x00\x01 / HTTP/1.1\r\n" + host + "\r\n", 400, ""},
		"a bare line feed":    {"GET /x HTTP/1.1\nHost: app.viloforge.test\n\n", 400, ""},
		"a folded line":       {"GET /x HTTP/1.1\r\n" + host + "X-A: b\r\n c\r\n\r\n", 400, "GET"},
		"no Host":             {"GET /x HTTP/1.1\r\n\r\n", 400, "GET"},
		"two Hosts":           {"GET /x HTTP/1.1\r\n" + host + host + "\r\n", 400, "GET"},
		"a long header":       {"GET /x HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431, "GET"},
		"a long target":       {"GET /" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\n" + host + "\r\n", 414, ""},
		"another version":     {"GET /x HTTP/1.2\r\n" + host + "\r\n", 505, "GET"},
		"another expectation": {"POST /x HTTP/1.1\r\n" + host + "Expect: miracles\r\n\r\n", 417, "POST"},
		"half a header":       {"GET /x HTTP/1.1\r\nHost: app", 408, "GET"},
		"behind a request":    {"\r\nGET /x HTTP/1.1\r\n" + host + "\r\nGET /y HTTP/1.1\r\n" + host + "Content-Length: x\r\n\r\n", 400, "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answers, closed := s.wire(t, "app.viloforge.test", c.raw)
			if len(answers) == 0 || !closed {
				t.Fatalf("got %v, closed: %v", answers, closed)
			}
			got := answers[len(answers)-1]
			id := got.header.Get("X-Request-Id")
			if got.status != c.status || id == "" || got.header.Get("Connection") != "close" || got.header.Get("Strict-Transport-Security") == "" {
				t.Errorf("got %d with %v, want %d", got.status, got.header, c.status)
			}
			if got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %q of type %q", got.body, got.header.Get("Content-Type"))
			}
			record := s.recordOf(t, id)
			if record["decision"] != "malformed" || record["status"] != float64(c.status) || record["method"] != c.method || record["reason"] == "" {
				t.Errorf("the access record is %v", record)
			}
		})
	}
	t.Cleanup(func() {
		if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, `decision="malformed"`) {
			t.Errorf("they are not counted:\n%s", metrics)
		}
		if len(backend.all()) != 1 {
			t.Errorf("the backend has received %d requests, instead of 1", len(backend.all()))
		}
	})
}

// TestPlainHTTPRefusesAndRecords: what cannot be redirected is refused at the port of plain HTTP in the same words, and counted; of
// a flood, a hundred a minute are recorded, and how many are left out.
func TestPlainHTTPRefusesAndRecords(t *testing.T) {
	t.Parallel()
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + "upstreams: { app: { url: \"http://127.0.0.1:9\" } }\n",
		"policies/app.yaml": publicOnly,
	})
	const host = "Host: app.viloforge.test\r\n"
	for name, c := range map[string]struct {
		raw      string
		status   int
		decision string
	}{
		"length and coding": {"POST /x HTTP/1.1\r\n" + host + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "malformed"},
		"a bare line feed":  {"GET /x HTTP/1.1\nHost: app.viloforge.test\n\n", 400, "malformed"},
		"TLS":               {"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", 400, "malformed"},
		"a long header":     {"GET /x HTTP/1.1\r\n" + host + "X-A: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431, "malformed"},
		"another version":   {"GET /x HTTP/2.0\r\n" + host + "\r\n", 505, "malformed"},
		"half a header":     {"GET /x HTTP/1.1\r\nHost: app", 408, "malformed"},
		"a path to above":   {"GET /public/../admin HTTP/1.1\r\n" + host + "\r\n", 400, "malformed"},
		"absolute-form":     {"GET http://evil.example/ HTTP/1.1\r\n" + host + "\r\n", 400, "malformed"},
		"an unknown host":   {"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 404, "unknown-host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := s.plain(t, c.raw)
			id := got.header.Get("X-Request-Id")
			if got.status != c.status || id == "" || got.header.Get("Connection") != "close" || got.header.Get("Strict-Transport-Security") != "" {
				t.Errorf("got %d with %v, want %d", got.status, got.header, c.status)
			}
			if got.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %q of type %q", got.body, got.header.Get("Content-Type"))
			}
			record := s.recordOf(t, id)
			if record["decision"] != c.decision || record["status"] != float64(c.status) || record["reason"] == "" {
				t.Errorf("the access record is %v", record)
			}
		})
	}
	began := time.Now()
	t.Cleanup(func() {
		const sent = 150
		for range sent {
			if got := s.plain(t, "GET\r\n\r\n"); got.status != 400 {
				t.Fatalf("got %v", got)
			}
		}
		if recorded := strings.Count(s.output.String(), `"decision":"malformed"`); recorded < 90 || recorded > 110+int(time.Since(began).Minutes()*100) {
			t.Errorf("of %d messages %d are recorded in %v", sent+8, recorded, time.Since(began))
		}
		counted := 0
		for line := range strings.SplitSeq(s.admin(t, "/metrics").body, "\n") {
			if _, err := fmt.Sscanf(line, `vilogate_http_requests_total{decision="malformed",host="",route="",status="4xx"} %d`, &counted); err == nil {
				break
			}
		}
		if counted != sent+7 { // and one is 505
			t.Errorf("%d messages are counted, of %d", counted, sent+7)
		}
	})
}

// plain sends bytes to the port of plain HTTP.
func (s *site) plain(t *testing.T, raw string) answer {
	t.Helper()
	conn, err := net.Dial("tcp", s.at.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer closeQuietly(t, conn)
	if err := conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Logf("writing: %v", err)
	}
	return readAnswer(t, bufio.NewReader(conn), http.MethodGet)
}

// recordOf is the access record of a request.
func (s *site) recordOf(t *testing.T, id string) (record map[string]any) {
	t.Helper()
	eventually(t, "the access record of "+id, func() bool {
		for line := range strings.SplitSeq(s.process.output.String(), "\n") {
			if strings.Contains(line, id) && json.Unmarshal([]byte(line), &record) == nil {
				return true
			}
		}
		return false
	})
	return record
}

// TestAnEarlyAnswerReachesWhoWritesFirst: a client that writes its whole body before it reads gets the answer that came early,
// the gateway's own and the backend's.
func TestAnEarlyAnswerReachesWhoWritesFirst(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("\nupstreams: { app: { url: %q } }\n", backend.URL),
		"policies/app.yaml": `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/small", allow: public, max_body: 1MiB }
  - { path: "/members", allow: authenticated }
  - { path: "/*rest", allow: public }
`,
	})
	for path, want := range map[string]int{"/small": 413, "/members": 401, "/backend": 409} {
		for _, length := range []int{16 << 20, 100} {
			t.Run(fmt.Sprint(path, " ", length), func(t *testing.T) {
				t.Parallel()
				want := want
				if path == "/small" && length == 100 {
					want = http.StatusConflict
				}
				for _, chunked := range []bool{false, true} {
					head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: app.viloforge.test\r\nContent-Length: %d\r\n\r\n", path, length)
					body := strings.Repeat("x", length)
					if chunked {
						head = fmt.Sprintf("POST %s HTTP/1.1\r\nHost: app.viloforge.test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", path, length)
						body += "\r\n0\r\n\r\n"
					}
					answers, _ := s.wire(t, "app.viloforge.test", head+body)
					early := chunked && path == "/small" // the backend answers before anybody knows how long the body is
					if len(answers) != 1 || answers[0].status != want && !(early && answers[0].status == http.StatusConflict) {
						t.Errorf("chunked %v: got %v, want %d", chunked, answers, want)
					}
				}
			})
		}
	}
}
