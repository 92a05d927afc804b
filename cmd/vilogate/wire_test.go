package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// request is one request as an attacker writes it: nothing is checked, cleaned or added but what the protocol needs.
type request struct {
	method string // GET when empty
	host   string // Host or :authority, as it goes over the wire; "-" leaves it out
	target string // "/" when empty
	header []string
	body   string
}

// protocol sends a request on a connection of its own.
type protocol struct {
	name string
	send func(s *site, tb testing.TB, r request) answer
}

// protocols are the two ways in; one rule has to hold on both.
func protocols() []protocol {
	return []protocol{{"HTTP1.1", (*site).http1}, {"HTTP2", (*site).http2}}
}

func (r request) filled() request {
	if r.method == "" {
		r.method = http.MethodGet
	}
	if r.target == "" {
		r.target = "/"
	}
	return r
}

// handshake opens a TLS connection to the site for a server name.
func (s *site) handshake(tb testing.TB, config *tls.Config) *tls.Conn {
	tb.Helper()
	return s.handshakeFrom(tb, "", config)
}

// handshakeFrom is handshake from another address on loopback.
func (s *site) handshakeFrom(tb testing.TB, address string, config *tls.Config) *tls.Conn {
	tb.Helper()
	dialer := &net.Dialer{}
	if address != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(address)}
	}
	conn, err := tls.DialWithDialer(dialer, "tcp", s.at.HTTPS, config)
	if err != nil {
		tb.Fatalf("TLS handshake for %s: %v", config.ServerName, err)
	}
	tb.Cleanup(func() { closeQuietly(tb, conn) })
	if err := conn.SetDeadline(time.Now().Add(waitTimeout)); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// closeQuietly closes a connection whose other end may be gone already.
func closeQuietly(tb testing.TB, c io.Closer) {
	if err := c.Close(); err != nil {
		tb.Logf("closing: %v", err)
	}
}

func (s *site) tls(serverName string, alpn ...string) *tls.Config {
	return &tls.Config{RootCAs: s.roots, ServerName: serverName, NextProtos: alpn}
}

// serverName is the name a client asks for in its handshake when it means this authority.
func (s *site) serverName(authority string) string {
	name, _, _ := strings.Cut(authority, ":")
	if strings.HasSuffix(name, "."+s.domain) {
		return name
	}
	return "app." + s.domain
}

// text is the request in HTTP/1.1.
func (r request) text() string {
	r = r.filled()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	if r.host != "-" {
		fmt.Fprintf(&b, "Host: %s\r\n", r.host)
	}
	framed := false
	for _, line := range r.header {
		b.WriteString(line + "\r\n")
		name, _, _ := strings.Cut(strings.ToLower(line), ":")
		framed = framed || name == "content-length" || name == "transfer-encoding"
	}
	if r.body != "" && !framed {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

func (s *site) http1(tb testing.TB, r request) answer {
	tb.Helper()
	conn := s.handshake(tb, s.tls(s.serverName(r.host), "http/1.1"))
	if _, err := io.WriteString(conn, r.text()); err != nil {
		tb.Logf("writing: %v", err) // the gateway may have refused and closed before the last byte
	}
	return readAnswer(tb, bufio.NewReader(conn), r.filled().method)
}

// readAnswer reads one response, or says with status 0 that the connection ended without one.
func readAnswer(tb testing.TB, from *bufio.Reader, method string) answer {
	tb.Helper()
	response, err := http.ReadResponse(from, &http.Request{Method: method})
	if err != nil {
		tb.Logf("no response: %v", err)
		return answer{}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		tb.Logf("response body: %v", err)
	}
	if response.Close { // which ReadResponse has taken out of the header
		response.Header.Set("Connection", "close")
	}
	return answer{status: response.StatusCode, header: response.Header, body: string(body), trailer: response.Trailer}
}

// wire sends bytes on a connection of their own and returns every response until the gateway closes it or, when it stays open
// behind a response, until it has been silent for a while.
func (s *site) wire(tb testing.TB, serverName, raw string) (answers []answer, closed bool) {
	tb.Helper()
	conn := s.handshake(tb, s.tls(serverName, "http/1.1"))
	if _, err := io.WriteString(conn, raw); err != nil {
		tb.Logf("writing: %v", err)
	}
	const silence = 8 * time.Second // less than the gateway waits for the rest of a header
	var everything []byte
	for patience := waitTimeout; !closed; patience = silence {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			tb.Fatal(err)
		}
		piece := make([]byte, 64<<10)
		n, err := conn.Read(piece)
		everything = append(everything, piece[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		closed = err != nil
	}
	method, _, _ := strings.Cut(raw, " ")
	reader := bufio.NewReader(bytes.NewReader(everything))
	for {
		if _, err := reader.Peek(1); err != nil {
			return answers, closed
		}
		a := readAnswer(tb, reader, method)
		if a.status == 0 {
			return answers, closed
		}
		answers = append(answers, a)
	}
}

// field is one HTTP/2 header field, exactly as it goes over the wire.
type field struct{ name, value string }

// fields is the request in HTTP/2: header names are lowered, as every client does.
func (r request) fields() []field {
	r = r.filled()
	list := []field{{":method", r.method}, {":scheme", "https"}}
	if r.method != http.MethodConnect {
		list = append(list, field{":path", r.target})
	} else {
		list = list[:1]
	}
	if r.host != "-" {
		list = append(list, field{":authority", r.host})
	}
	for _, line := range r.header {
		name, value, _ := strings.Cut(line, ":")
		list = append(list, field{strings.ToLower(name), strings.TrimPrefix(value, " ")})
	}
	return list
}

func (s *site) http2(tb testing.TB, r request) answer {
	tb.Helper()
	c := s.h2(tb, s.serverName(r.host))
	return c.exchange(r.fields(), r.body)
}

// h2conn is an HTTP/2 connection on which every frame is written by hand.
type h2conn struct {
	tb      testing.TB
	conn    *tls.Conn
	framer  *http2.Framer
	block   bytes.Buffer
	encoder *hpack.Encoder
	next    uint32
}

func (s *site) h2(tb testing.TB, serverName string) *h2conn {
	tb.Helper()
	conn := s.handshake(tb, s.tls(serverName, "h2"))
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		tb.Fatalf("ALPN chose %q, want h2", got)
	}
	c := &h2conn{tb: tb, conn: conn, framer: http2.NewFramer(conn, conn), next: 1}
	c.encoder = hpack.NewEncoder(&c.block)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.AllowIllegalWrites = true
	_, err := io.WriteString(conn, http2.ClientPreface)
	c.check(err)
	c.check(c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 24}))
	c.check(c.framer.WriteWindowUpdate(0, 1<<24))
	return c
}

