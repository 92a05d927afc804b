package edge

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/conntest"
)

// memory is a listener whose connections are in memory, so that their deadlines
// follow the clock of a synctest bubble.
type memory struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newMemory() *memory {
	return &memory{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

// Accept implements net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.incoming:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// Addr implements net.Listener.
func (m *memory) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func (m *memory) dial() (net.Conn, error) {
	client, server := conntest.Pipe()
	select {
	case m.incoming <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// startInMemory is start in a synctest bubble.
func startInMemory(t *testing.T, handler http.HandlerFunc, change func(*Options)) *site {
	t.Helper()
	// A connection is read on behind its last answer, and the clock of a bubble ends with its test.
	t.Cleanup(func() { <-time.After(20 * time.Second) })
	return startOn(t, []net.Listener{newMemory()}, []net.Listener{newMemory()}, handler, change)
}
