package http2

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// The end of an answer that waits for a slow client is not lost when the connection is drained.
func TestADrainedConnectionIsWrittenToItsEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const size = 40 << 10
		returned := make(chan struct{})
		s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
			defer close(returned)
			if _, err := w.Write(make([]byte, size)); err != nil {
				t.Error(err)
			}
		}, nil)
		p := connect(t, s)
		_, err := io.WriteString(p.conn, preface)
		p.write(err)
		p.write(p.WriteSettings())
		p.request(p.id(), "GET", true)
		<-returned
		drained := make(chan error, 1)
		go func() { drained <- s.Shutdown(context.Background()) }()
		time.Sleep(10 * time.Second) // in which the client takes nothing
		go p.listen()
		got := 0
		for _, e := range p.rest() {
			if e.kind == http2.FrameData {
				got += len(e.data)
			}
		}
		if got != size {
			t.Errorf("%d bytes of %d", got, size)
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}