func (c *h2conn) check(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatalf("HTTP/2: %v", err)
	}
}

// headers writes a header block, in as many frames as it needs.
func (c *h2conn) headers(fields []field, end bool) (stream uint32) {
	c.tb.Helper()
	stream = c.next
	c.next += 2
	c.writeBlock(stream, fields, end)
	return stream
}

func (c *h2conn) writeBlock(stream uint32, fields []field, end bool) {
	c.tb.Helper()
	c.block.Reset()
	for _, f := range fields {
		c.check(c.encoder.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}))
	}
	block := c.block.Bytes()
	const frame = 16384
	first := block[:min(frame, len(block))]
	block = block[len(first):]
	c.check(c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: stream, BlockFragment: first, EndStream: end, EndHeaders: len(block) == 0,
	}))
	for len(block) > 0 {
		part := block[:min(frame, len(block))]
		block = block[len(part):]
		c.check(c.framer.WriteContinuation(stream, len(block) == 0, part))
	}
}

func (c *h2conn) exchange(fields []field, body string) answer {
	c.tb.Helper()
	stream := c.headers(fields, body == "")
	if body != "" {
		c.check(c.framer.WriteData(stream, true, []byte(body)))
	}
	return c.read(stream)
}

// read waits for the end of a stream: a whole response, or status 0 when the stream or the connection was ended.
func (c *h2conn) read(stream uint32) answer {
	c.tb.Helper()
	a := answer{header: http.Header{}}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			c.tb.Logf("stream %d ended: %v", stream, err)
			return answer{}
		}
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.check(c.framer.WriteSettingsAck())
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.check(c.framer.WritePing(true, f.Data))
			}
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				c.tb.Logf("the gateway ended the connection: %v", f.ErrCode)
				return answer{}
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream && f.ErrCode != http2.ErrCodeNo {
				c.tb.Logf("the gateway ended the stream: %v", f.ErrCode)
				return answer{}
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream && c.take(&a, f) {
				return a
			}
		case *http2.DataFrame:
			if f.StreamID == stream {
				a.body += string(f.Data())
				if f.StreamEnded() {
					return a
				}
			}
		}
	}
}

// take adds a header block to the answer and says whether the stream has ended.
func (c *h2conn) take(a *answer, f *http2.MetaHeadersFrame) bool {
	status := f.PseudoValue("status")
	if status == "" {
		a.trailer = http.Header{}
		for _, h := range f.RegularFields() {
			a.trailer.Add(h.Name, h.Value)
		}
		return f.StreamEnded()
	}
	code, err := strconv.Atoi(status)
	c.check(err)
	if code < 200 {
		return false
	}
	a.status = code
	for _, h := range f.RegularFields() {
		a.header.Add(h.Name, h.Value)
	}
	return f.StreamEnded()
}
