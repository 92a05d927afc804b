package http2

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// describe is what a handler sees of a request.
func describe(w http.ResponseWriter, r *http.Request) {
	announced := len(r.Trailer)
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s host=%s url=%s %s header=%v length=%d announced=%d trailer=%v body=%q err=%v",
		r.Method, r.RequestURI, r.Host, r.URL, r.Proto, r.Header, r.ContentLength, announced, r.Trailer, body, err)
}

func TestRequestsAreHandedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, describe, nil))
		for i, test := range []struct {
			method string
			fields []string
			want   string
		}{
			{"GET", nil, `GET / host=www.example.com url=/ HTTP/2.0 header=map[] length=0 announced=0 trailer=map[] body="" err=<nil>`},
			{"GET", []string{":path", "/a%2fb?c=d", "x-odd_name", "1", "x-odd_name", "2"}, `GET /a%2fb?c=d host=www.example.com url=/a%2fb?c=d HTTP/2.0 header=map[X-Odd_name:[1 2]]`},
			{"GET", []string{"cookie", "a=1", "cookie", "b=2; c=3"}, `header=map[Cookie:[a=1; b=2; c=3]]`},
			{"GET", []string{":authority", "-", "host", "other.example.com"}, `host=other.example.com url=/ HTTP/2.0 header=map[] `},
			{"GET", []string{"host", "www.example.com"}, `host=www.example.com url=/ HTTP/2.0 header=map[] `},
			{"OPTIONS", []string{":path", "*"}, `OPTIONS * host=www.example.com url=* `},
			{"CONNECT", []string{":scheme", "-", ":path", "-", ":authority", "a.example.com:443"}, `CONNECT a.example.com:443 host=a.example.com:443 url=//a.example.com:443 `},
			{"GET", []string{"te", "trailers", "content-length", "0"}, `header=map[Content-Length:[0] Te:[trailers]] length=0`},
			{"GET", []string{"expect", "100-continue"}, `header=map[Expect:[100-continue]]`},
		} {
			id := uint32(2*i + 1)
			p.request(id, test.method, true, test.fields...)
			if got := p.answer(id); got.status() != "200" || !strings.Contains(got.body, test.want) {
				t.Errorf("%s %v: %s %s, want %s", test.method, test.fields, got.status(), got.body, test.want)
			}
		}
	})
}

func TestBodiesAndTrailersAreHandedOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, describe, nil))
		p.request(1, "POST", false, "trailer", "x-sum, X-Other, content-length")
		p.write(p.WriteDataPadded(1, false, []byte("one "), make([]byte, 7)))
		p.write(p.WriteData(1, false, []byte("two")))
		p.write(p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block("-",
			":scheme", "-", ":authority", "-", ":path", "-", "x-sum", "7", "x-not-announced", "1"), EndStream: true, EndHeaders: true}))
		want := `header=map[] length=-1 announced=2 trailer=map[X-Other:[] X-Sum:[7]] body="one two" err=<nil>`
		if got := p.answer(1); !strings.Contains(got.body, want) {
			t.Errorf("%s, want %s", got.body, want)
		}
		p.request(3, "POST", false, "content-length", "3")
		p.write(p.WriteData(3, true, []byte("abc")))
		if got := p.answer(3); !strings.Contains(got.body, `length=3 announced=0 trailer=map[] body="abc" err=<nil>`) {
			t.Error(got.body)
		}
	})
}

