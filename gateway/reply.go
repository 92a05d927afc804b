package gateway

import (
	"net/http"
	"strconv"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/limits"
)

// reply is the answer to the client, and what every answer carries, refusals
// included. Each stage adds its own until the header is written.
type reply struct {
	responseWriter
	requestID  string
	cors       corsResult
	setCookies []string      // Set-Cookie lines
	rate       *rate         // that the request was counted for, or nil
	limited    limits.Result // of it
}

// setCommonHeaders sets what every answer carries: the request id, the RateLimit fields,
// the cookies, and the CORS headers in place of the backend's own.
func (p *reply) setCommonHeaders(h header) {
	h.Set("X-Request-Id", p.requestID)
	p.setRateLimitFields(h)
	for _, line := range p.setCookies {
		h.Add("Set-Cookie", line)
	}
	p.cors.decorate(h)
}

// responseWriter notes the status and counts the body's bytes. Whoever needs to
// flush or hijack finds the server's own writer through Unwrap.
type responseWriter struct {
	http.ResponseWriter
	status  int
	bytes   int64
	written bool // something that may not have left

	whenSent func() // called once, when a piece of the answer was written; nil: nobody waits for that
}

// onSent has f called when the answer is on its way.
func (w *responseWriter) onSent(f func()) { w.whenSent = f }

// flushSent has the header leave, and then calls what was to be called when the answer is on its way. Where it cannot leave,
// nothing is called.
func (w *responseWriter) flushSent() {
	if w.whenSent == nil {
		return
	}
	if err := http.NewResponseController(w.ResponseWriter).Flush(); err != nil {
		w.whenSent = nil
		return
	}
	w.sent()
}

// flushWritten is flush where something may not have left.
func (w *responseWriter) flushWritten() {
	if w.written {
		w.flush()
	}
}

// flush has what there is of the answer leave.
func (w *responseWriter) flush() {
	w.written = false
	if w.whenSent != nil {
		w.flushSent()
		return
	}
	_ = http.NewResponseController(w.ResponseWriter).Flush() // where it fails, so does the next write
}

// sent calls what was to be called when the answer is on its way, once.
func (w *responseWriter) sent() {
	if f := w.whenSent; f != nil {
		w.whenSent = nil
		f()
	}
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational responses (1xx) are not
// the final one, but for 101, after which there is none. Of them 103 (Early Hints)
// alone is forwarded, and of it Link alone: nothing has cleaned the rest.
func (w *responseWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		h := w.Header()
		links := h["Link"]
		clear(h)
		if status == http.StatusEarlyHints && len(links) > 0 {
			h["Link"] = links
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// writeFields is WriteHeader of a final answer whose header is this list. It is not to be changed again.
func (w *responseWriter) writeFields(status int, fields field.List) {
	w.status, w.written = status, true
	if server, ok := w.ResponseWriter.(interface{ WriteFields(int, field.List) }); ok {
		server.WriteFields(status, fields)
		return
	}
	h := w.Header()
	clear(h)
	h["Content-Type"] = nil // else net/http guesses one where there is none
	for _, f := range fields {
		h.Add(f.Name, f.Value)
	}
	if status == http.StatusNoContent {
		delete(h, "Content-Length") // RFC 9110, section 8.6
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes, w.written = w.bytes+int64(n), true
	if err == nil && w.whenSent != nil {
		w.flushSent()
	}
	return n, err
}

// write writes the rest of a response. Errors are ignored: the client is gone, which
// the server finds out by itself.
func (w *responseWriter) write(b []byte) {
	if _, err := w.Write(b); err != nil {
		return
	}
}

// setRateLimitFields sets the RateLimit fields (draft-ietf-httpapi-ratelimit-headers) of a
// request that was counted, in place of the backend's own.
func (x *reply) setRateLimitFields(h header) {
	if x.rate == nil {
		return
	}
	var buffer [64]byte
	b := append(buffer[:0], x.rate.name...)
	b = strconv.AppendInt(append(b, ";r="...), int64(x.limited.Remaining), 10)
	b = strconv.AppendInt(append(b, ";t="...), ceilSeconds(x.limited.Reset), 10)
	h.Set("RateLimit", string(b))
	h.Set("RateLimit-Policy", x.rate.policy)
}
