package gateway

import (
	"io"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	http2client "github.com/viloforge/vilogate/gateway/internal/http2/client"
)

// upstreamAnswer is what an upstream answers, over either protocol.
type upstreamAnswer struct {
	Head http1.Head
	upstreamExchange
}

// upstreamExchange is a request and its answer under way. It is owned by the goroutine that asks, which calls Close; Abort is for
// others.
type upstreamExchange interface {
	// Next is the next piece of the body, which is good until the next call; io.EOF where it has ended whole. Where it has to
	// wait for the upstream, it calls pause before, unless that is nil.
	Next(pause func()) ([]byte, error)
	// Poll is Next without waiting for the upstream; ready is false where Next would wait.
	Poll() (piece []byte, ready bool, err error)
	// Keep leaves the piece that was returned last valid for good.
	Keep()
	// Complete reports whether nothing waits for the upstream any more.
	Complete() bool
	// Trailer are the fields behind the body, once it has ended.
	Trailer() field.List
	// Abort ends a Next that waits.
	Abort()
	// Close ends the exchange; again, it does nothing.
	Close()
}

var (
	_ upstreamExchange = (*client.Exchange)(nil)
	_ upstreamExchange = (*http2client.Exchange)(nil)
)

// Tunnel is the connection, once the answer was 101, which is one of HTTP/1.1.
func (a *upstreamAnswer) Tunnel() io.ReadWriteCloser {
	return a.upstreamExchange.(*client.Exchange).Tunnel()
}
