package gateway

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/readahead"
	"github.com/viloforge/vilogate/policies/request"
)

// bufferBody reads the request's body before the upstream is asked, where the upstream wants that. Where there is no room for all of it, in
// memory or on disk, what was read is sent first, and the rest streams; of unknown length, it is refused.
func (x *forwarding) bufferBody(out *outgoing) error {
	if !x.buffersBody(out) {
		return nil
	}
	b, unknown := out.body, out.length < 0
	most := out.length
	if unknown {
		most = max(x.upstream.Buffer.Request, x.upstream.Buffer.Disk)
	}
	ended, err := x.bufferInMemory(out, min(most, x.upstream.Buffer.Request))
	if err == nil && !ended && most <= x.upstream.Buffer.Disk {
		ended, err = x.bufferOnDisk(b, most)
	}
	length := int64(len(b.begun)) + b.spilled()
	switch {
	case err != nil:
		return x.upstreamFailure(err, b)
	case ended:
		if out.length = length; length == 0 {
			out.body = nil
		}
		// The assertion that was made when the request came may be about to expire.
		return x.prepareAssertion(x.g.opts.Now())
	case unknown && length > most:
		return refuseTooLarge(most, reasonBeyondBuffer)
	}
	x.g.buffers.full.Add(1)
	if unknown {
		return refuseNoMemory()
	}
	return nil
}

// bufferInMemory reads up to so many bytes of a body, and one more, into memory, as far as there is any; ended reports whether they are
// all of it.
func (x *forwarding) bufferInMemory(out *outgoing, most int64) (ended bool, err error) {
	b := out.body
	b.reserved = &reservation{of: x.g.buffers, client: request.ClientNetwork(x.client)}
	body := b.begun
	b.begun = nil
	defer func() { b.begun = body }()
	for int64(len(body)) <= most {
		if len(body) == cap(body) {
			// With room for the byte beyond, which is not there, so that the end is read.
			larger := int(min(max(2*int64(cap(body)), smallestBuffer), most+1))
			if !b.reserved.grow(larger - cap(body)) {
				return false, nil
			}
			body = append(make([]byte, 0, larger), body...)
		}
		out.header.Del("Expect") // which is answered by the reading
		n, err := b.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// bufferOnDisk reads what is left of a body, up to so many bytes with what is in memory, and one more, into a file, as far as there is
// room; ended reports whether they are all of it.
func (x *forwarding) bufferOnDisk(b *requestBody, most int64) (ended bool, err error) {
	file := x.g.buffers.file(request.ClientNetwork(x.client))
	if file == nil {
		return false, nil
	}
	inMemory, onDisk, behind := b.begun, int64(0), []byte(nil)
	b.begun = nil
	defer func() { b.begun, b.file, b.onDisk, b.behind = inMemory, file, onDisk, behind }()
	piece := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(piece)
	for int64(len(inMemory))+onDisk <= most {
		n, err := b.Read(piece[:])
		if n > 0 {
			if _, err := file.Write(piece[:n]); err != nil {
				behind = bytes.Clone(piece[:n])
				return false, nil
			}
			onDisk += int64(n)
		}
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return false, err
		}
	}
	return false, nil
}

// copyBuffer is how much of a body goes to disk at a time.
const copyBuffer = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// reasonBeyondBuffer is why a body of unknown length is refused.
const reasonBeyondBuffer = "the body, of unknown length, is beyond what the upstream has taken in (buffer.request, buffer.disk)"

// streamsBodies reports whether no body is held: of gRPC none is, nor where the route says so.
func (x *forwarding) streamsBodies() bool {
	return x.isGRPC() || x.route() != nil && x.route().StreamBodies
}

// buffersBody reports whether the body is to be read before the upstream is asked.
func (x *forwarding) buffersBody(out *outgoing) bool {
	if out.body == nil || x.upstream == nil || x.streamsBodies() {
		return false
	}
	b := &x.upstream.Buffer
	if out.length < 0 {
		return b.Unknown
	}
	return out.length <= max(b.Request, b.Disk)
}

// maxUnbuffered is the longest answer in bytes that is not read ahead where it has come whole: the server takes it, and the upstream has done
// with the request, before any of it is written to the client. Chunks that come whole over HTTP/1.1, with their header, are no longer.
const maxUnbuffered = 8 << 10

// slowReaderTime is how long a client may take in all over what it is written of an answer, before that is read ahead of it: more than
// one takes that keeps up, and little for the backend. Those that keep up cost no goroutine, and no copy.
const slowReaderTime = 10 * time.Millisecond

// isEventStream reports whether an answer is one of server-sent events.
func isEventStream(h field.List) bool {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")
}

// isComplete reports whether an answer has been received whole, and is so short that no slow reader holds the upstream with it.
func (x *forwarding) isComplete(answer *upstreamAnswer) bool {
	length := answer.Head.Length
	return length <= maxUnbuffered && (length >= 0 || !x.speaksHTTP2()) && answer.Complete()
}

// readsAhead reports whether answers are read ahead of their readers.
func (x *forwarding) readsAhead() bool {
	return x.upstream != nil && x.upstream.Buffer.Response > 0 && !x.streamsBodies()
}

// readAhead begins to read an answer ahead. The upstream has done with the request when the answer has come, however slow its
// reader is.
func (x *forwarding) readAhead(answer *upstreamAnswer, body *requestBody) *readahead.Reader {
	client, most := request.ClientNetwork(x.client), x.upstream.Buffer.Disk
	memory, counted := &reservation{of: x.g.buffers, client: client}, false
	spill := func() readahead.Spill {
		if file := x.g.buffers.file(client); file != nil {
			return file
		}
		return nil
	}
	if most == 0 {
		spill = nil
	}
	return readahead.Start(answer, readahead.Options{
		SlowAfter: slowReaderTime,
		Spill:     spill, MaxSpilled: most,
		Max: int(x.upstream.Buffer.Response),
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
