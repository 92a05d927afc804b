package websocket

import (
	"bytes"
	"io"
	"testing"
	"time"
)

// read reads so many bytes of what an end is sent.
func (x *tunnelled) read(from io.Reader, n int) []byte {
	x.t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(from, b); err != nil {
		x.t.Fatalf("after %x: %v", b, err)
	}
	return b
}

// Both ends are sent pings, masked to the backend, between frames alone; who is sent something is not asked; and after a close frame, or
// the end, nobody is.
func TestPings(t *testing.T) {
	t.Parallel()
	x := newTunnelled(t)
	x.tunnel.PingEvery(5 * time.Millisecond)
	for range 3 {
		if got := x.read(x.client, 2); !bytes.Equal(got, []byte{0x89, 0}) {
			t.Fatalf("the client is sent %x", got)
		}
		if got := x.read(x.backend, 6); got[0] != 0x89 || got[1] != 0x80 {
			t.Fatalf("the backend is sent %x", got)
		}
	}
	// Behind a frame that is not whole, none comes before its end.
	if _, err := x.backend.Write([]byte{0x81, 3, 'a'}); err != nil {
		t.Fatal(err)
	}
	got := x.read(x.client, 2)
	for got[0] == 0x89 { // what was sent before
		got = x.read(x.client, 2)
	}
	if got = append(got, x.read(x.client, 1)...); !bytes.Equal(got, []byte{0x81, 3, 'a'}) {
		t.Fatalf("the client is sent %x", got)
	}
	for range 3 { // the backend goes on being asked meanwhile
		x.read(x.backend, 6)
	}
	if _, err := x.backend.Write([]byte{'b', 'c', 0x88, 0}); err != nil {
		t.Fatal(err)
	}
	if got := x.read(x.client, 4); !bytes.Equal(got, []byte{'b', 'c', 0x88, 0}) {
		t.Errorf("the client is sent %x", got)
	}
	for range 3 {
		x.read(x.backend, 6)
	}
	if err := x.backend.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(x.client); len(got) != 0 || err != nil {
		t.Errorf("behind a close frame the client is sent %x, %v", got, err)
	}
	_ = x.client.Close()
	_ = x.backend.Close()
	<-x.ended
	x.tunnel.Wait()
}
