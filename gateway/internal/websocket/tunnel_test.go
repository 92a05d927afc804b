package websocket

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// tunnelled is a tunnel between two connections, with what copies as the gateway does.
type tunnelled struct {
	t               *testing.T
	tunnel          *Tunnel
	client, backend *net.TCPConn // the far ends
	ended           chan struct{}
}

func tcpPair(t *testing.T) (near, far *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close(); _ = b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func newTunnelled(t *testing.T) *tunnelled {
	t.Helper()
	x := &tunnelled{t: t, ended: make(chan struct{})}
	var client, backend *net.TCPConn
	client, x.client = tcpPair(t)
	backend, x.backend = tcpPair(t)
	begun := make(chan struct{})
	x.tunnel = New(backend, func() { close(begun) })
	user, server := x.tunnel.Client(client), x.tunnel.Backend()
	go func() {
		defer close(x.ended)
		errs := make(chan error, 2)
		pipe := func(to io.Writer, from io.Reader) {
			_, err := io.Copy(to, from)
			if err == nil {
				err = to.(interface{ CloseWrite() error }).CloseWrite()
			}
			errs <- err
		}
		go pipe(server, user)
		go pipe(user, server)
		if err := <-errs; err == nil {
			<-errs
		}
		_ = user.Close()
		_ = server.Close()
		x.tunnel.Wait()
	}()
	<-begun
	return x
}

func (x *tunnelled) send(to *net.TCPConn, b []byte) {
	x.t.Helper()
	if _, err := to.Write(b); err != nil {
		x.t.Fatal(err)
	}
}

func (x *tunnelled) expect(from *net.TCPConn, want []byte) {
	x.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(from, got); err != nil || !bytes.Equal(got, want) {
		x.t.Fatalf("received % x (%v), want % x", got[:n], err, want)
	}
}

// rest is what comes until the connection is closed.
func (x *tunnelled) rest(from *net.TCPConn) []byte {
	x.t.Helper()
	b, err := io.ReadAll(from)
	if err != nil {
		x.t.Logf("read %d bytes, then: %v", len(b), err)
	}
	return b
}

// unmasked is the payload of a close frame that a client sent.
func unmasked(t *testing.T, b []byte) []byte {
	t.Helper()
	if len(b) < 6 || b[0] != 0x88 || b[1] < 0x80 || int(b[1]&0x7f) != len(b)-6 {
		t.Fatalf("the backend received % x, want one masked close frame", b)
	}
	payload := b[6:]
	for i := range payload {
		payload[i] ^= b[2+i%4]
	}
	return payload
}

// TestEndBetweenFrames: both are told at once, and when both have answered the connections are closed.
func TestEndBetweenFrames(t *testing.T) {
	t.Parallel()
	x := newTunnelled(t)
	x.tunnel.closeTimeout = 2 * time.Minute // nothing here waits for it
	hello := frame(0x81, 0, false, []byte("hello"))
	x.send(x.backend, hello)
	x.expect(x.client, hello)
	asked := frame(0x81, 0, true, []byte("ask"))
	x.send(x.client, asked)
	x.expect(x.backend, asked)
	x.tunnel.End(4401, "signed out")
	x.tunnel.End(1001, "a second time")
	x.expect(x.client, closeFrame(4401, "signed out"))
	x.send(x.client, append(frame(0x81, 0, true, []byte("after the end")), maskedCloseFrame(4401, "", [4]byte{1, 2, 3, 4})...))
	if got := unmasked(t, x.rest(x.backend)); string(got) != "\x11\x31signed out" {
		t.Errorf("the backend was told %q", got)
	}
	_ = x.backend.Close()
	if more := x.rest(x.client); len(more) > 0 {
		t.Errorf("the client received % x behind the close frame", more)
	}
	<-x.ended
}

// TestEndInTheMiddleOfAFrame: the frame is sent to its end first, and nothing behind it.
func TestEndInTheMiddleOfAFrame(t *testing.T) {
	t.Parallel()
	x := newTunnelled(t)
	x.tunnel.closeTimeout = 2 * time.Minute // nothing here waits for it
	long := frame(0x82, 2, false, bytes.Repeat([]byte{7}, 1000))
	x.send(x.backend, long[:500])
	x.expect(x.client, long[:500])
	asked := frame(0x81, 0, true, []byte("half"))
	x.send(x.client, asked[:7])
	x.expect(x.backend, asked[:7])
	x.tunnel.End(4401, "signed out")
	if got := x.rest(x.backend); len(got) > 0 { // in a frame of the client's there is no place for a close frame
		t.Errorf("the backend received % x", got)
	}
	x.send(x.backend, append(long[500:], frame(0x81, 0, false, []byte("behind it"))...))
	x.expect(x.client, long[500:])
	x.expect(x.client, closeFrame(4401, "signed out"))
	_ = x.client.CloseWrite()
	_ = x.backend.Close()
	if more := x.rest(x.client); len(more) > 0 {
		t.Errorf("the client received % x behind the close frame", more)
	}
	<-x.ended
}

// TestEndWithoutABoundary: who never ends the frame is cut off after a second, and so is who never answers.
func TestEndWithoutABoundary(t *testing.T) {
	t.Parallel()
	for name, half := range map[string][]byte{"in-a-frame": frame(0x82, 2, false, make([]byte, 1000))[:20], "between-frames": frame(0x82, 0, false, nil)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newTunnelled(t)
			x.send(x.backend, half)
			x.expect(x.client, half)
			began := time.Now()
			x.tunnel.End(4401, "signed out")
			got := x.rest(x.client)
			if took := time.Since(began); took < closeTimeout {
				t.Errorf("closed after %v, before the second was over", took)
			}
			if told := len(got) > 0; told != (name == "between-frames") {
				t.Errorf("the client received % x", got)
			}
			<-x.ended
		})
	}
}

// TestClosedByTheBackend: the backend's own close frame is the last that the client sees.
func TestClosedByTheBackend(t *testing.T) {
	t.Parallel()
	x := newTunnelled(t)
	bye := closeFrame(1000, "bye")
	x.send(x.backend, bye)
	x.expect(x.client, bye)
	x.tunnel.End(4401, "signed out")
	_ = x.client.CloseWrite()
	_ = x.backend.Close()
	if more := x.rest(x.client); len(more) > 0 {
		t.Errorf("the client received % x behind the backend's close frame", more)
	}
	<-x.ended
}

// TestUntouched: a tunnel that nothing ends passes everything on, half-closed sides included.
func TestUntouched(t *testing.T) {
	t.Parallel()
	x := newTunnelled(t)
	x.send(x.client, []byte("no WebSocket at all"))
	_ = x.client.CloseWrite()
	if got := x.rest(x.backend); string(got) != "no WebSocket at all" {
		t.Errorf("the backend received %q", got)
	}
	x.send(x.backend, []byte("an answer"))
	_ = x.backend.Close()
	if got := x.rest(x.client); string(got) != "an answer" {
		t.Errorf("the client received %q", got)
	}
	<-x.ended
}
