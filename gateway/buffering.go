package gateway

import (
	"io"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/readahead"
	"github.com/viloforge/vilogate/policies/request"
)

// takeIn reads the request's body before the upstream is asked, where the upstream wants that. Where there is no memory for all of
// it, what was read is sent first, and the rest streams; of unknown length, it is refused.
func (x *forwarding) takeIn(out *outgoing) error {
	if !x.takesIn(out) {
		return nil
	}
	b, unknown := out.body, out.length < 0
	most := out.length
	if unknown {
		most = x.upstream.Buffer.Request
	}
	b.held = &held{of: x.g.buffers, client: request.ClientNetwork(x.client)}
	body := b.begun
	b.begun = nil
	for {
		if len(body) == cap(body) {
			// With room for the byte beyond, which is not there, so that the end is read.
			larger := int(min(max(2*int64(cap(body)), smallestBuffer), most+1))
			if !b.held.grow(larger - cap(body)) {
				x.g.buffers.full.Add(1)
				b.begun = body
				if unknown {
					return refuseNoMemory()
				}
				return nil
			}
			body = append(make([]byte, 0, larger), body...)
		}
		out.header.Del("Expect") // which is answered by the reading
		n, err := b.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > most:
			return refuseTooLarge(most, reasonBeyondBuffer)
		case err == io.EOF:
			b.begun, out.length = body, int64(len(body))
			if len(body) == 0 {
				out.body = nil
			}
			// The assertion that was made when the request came may be about to expire.
			return x.prepareAssertion(x.g.opts.Now())
		case err != nil:
			return x.upstreamFailure(err, b)
		}
	}
}

// reasonBeyondBuffer is why a body of unknown length is refused.
const reasonBeyondBuffer = "the body, of unknown length, is beyond what the upstream has taken in (buffer.request)"

// streamsBodies reports whether no body is held: of gRPC none is, nor where the route says so.
func (x *forwarding) streamsBodies() bool {
	return x.isGRPC() || x.route() != nil && x.route().StreamBodies
}

// takesIn reports whether the body is one to be taken in.
func (x *forwarding) takesIn(out *outgoing) bool {
	if out.body == nil || x.upstream == nil || x.streamsBodies() {
		return false
	}
	if out.length < 0 {
		return x.upstream.Buffer.Unknown
	}
	return out.length <= x.upstream.Buffer.Request
}

// unheldLength is the longest answer in bytes that is not read ahead: the sockets between here and the backend hold it.
const unheldLength = 64 << 10

// isEventStream reports whether an answer is one of server-sent events.
func isEventStream(h field.List) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// readsAhead reports whether an answer is read ahead of its reader.
func (x *forwarding) readsAhead(answer *upstreamAnswer) bool {
	if x.upstream == nil || x.upstream.Buffer.Response == 0 || x.streamsBodies() {
		return false
	}
	if length := answer.Head.Length; length >= 0 && length <= unheldLength || answer.Whole() {
		return false
	}
	return true
}

// readAhead begins to read an answer ahead. The upstream has done with the request when the answer has come, however slow its
// reader is.
func (x *forwarding) readAhead(answer *upstreamAnswer, body *requestBody) *readahead.Reader {
	memory, counted := &held{of: x.g.buffers, client: request.ClientNetwork(x.client)}, false
	return readahead.Start(answer, readahead.Options{
		Most: int(x.upstream.Buffer.Response),
		Grow: func(n int) bool {
			ok := memory.grow(n)
			if !ok && !counted {
				counted = true
				x.g.buffers.full.Add(1)
			}
			return ok
		},
		Shrink: func(int) { memory.release() },
		Ended: func() {
			if body == nil || body.ended() {
				answer.Close()
				x.attempts.end()
			}
		},
	})
}