// A request that is malformed is answered with 400, by whom the options name, and then its stream is reset.
func TestMalformedRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a malformed request is served") }, func(o *Options) {
			o.Malformed = func(w http.ResponseWriter, r *http.Request, status int, reason string) {
				if r.Header == nil || r.URL == nil || r.Body == nil {
					t.Error("a request in pieces")
				}
				w.WriteHeader(status)
				fmt.Fprintf(w, "%s %s %s: %s", r.Method, r.Host, r.RequestURI, reason)
			}
		})
		p := dial(t, s)
		for i, test := range []struct {
			fields []string
			want   string
		}{
			{[]string{"X-Upper", "1"}, "GET www.example.com /: a name that is no token in lower case"},
			{[]string{"a b", "1"}, "a name that is no token"},
			{[]string{"a:", "1"}, "a name that is no token"},
			{[]string{"", "1"}, "a name that is no token"},
			{[]string{"x", "a\x00b"}, "a control character"},
			{[]string{"x", "a\r\nb: c"}, "a control character"},
			{[]string{":path", "/\x7f"}, "a control character"},
			{[]string{":path", " /"}, "a path that does not begin"},
			{[]string{":authority", "a "}, "user information, or a space"},
			{[]string{"connection", "close"}, "a field of HTTP/1.1's connections"},
			{[]string{"keep-alive", "1"}, "a field of HTTP/1.1's connections"},
			{[]string{"proxy-connection", "1"}, "a field of HTTP/1.1's connections"},
			{[]string{"transfer-encoding", "chunked"}, "a field of HTTP/1.1's connections"},
			{[]string{"upgrade", "h2c"}, "a field of HTTP/1.1's connections"},
			{[]string{"te", "gzip"}, "TE other than trailers"},
			{[]string{":unknown", "1"}, "an unknown pseudo-header field"},
			{[]string{":status", "200"}, "an unknown pseudo-header field"},
			{[]string{":protocol", "websocket"}, ":protocol of another method than CONNECT"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":path", "-"}, "a path that does not begin"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":path", "*"}, "a path that does not begin"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "-"}, "a scheme other than"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "wss"}, "a scheme other than"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":authority", "-"}, "no authority"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", ":authority", "a:443", "host", "b"}, "Host other than"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", "content-length", "0"}, "Content-Length of CONNECT"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", "upgrade", "websocket"}, "a field of HTTP/1.1's connections"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", "again :protocol", "websocket"}, "a pseudo-header field twice"},
			{[]string{":method", "CONNECT", ":protocol", "websocket", "x", "1", "again :protocol", "websocket"}, "a pseudo-header field behind"},
			{[]string{":method", "connect", ":protocol", "websocket"}, ":protocol of another method than CONNECT"},
			{[]string{":method", "CONNECT", ":path", "-"}, "CONNECT with a path or a scheme"},
			{[]string{"x", "1", "again :path", "/b"}, "a pseudo-header field behind another field"},
			{[]string{"again :path", "/b"}, "a pseudo-header field twice"},
			{[]string{":method", "-"}, " www.example.com /: a method that is no token"},
			{[]string{":method", "G T"}, "a method that is no token"},
			{[]string{":scheme", "-"}, "a scheme other than"},
			{[]string{":scheme", "ftp"}, "a scheme other than"},
			{[]string{":path", "-"}, "a path that does not begin"},
			{[]string{":path", "*"}, "a path that does not begin"},
			{[]string{":path", "https://www.example.com/"}, "a path that does not begin"},
			{[]string{":path", "/a b"}, "a space in the path"},
			{[]string{":path", "/%zz"}, "a path that cannot be parsed"},
			{[]string{":authority", "-"}, "no authority"},
			{[]string{":authority", "a@b"}, "user information"},
			{[]string{"host", "other.example.com"}, "Host other than :authority"},
			{[]string{":authority", "-", "host", "a", "host", "a"}, "Host twice"},
			{[]string{"content-length", "+5"}, "Content-Length that is no number"},
			{[]string{"content-length", "5, 5"}, "Content-Length that is no number"},
			{[]string{"content-length", "99999999999999999999"}, "Content-Length that is no number"},
			{[]string{"content-length", "0", "content-length", "0"}, "Content-Length twice"},
			{[]string{"content-length", "5"}, "Content-Length of a request without a body"},
			{[]string{":method", "CONNECT"}, "CONNECT with a path or a scheme"},
		} {
			id := uint32(2*i + 1)
			p.request(id, "GET", true, test.fields...)
			got := p.answer(id)
			if got.status() != "400" || !strings.Contains(got.body, test.want) {
				t.Errorf("%q: %s %s, want %s", test.fields, got.status(), got.body, test.want)
			}
			if end := p.answer(id); end.reset == nil || *end.reset != http2.ErrCodeProtocol {
				t.Errorf("%q: the stream is not reset", test.fields)
			}
		}
	})
}

// What is wrong with a body or its trailers comes when the request is under way: the stream is reset.
func TestMalformedBodies(t *testing.T) {
	bubble(t, func(t *testing.T) {
		errs := make(chan error, 1)
		p := dial(t, newServer(t, func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			errs <- err
		}, nil))
		trailers := func(end bool, fields ...string) func(id uint32) {
			return func(id uint32) {
				p.write(p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.block("-", append([]string{
					":scheme", "-", ":authority", "-", ":path", "-",
				}, fields...)...), EndStream: end, EndHeaders: true}))
			}
		}
		for i, test := range []struct {
			name string
			send func(id uint32)
			want http2.ErrCode
		}{
			{"longer than Content-Length", func(id uint32) { p.write(p.WriteData(id, false, []byte("123456"))) }, http2.ErrCodeProtocol},
			{"shorter than Content-Length", func(id uint32) { p.write(p.WriteData(id, true, []byte("1234"))) }, http2.ErrCodeProtocol},
			{"trailers that end nothing", trailers(false, "x-a", "1"), http2.ErrCodeProtocol},
			{"trailers before the end", trailers(true, "x-a", "1"), http2.ErrCodeProtocol},
			{"a pseudo-header field among trailers", trailers(true, ":path", "/"), http2.ErrCodeProtocol},
			{"upper case among trailers", trailers(true, "X-A", "/"), http2.ErrCodeProtocol},
		} {
			id := uint32(2*i + 1)
			p.request(id, "POST", false, "content-length", "5")
			test.send(id)
			if got := p.answer(id); got.reset == nil || *got.reset != test.want || got.head.fields != nil {
				t.Errorf("%s: %v %v", test.name, got.reset, got.head)
			}
			if err := <-errs; err == nil {
				t.Errorf("%s: the body ended well", test.name)
			}
		}
		p.stays()
	})
}

// A header beyond the limits is answered with 431, and what it put into HPACK's table counts.
func TestHeadersBeyondTheLimits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := dial(t, newServer(t, describe, func(o *Options) { o.Limits.HeaderBytes, o.Limits.HeaderFields = 16<<10, 20 }))
		many := make([]string, 2*21)
		for i := range many {
			many[i] = "x"
		}
		for i, fields := range [][]string{{"x-long", strings.Repeat("a", 20<<10)}, {"x-long", strings.Repeat("é", 16<<10)}, many} {
			id := uint32(4*i + 1)
			p.request(id, "GET", true, append(fields, "x-after", fmt.Sprint("value", i))...)
			if got := p.answer(id); got.status() != "431" || got.reset != nil {
				t.Errorf("%s: %s %v", fields[0], got.status(), got.reset)
			}
			p.request(id+2, "GET", true, "x-after", fmt.Sprint("value", i))
			if got := p.answer(id + 2); got.status() != "200" || !strings.Contains(got.body, fmt.Sprintf("header=map[X-After:[value%d]]", i)) {
				t.Errorf("behind it: %s %s", got.status(), got.body)
			}
		}
	})
}
