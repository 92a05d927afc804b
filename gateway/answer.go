package gateway

import (
	"net/http"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// answerHeader is the header of an upstream's answer, without what is about its connection alone; of 101 with that. announced
// are the trailers that it says may follow, of those that may pass.
func answerHeader(head *http1.Head) (h http.Header, announced []string) {
	h = make(http.Header, len(head.Fields)+8)
	values := make([]string, len(head.Fields))
	for i, f := range head.Fields {
		values[i] = f.Value
		if name := http.CanonicalHeaderKey(f.Name); h[name] == nil {
			h[name] = values[i : i+1 : i+1]
		} else {
			h[name] = append(h[name], f.Value)
		}
	}
	if lengths := h["Content-Length"]; len(lengths) > 0 { // all the same, or it was refused
		first, _, _ := strings.Cut(lengths[0], ",")
		h["Content-Length"] = []string{strings.Trim(first, " \t")}
	}
	if pragma := h["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"} // as caches of HTTP/1.0 take it (RFC 9111, section 5.4)
	}
	if head.Status == http.StatusSwitchingProtocols {
		return h, nil
	}
	if head.Length == http1.Chunked {
		for _, line := range h["Trailer"] {
			for name := range strings.SplitSeq(line, ",") {
				name = http.CanonicalHeaderKey(strings.Trim(name, " \t"))
				if name != "" && !forbiddenTrailer(name) && !slices.Contains(announced, name) {
					announced = append(announced, name)
				}
			}
		}
	}
	removeConnectionOptions(h, h["Connection"])
	for name := range h {
		if isHopByHop(name) {
			delete(h, name)
		}
	}
	return h, announced
}

// addHeader adds the fields of a header to another.
func addHeader(to, from http.Header) {
	for name, values := range from {
		if existing := to[name]; len(existing) > 0 {
			values = append(existing[:len(existing):len(existing)], values...)
		}
		to[name] = values
	}
}

// forwardTrailers passes the trailers on that may be, whether they were announced or not.
func (x *forwarding) forwardTrailers(trailer []http1.Field, announced []string) {
	if len(trailer) == 0 && len(announced) == 0 {
		return // a header that somebody asks for when it was written is copied
	}
	h, flushed := x.reply.Header(), false
	for _, name := range announced {
		delete(h, name) // of that name in the header, which has left
	}
	for _, f := range trailer {
		name := http.CanonicalHeaderKey(f.Name)
		if forbiddenTrailer(name) {
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
