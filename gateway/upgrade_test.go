package gateway

import (
	"io"
	"net"
	"testing"
	"time"
)

// tcpPair is a connection, and its other end.
func tcpPair(t *testing.T) (ours, theirs *net.TCPConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dialled, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = listener.Close(), dialled.Close(), accepted.Close() })
	return accepted.(*net.TCPConn), dialled.(*net.TCPConn)
}

// TestATunnelWhoseClientHasGone ends though its backend does not notice; one of whom nobody has goes on.
func TestATunnelWhoseClientHasGone(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*net.TCPConn) error{
		"silent": func(client *net.TCPConn) error { return client.CloseWrite() },
		"beside what the backend does not take": func(client *net.TCPConn) error {
			_, err := io.Copy(client, forever{})
			if err == nil {
				t.Error("the body without an end has one")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, client := tcpPair(t)
			backend, server := tcpPair(t)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				copyBoth(user, backend, 200*time.Millisecond)
			}()
			for range 3 { // nothing is said for longer than the timeout
				select {
				case <-ended:
					t.Error("a tunnel that is idle has ended")
				case <-time.After(100 * time.Millisecond):
				}
			}
			go func() { _, _ = io.WriteString(server, "hello") }()
			if _, err := io.ReadFull(client, make([]byte, 5)); err != nil {
				t.Error(err)
			}
			if err := leave(client); err != nil {
				t.Error(err)
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Error("the tunnel is held")
			}
		})
	}
}

// forever is a body without an end.
type forever struct{}

func (forever) Read(p []byte) (int, error) { return len(p), nil }
