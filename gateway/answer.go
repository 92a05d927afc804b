package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// maxAnnounced is how many trailers of an answer are announced.
const maxAnnounced = 32

// cleanFraming removes from the header of an upstream's answer what is about its connection alone; of 101 nothing is. announced
// are the trailers that it says may follow, of those that may pass.
func cleanFraming(head *http1.Head) (announced []string) {
	h := &head.Fields
	if list := h.Get("Content-Length"); strings.IndexByte(list, ',') >= 0 || h.Count("Content-Length") > 1 { // all the same, or it was refused
		first, _, _ := strings.Cut(list, ",")
		h.Set("Content-Length", strings.Trim(first, " \t"))
	}
	if h.Get("Pragma") == "no-cache" && !h.Has("Cache-Control") {
		h.Add("Cache-Control", "no-cache") // as caches of HTTP/1.0 take it (RFC 9111, section 5.4)
	}
	if head.Status == http.StatusSwitchingProtocols {
		return nil
	}
	if head.Length == http1.Chunked {
		for line := range h.Values("Trailer") {
			for name := range strings.SplitSeq(line, ",") {
				name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
				if len(announced) < maxAnnounced && name != "" && !forbiddenTrailer(name) && !slices.Contains(announced, name) {
					announced = append(announced, name)
				}
			}
		}
	}
	if h.Has("Connection") {
		var room [2]string
		removeConnectionOptions(h, slices.AppendSeq(room[:0], h.Values("Connection")))
	}
	h.DelFunc(isHopByHop)
	return announced
}

// forwardTrailers passes the trailers on that may be, whether they were announced or not.
func (x *forwarding) forwardTrailers(trailer field.List, announced []string) {
	if len(trailer) == 0 && len(announced) == 0 {
		return // a header that somebody asks for when it was written is copied
	}
	h, flushed := x.reply.Header(), false
	for _, name := range announced {
		delete(h, name) // of that name in the header, which has left
	}
	for _, f := range trailer {
		name := http.CanonicalHeaderKey(f.Name)
		if forbiddenTrailer(name) || x.editsResponse(name) {
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
