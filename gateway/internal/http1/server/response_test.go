package server

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestFramingOfAnAnswerIsWhatWasSaidAtFirst(t *testing.T) {
	for _, c := range []struct {
		name, method string
		answer       http.HandlerFunc
		want         string
	}{
		{"a length set behind WriteHeader", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "ok")
		}, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
		{"a length changed behind WriteHeader", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusOK)
			w.Header().Set("Content-Length", "5")
			_, _ = io.WriteString(w, "ok")
		}, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
		{"two lengths", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"2", "3"}
			_, _ = io.WriteString(w, "ok")
		}, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
		{"a length with a sign", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Length"] = []string{"+2"}
			_, _ = io.WriteString(w, "ok")
		}, "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
		{"204 to HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			w.WriteHeader(http.StatusNoContent)
		}, "HTTP/1.1 204 No Content\n\n"},
		{"trailers of a short answer", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "ok")
			w.Header().Set("X-Sum", "1")
		}, "HTTP/1.1 200 OK\nTrailer: X-Sum\nTransfer-Encoding: chunked\n\n2\nok\n0\nX-Sum: 1\n\n"},
		{"trailers that were not announced", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "ok")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		}, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nX-Sum: 1\n\n"},
		{"an informational response with framing", "GET", func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Length", "2")
			h.Set("Transfer-Encoding", "chunked")
			h.Set("Link", "</a>")
			w.WriteHeader(http.StatusEarlyHints)
			h.Del("Link")
			_, _ = io.WriteString(w, "ok")
		}, "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(t, c.answer, func(s *site) {
				if got := withoutDate(s.ask(c.method + " / HTTP/1.1\r\nHost: a\r\n\r\n")); got != c.want {
					t.Errorf("answered\n%q, want\n%q", got, c.want)
				}
			})
		})
	}
}

func TestFramingOfAnswers(t *testing.T) {
	write := func(status int, pieces ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			for _, piece := range pieces {
				_, _ = io.WriteString(w, piece)
				_ = http.NewResponseController(w).Flush()
			}
		}
	}
	long := strings.Repeat("x", earlyBytes+1)
	for _, c := range []struct {
		name, method, version, header string
		answer                        http.HandlerFunc
		want                          string
	}{
		{"nothing", "GET", "1.1", "", func(http.ResponseWriter, *http.Request) {}, "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
		{"short", "GET", "1.1", "", echo, "HTTP/1.1 200 OK\nContent-Length: 6\n\nGET / "},
		{
			"long", "GET", "1.1", "", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) },
			"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n801\n" + long + "\n0\n\n",
		},
		{"in pieces", "GET", "1.1", "", write(200, "a", "bc"), "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n2\nbc\n0\n\n"},
		{"in pieces to HTTP/1.0", "GET", "1.0", "Connection: keep-alive\r\n", write(200, "a", "bc"), "HTTP/1.1 200 OK\nConnection: close\n\nabc"},
		{"short to HTTP/1.0", "GET", "1.0", "Connection: keep-alive\r\n", echo, "HTTP/1.1 200 OK\nContent-Length: 6\nConnection: keep-alive\n\nGET / "},
		{"HTTP/1.0 alone", "GET", "1.0", "", echo, "HTTP/1.1 200 OK\nContent-Length: 6\nConnection: close\n\nGET / "},
		{"close", "GET", "1.1", "Connection: x, Close\r\n", echo, "HTTP/1.1 200 OK\nContent-Length: 6\nConnection: close\n\nGET / "},
		{"HEAD", "HEAD", "1.1", "", echo, "HTTP/1.1 200 OK\nContent-Length: 7\n\n"},
		{"HEAD without a body", "HEAD", "1.1", "", func(http.ResponseWriter, *http.Request) {}, "HTTP/1.1 200 OK\n\n"},
		{"204", "GET", "1.1", "", write(204, "no"), "HTTP/1.1 204 No Content\n\n"},
		{"304", "GET", "1.1", "", write(304, "no"), "HTTP/1.1 304 Not Modified\n\n"},
		{"103", "GET", "1.1", "", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			echo(w, r)
		}, "HTTP/1.1 103 Early Hints\n\nHTTP/1.1 200 OK\nContent-Length: 6\n\nGET / "},
		{"103 to HTTP/1.0", "GET", "1.0", "", func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			echo(w, r)
		}, "HTTP/1.1 200 OK\nContent-Length: 6\nConnection: close\n\nGET / "},
		{"shorter than it says", "GET", "1.1", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "ab")
		}, "HTTP/1.1 200 OK\nContent-Length: 3\n\nab"},
		{"longer than it says", "GET", "1.1", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1")
			_, _ = io.WriteString(w, "a")
			_, _ = io.WriteString(w, "b")
		}, "HTTP/1.1 200 OK\nContent-Length: 1\n\na"},
		{"a panic in the middle", "GET", "1.1", "", func(w http.ResponseWriter, r *http.Request) {
			write(200, "a")(w, r)
			panic("on purpose")
		}, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n"},
		{"a panic at first", "GET", "1.1", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
		{"line ends in a field", "GET", "1.1", "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X"] = []string{"a\r\nSet-Cookie: b\r\n\r\nc\x00"}
			w.Header()["Y: z\r\nSet-Cookie"] = []string{"b"}
		}, "HTTP/1.1 200 OK\nX: a  Set-Cookie: b    c\nContent-Length: 0\n\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			serve(t, c.answer, func(s *site) {
				got := s.ask(c.method + " / HTTP/" + c.version + "\r\nHost: a\r\n" + c.header + "\r\n")
				if got = withoutDate(got); got != c.want {
					t.Errorf("answered\n%q, want\n%q", got, c.want)
				}
			})
		})
	}
}

// Of what follows an answer that was cut off, nothing is served: it would be read as the rest of that answer.
func TestNothingFollowsAnAnswerThatIsCutOff(t *testing.T) {
	served := 0
	serve(t, func(w http.ResponseWriter, _ *http.Request) {
		served++
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "ab")
	}, func(s *site) {
		if got := s.ask(get + get); !strings.HasSuffix(got, "\r\n\r\nab") || served != 1 {
			t.Errorf("answered %q, and %d requests were served", got, served)
		}
	})
}
