package main_test

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// longBackend takes long over everything, and knows what is open by the query of its address.
type longBackend struct {
	t *testing.T
	*httptest.Server
	mu   sync.Mutex
	open map[string]chan string // of what comes to an end, and how
}

const downloadSize = 10 << 20

func newLongBackend(t *testing.T) *longBackend {
	t.Helper()
	b := &longBackend{t: t, open: map[string]chan string{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// at is where the backend tells of a request with that query: "arrived", and then how it ended.
func (b *longBackend) at(query string) chan string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[query] == nil {
		b.open[query] = make(chan string, 4)
	}
	return b.open[query]
}

// next waits for what the backend tells next of a request.
func (b *longBackend) next(query string) string {
	b.t.Helper()
	select {
	case told := <-b.at(query):
		return told
	case <-time.After(unhelped):
		b.t.Errorf("the backend told nothing of %s for %v", query, unhelped)
		return ""
	}
}

func (b *longBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	told := b.at(r.URL.RawQuery)
	kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	switch kind {
	case "socket":
		b.echo(w, r.Header.Get("Sec-WebSocket-Key"), told)
		return
	case "page":
		fmt.Fprint(w, "a page")
		return
	}
	ended := "canceled"
	switch kind {
	case "events":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
	case "grpc":
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			b.t.Errorf("full duplex: %v", err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		fmt.Fprint(w, "data: hello\n\n")
	case "download":
		w.Header().Set("Content-Length", fmt.Sprint(downloadSize))
		if _, err := w.Write(make([]byte, downloadSize/10)); err != nil {
			b.t.Errorf("download: %v", err)
		}
	}
	if kind != "poll" && kind != "upload" {
		if err := http.NewResponseController(w).Flush(); err != nil {
			b.t.Errorf("flush: %v", err)
		}
	}
	told <- "arrived"
	if kind == "upload" || kind == "grpc" {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			ended = "the whole body"
		}
	} else {
		<-r.Context().Done()
	}
	told <- ended
}

// echo is a WebSocket that sends back the payload of each frame, and tells of the close frame that ends it.
func (b *longBackend) echo(w http.ResponseWriter, key string, told chan string) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		b.t.Errorf("hijack: %v", err)
		return
	}
	defer closeQuietly(b.t, conn)
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", webSocketAccept(key)); err != nil {
		b.t.Errorf("101: %v", err)
	}
	told <- "arrived"
	for {
		opcode, payload, err := readFrame(buffered)
		if err != nil {
			told <- "cut off"
			return
		}
		if opcode == 8 {
			told <- closeText(payload)
			return
		}
		if _, err := conn.Write(append([]byte{0x80 | opcode, byte(len(payload))}, payload...)); err != nil {
			told <- err.Error()
			return
		}
	}
}

// webSocketAccept is what proves that a key was read (RFC 6455, section 4.2.2).
func webSocketAccept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// readFrame reads a short frame, masked or not.
func readFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	var key [4]byte
	if header[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, header[1]&0x7f)
	if len(payload) > 125 {
		return 0, nil, errors.New("a long frame, which nothing here sends")
	}
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return header[0] & 0x0f, payload, err
}

func closeText(payload []byte) string {
	if len(payload) < 2 {
		return "close without a code"
	}
	return fmt.Sprintf("close %d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
}

// maskedFrame is a short frame as a client sends it.
func maskedFrame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	for i := range payload {
		b = append(b, payload[i]^b[2+i%4])
	}
	return b
}

// under is a request under way.
type under struct {
	name  string
	query string
	conn  io.WriteCloser // of a WebSocket
	read  *bufio.Reader
	ended chan string // how it ended for the client; "whole" for an answer that was not cut off
}

// openSocket opens a WebSocket to which something has come back.
func (b *longBackend) openSocket(s *site, path, query, credential string) *under {
	b.t.Helper()
	u := &under{name: "WebSocket " + path, query: query, ended: make(chan string, 1)}
	eventually(b.t, u.name+" is open", func() bool { // again where the IdP was late
		conn := s.handshake(b.t, s.tls(appHost, "http/1.1"))
		if _, err := io.WriteString(conn, "GET "+path+"?"+query+" HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+upgrade+credential+"\r\n\r\n"); err != nil {
			b.t.Fatal(err)
		}
		u.conn, u.read = conn, bufio.NewReader(conn)
		response, err := http.ReadResponse(u.read, &http.Request{Method: http.MethodGet})
		if err != nil || response.StatusCode != http.StatusSwitchingProtocols && !isLate(answer{status: response.StatusCode, header: response.Header}) {
			b.t.Fatalf("%s: %v %v", u.name, response, err)
		}
		return response.StatusCode == http.StatusSwitchingProtocols
	})
	b.arrived(query)
	u.echo(b.t)
	return u
}

func (b *longBackend) arrived(query string) {
	b.t.Helper()
	if told := b.next(query); told != "arrived" {
		b.t.Fatalf("%s: %s", query, told)
	}
}

