package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/policies/request"
)

// maxAnnounced is how many trailers of an answer are announced.
const maxAnnounced = 32

// cleanFraming removes from the header of an upstream's answer what is about its connection alone; of 101 nothing is. announced
// are the trailers that it says may follow, of those that may pass, and options what is about the connection in trailers, too.
func cleanFraming(head *http1.Head) (announced []string, options connectionOptions) {
	h := &head.Fields
	if list := h.Get("Content-Length"); strings.IndexByte(list, ',') >= 0 || h.Count("Content-Length") > 1 { // all the same, or it was refused
		first, _, _ := strings.Cut(list, ",")
		h.Set("Content-Length", strings.Trim(first, " \t"))
	}
	if h.Get("Pragma") == "no-cache" && !h.Has("Cache-Control") {
		h.Add("Cache-Control", "no-cache") // as caches of HTTP/1.0 take it (RFC 9111, section 5.4)
	}
	if head.Status == http.StatusSwitchingProtocols {
		return nil, options
	}
	if h.Has("Connection") {
		var room [2]string
		options = parseConnection(slices.AppendSeq(room[:0], h.Values("Connection")))
	}
	if head.Length == http1.Chunked {
		for line := range h.Values("Trailer") {
			for name := range strings.SplitSeq(line, ",") {
				name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
				if len(announced) < maxAnnounced && request.IsToken(name) && !forbiddenTrailer(name) && !options.has(name) && !slices.Contains(announced, name) {
					announced = append(announced, name)
				}
			}
		}
	}
	h.DelFunc(func(name string) bool { return request.IsHopByHop(name) || options.has(name) })
	return announced, options
}

// forwardTrailers passes the trailers on that may be, whether they were announced or not.
func (x *forwarding) forwardTrailers(trailer field.List, announced []string, options connectionOptions) {
	if len(trailer) == 0 && len(announced) == 0 {
		return // a header that somebody asks for when it was written is copied
	}
	h, flushed := x.reply.Header(), false
	for _, name := range announced {
		delete(h, name) // of that name in the header, which has left
	}
	for _, f := range trailer {
		name := http.CanonicalHeaderKey(f.Name)
		if forbiddenTrailer(name) || options.has(name) || x.editsResponse(name) {
			continue
		}
		if !flushed {
			// Else net/http would give a short body a length, and no room for trailers.
			x.reply.flush()
			flushed = true
		}
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = append(h[name], f.Value)
	}
}
