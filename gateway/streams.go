package gateway

import (
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/streams"
	"github.com/viloforge/vilogate/gateway/internal/websocket"
)

// stream is a request under way, as far as something else may end it. Its zero value is one that nothing has ended. It is
// part of what the goroutine that serves the request owns; end alone is called from others.
type stream struct {
	streams.Stream
	opened *websocket.Tunnel // of the upgrade; nil where there was none; owned by the request's goroutine

	mu       sync.Mutex
	cause    streams.Cause        // guarded by mu: why it was ended; 0 while it was not
	finished bool                 // guarded by mu: its connection may have another request
	answer   interface{ Abort() } // guarded by mu: the upstream's answer, once it has begun
	tunnel   *websocket.Tunnel    // guarded by mu: opened, once something passes through it
	call     func(streams.Cause)  // guarded by mu: ends a call of gRPC; nil where it is none
}

// An aborter is a request's body of HTTP/1 after which there is no other request. Package edge has it.
type aborter interface{ Abort() error }

// closeCodes are the codes and reasons of close frames (RFC 6455, section 7.4), by cause: 1001 says "going away", those
// from 4000 on are each application's own.
var closeCodes = [...]struct {
	code   uint16
	reason string
}{
	streams.Revoked:     {4401, "signed out"},
	streams.SessionOver: {4401, "signed out"},
	streams.Policy:      {4401, "not allowed any more"},
	streams.Drain:       {1001, "shutting down"},
}

// end ends the stream: a WebSocket by a close frame, a call of gRPC by a status, anything else by a reset of HTTP/2 or the end of the connection of
// HTTP/1, so that the client sees an answer that was cut off. The upstream's side ends too. Only the first call counts.
func (s *stream) end(cause streams.Cause, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished || s.cause != 0 {
		return
	}
	s.cause = cause
	if s.tunnel != nil {
		s.tunnel.End(closeCodes[cause].code, closeCodes[cause].reason)
		return
	}
	if s.call != nil && http.NewResponseController(w).SetWriteDeadline(time.Now().Add(callEndTimeout)) == nil {
		s.call(cause)
		return
	}
	// Each of these ends what another one cannot: waiting for the upstream, reading from the client, writing to it. Where
	// one fails, the connection is closed already.
	if client := clientConnOf(r.Context()); client != nil {
		client.cancel()
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(expiredDeadline) // resets a stream of HTTP/2, and so cancels its request
	if body, ok := r.Body.(aborter); ok {
		_ = body.Abort()
	} else if r.ProtoMajor == 1 {
		_ = control.SetReadDeadline(expiredDeadline)
	}
	if s.answer != nil {
		s.answer.Abort()
	}
}

// callEndTimeout is how long a call of gRPC has to end with a status, before its stream is reset.
const callEndTimeout = time.Second

// setCall notes that the request is a call of gRPC, which end has answered by a status.
func (s *stream) setCall(end func(streams.Cause)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call = end
}

// setAnswer notes the upstream's answer, which ends with the stream.
func (s *stream) setAnswer(answer interface{ Abort() }) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
	if s.cause != 0 {
		answer.Abort()
	}
}

// openTunnel has what is copied between client and backend pass through a tunnel; begun is called when it does.
func (s *stream) openTunnel(backend io.ReadWriteCloser, begun func()) io.ReadWriteCloser {
	var t *websocket.Tunnel
	t = websocket.New(backend, func() {
		s.mu.Lock()
		s.tunnel = t
		s.mu.Unlock()
		begun()
	})
	s.opened = t
	return t.Backend()
}

// isWebSocket reports whether something passes through a tunnel.
func (s *stream) isWebSocket() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tunnel != nil
}

// finish is when the request has ended. It returns why something else ended it; 0 where nothing did.
func (s *stream) finish() streams.Cause {
	s.mu.Lock()
	s.finished = true
	cause := s.cause
	s.mu.Unlock()
	if s.opened != nil {
		s.opened.Wait()
	}
	return cause
}
