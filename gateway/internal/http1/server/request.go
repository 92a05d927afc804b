package server

import (
	"context"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
)

// request is what is in c.head, as package http has it.
func (c *conn) request(ctx context.Context, b *body) *http.Request {
	h := &c.head
	r := c.template.WithContext(ctx)
	r.Method, r.RequestURI, r.URL, r.Host = h.Method, h.Target, parseTarget(h.Method, h.Target), h.Host
	r.ProtoMinor, r.Header, r.ContentLength, r.Close = h.Minor, header(h.Fields), h.Length, h.Close
	if h.Minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	if b != nil {
		r.Body = b
		if h.Length == http1.Chunked {
			r.TransferEncoding, r.Trailer = []string{"chunked"}, announcedTrailer(r.Header)
			b.trailer = r.Trailer
		}
	}
	for _, name := range [...]string{"Host", "Transfer-Encoding", "Trailer"} {
		delete(r.Header, name)
	}
	return r
}

// parseTarget parses what is not the gateway's own to parse: who takes r.URL takes what net/http makes of it. A target that is no
// address is none.
func parseTarget(method, target string) *url.URL {
	if method == http.MethodConnect {
		return &url.URL{Host: target}
	}
	if u, err := url.ParseRequestURI(target); err == nil {
		return u
	}
	return &url.URL{}
}

// header is the fields by their canonical names. The values of a name stay in order.
func header(fields field.List) http.Header {
	h := make(http.Header, len(fields))
	values := make([]string, len(fields))
	for i, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if others, ok := h[name]; ok {
			h[name] = append(others, f.Value)
			continue
		}
		values[i] = f.Value
		h[name] = values[i : i+1 : i+1]
	}
	return h
}

// announcedTrailer is the fields that Trailer announces, without values; nil where it does not.
func announcedTrailer(h http.Header) http.Header {
	var trailer http.Header
	for _, line := range h["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = textproto.CanonicalMIMEHeaderKey(textproto.TrimString(name))
			if name == "" || field.FramesMessage(name) {
				continue
			}
			if trailer == nil {
				trailer = http.Header{}
			}
			trailer[name] = nil
		}
	}
	return trailer
}