// echo says something and hears it again.
func (u *under) echo(t *testing.T) {
	t.Helper()
	if _, err := u.conn.Write(maskedFrame(1, "still there?")); err != nil {
		t.Errorf("%s: %v", u.name, err)
	}
	if _, payload, err := readFrame(u.read); err != nil || string(payload) != "still there?" {
		t.Errorf("%s: echoed %q: %v", u.name, payload, err)
	}
}

// watch tells how a WebSocket ends, and answers a close frame as browsers do.
func (u *under) watch() *under {
	go func() {
		_, payload, err := readFrame(u.read)
		if err != nil {
			u.ended <- "cut off"
			return
		}
		_, _ = u.conn.Write(maskedFrame(8, string(payload)))
		how := closeText(payload)
		if _, err := u.read.ReadByte(); err != io.EOF {
			how += ", and then " + fmt.Sprint(err)
		}
		u.ended <- how
	}()
	return u
}

// openRequest begins a request of a kind, in a protocol, and returns when it is under way.
func (b *longBackend) openRequest(s *site, protocol, path, query, credential string) *under {
	b.t.Helper()
	u := &under{name: path + " " + protocol, query: query, ended: make(chan string, 1)}
	if protocol == "http/1.1" && strings.HasSuffix(path, "upload") {
		b.openUpload(s, u, path, credential)
		return u
	}
	c := newClient(b.t, s, s.tls("", protocol))
	method, body := http.MethodGet, io.Reader(nil)
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "upload", "grpc":
		method = http.MethodPost
		read, write := io.Pipe()
		body = read
		b.t.Cleanup(func() { closeQuietly(b.t, write) })
		go func() { _, _ = write.Write(make([]byte, 1000)) }() // and then nothing more
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, s.url("app", path+"?"+query), body)
	if err != nil {
		b.t.Fatal(err)
	}
	name, value, _ := strings.Cut(credential, ": ")
	r.Header.Set(name, value)
	r.Header.Set("Origin", "https://"+appHost)
	if strings.HasSuffix(path, "grpc") {
		r.Header.Set("Content-Type", "application/grpc")
	}
	go func() {
		response, err := c.http.Do(r)
		if err != nil {
			u.ended <- "no answer"
			return
		}
		defer closeQuietly(b.t, response.Body)
		if response.StatusCode != http.StatusOK {
			u.ended <- response.Status
			return
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			u.ended <- "whole"
			return
		}
		u.ended <- "cut off"
	}()
	b.arrived(query)
	return u
}

// openUpload begins an upload over HTTP/1.1: net/http's client would see the end of it only when it has more to send.
func (b *longBackend) openUpload(s *site, u *under, path, credential string) {
	b.t.Helper()
	conn := s.handshake(b.t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, "POST "+path+"?"+u.query+" HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+credential+"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		how := "no answer"
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			how = fmt.Sprintf("%.100q", got)
		}
		u.ended <- how
	}()
	b.arrived(u.query)
}

// ends waits for how a request under way ends, for the client and for the backend.
func (b *longBackend) ends(u *under, client, backend string) {
	b.t.Helper()
	select {
	case how := <-u.ended:
		if how != client {
			b.t.Errorf("%s: the client sees %q, want %q", u.name, how, client)
		}
	case <-time.After(unhelped):
		b.t.Errorf("%s goes on", u.name)
	}
	if told := b.next(u.query); told != backend {
		b.t.Errorf("%s: the backend sees %q, want %q", u.name, told, backend)
	}
}

// goesOn fails for a request that has ended.
func (b *longBackend) goesOn(u *under) {
	b.t.Helper()
	if u.conn != nil {
		u.echo(b.t)
		return
	}
	select {
	case how := <-u.ended:
		b.t.Errorf("%s has ended: %s", u.name, how)
	case told := <-b.at(u.query):
		b.t.Errorf("%s has ended for the backend: %s", u.name, told)
	default:
	}
}

// openAll begins one request of each kind, in both protocols where there are two.
func (b *longBackend) openAll(s *site, prefix, mark, credential string) (all []*under) {
	b.t.Helper()
	all = append(all, b.openSocket(s, prefix+"/socket", mark+"-socket", credential).watch(),
		b.openTunnel(s, prefix+"/socket", mark+"-tunnel", credential).watch())
	for _, protocol := range []string{"http/1.1", "h2"} {
		for _, kind := range []string{"events", "download", "upload", "poll", "grpc"} {
			all = append(all, b.openRequest(s, protocol, prefix+"/"+kind, mark+"-"+kind+"-"+protocol, credential))
		}
	}
	return all
}

// allEnd waits until all have ended: WebSockets by a close frame, everything else cut off.
func (b *longBackend) allEnd(all []*under, closed string) {
	b.t.Helper()
	for _, u := range all {
		switch {
		case u.conn != nil:
			b.ends(u, closed, closed)
		case strings.Contains(u.name, "poll"), strings.Contains(u.name, "upload"):
			b.ends(u, "no answer", "canceled")
		default:
			b.ends(u, "cut off", "canceled")
		}
	}
}
