package http2

import (
	"bufio"
	"bytes"
	"net"
	"testing"

	"golang.org/x/net/http2/hpack"
)

// rawClient sends the same request again and again, with as little work of its own as can be.
type rawClient struct {
	t       testing.TB
	conn    net.Conn
	in      *bufio.Reader
	next    uint32
	encoder *hpack.Encoder
	encoded bytes.Buffer
}

func newRawClient(t testing.TB, conn net.Conn, buffer int) *rawClient {
	c := &rawClient{t: t, conn: conn, in: bufio.NewReaderSize(conn, buffer), next: 1}
	b := append([]byte(preface), appendSettings(nil, setting{settingInitialWindowSize, 1 << 30})...)
	b = appendWindowUpdate(b, 0, 1<<30)
	c.write(b)
	return c
}

func (c *rawClient) write(b []byte) {
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

// request appends a request like a browser's, of which everything is in the dynamic table after the first.
func (c *rawClient) request(b []byte) []byte {
	if c.encoder == nil {
		c.encoder = hpack.NewEncoder(&c.encoded)
	}
	c.encoded.Reset()
	for _, f := range [][2]string{
		{":method", "GET"},
		{":scheme", "https"},
		{":authority", "billing-api.viloforge.com"},
		{":path", "/invoices?page=2"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"},
		{"accept", "application/json"},
		{"accept-encoding", "gzip, deflate, br, zstd"},
		{"accept-language", "en-GB,en;q=0.9"},
		{"cookie", "__Secure-sso=eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"},
		{"sec-fetch-mode", "cors"},
		{"sec-fetch-site", "same-site"},
		{"referer", "https://website.viloforge.com/"},
	} {
		if err := c.encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	b = appendBlock(b, c.next, c.encoded.Bytes(), true)
	c.next += 2
	return b
}

// drive makes n requests, so many of them at once.
func (c *rawClient) drive(n, streams int) {
	var b []byte
	sent, done := 0, 0
	for done < n {
		b = b[:0]
		for sent < n && sent-done < streams {
			b = c.request(b)
			sent++
		}
		if len(b) > 0 {
			c.write(b)
		}
		// Everything that has arrived, and at least one answer.
		for before := done; done == before || c.in.Buffered() >= frameHeaderLength && done < sent; {
			if c.readEnd() {
				done++
			}
		}
	}
}

// readEnd reads a frame, and reports whether it ends a stream.
func (c *rawClient) readEnd() bool {
	header, err := c.in.Peek(frameHeaderLength)
	if err != nil {
		c.t.Fatal(err)
	}
	f := parseFrameHeader(header)
	if _, err := c.in.Discard(frameHeaderLength + f.length); err != nil {
		c.t.Fatal(err)
	}
	if f.kind == goAwayFrame || f.kind == resetFrame {
		c.t.Fatalf("frame %d", f.kind)
	}
	return (f.kind == dataFrame || f.kind == headersFrame) && f.has(flagEndStream)
}

func (c *rawClient) close() {
	if err := c.conn.Close(); err != nil {
		c.t.Log(err)
	}
}
