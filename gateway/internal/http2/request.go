package http2

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// target is what the fields of a request come to.
type target struct {
	host          string
	uri           string
	url           *url.URL
	header        http.Header
	fields        field.List  // that header is made of
	trailer       http.Header // names announced, without values; nil where there are none
	contentLength int64       // -1: unknown
	expects       bool        // 100 (Continue)
	opens         bool        // it is the handshake of a WebSocket (RFC 8441)
}

// read reads a request's header. What it makes of it is whole also where the request is malformed, as far as it is known.
func (h *headerList) read(endStream bool) *target {
	t := &target{contentLength: -1, host: h.authority, uri: h.path}
	if endStream {
		t.contentLength = 0
	}
	h.readFields(t, endStream)
	h.checkPseudo(t)
	h.readHandshake(t)
	if t.url == nil {
		t.url = &url.URL{}
	}
	return t
}

// readFields fills the header, and the list of its fields.
func (h *headerList) readFields(t *target, endStream bool) {
	t.header = make(http.Header, len(h.fields))
	values := make([]string, len(h.fields))
	t.fields = make(field.List, 0, len(h.fields))
	cookies, hosts, lengths := 0, 0, 0
	for i, f := range h.fields {
		switch f.Name {
		case "cookie":
			cookies++
		case "host":
			h.readHost(t, f.Value, hosts)
			hosts++
			continue
		case "content-length":
			h.readLength(t, f.Value, lengths, endStream)
			lengths++
		case "trailer":
			h.readTrailer(t, f.Value)
			continue
		case "expect":
			t.expects = t.expects || field.Same(f.Value, "100-continue")
		}
		key := canonicalName(f.Name)
		t.fields.Add(key, f.Value)
		if all, ok := t.header[key]; ok {
			t.header[key] = append(all, f.Value)
			continue
		}
		values[i] = f.Value
		t.header[key] = values[i : i+1 : i+1]
	}
	if cookies > 1 {
		t.header["Cookie"] = []string{strings.Join(t.header["Cookie"], "; ")} // RFC 9113, section 8.2.3
	}
}

// readHost reads Host, which may stand beside :authority, or in its place (RFC 9113, section 8.3.1).
func (h *headerList) readHost(t *target, value string, before int) {
	switch {
	case before > 0:
		h.refuse("Host twice")
	case h.pseudo&hasAuthority != 0 && value != h.authority:
		h.refuse("Host other than :authority")
	}
	t.host = value
}

// readLength reads Content-Length.
func (h *headerList) readLength(t *target, value string, before int, endStream bool) {
	n, ok := field.ParseLength(value)
	switch {
	case before > 0:
		h.refuse("Content-Length twice")
	case !ok:
		h.refuse("Content-Length that is no number")
	case endStream && n > 0:
		h.refuse("Content-Length of a request without a body")
	default:
		t.contentLength = n
	}
}

// readTrailer notes which trailers are announced. Some fields can be none (RFC 9110, section 6.5.1).
func (h *headerList) readTrailer(t *target, value string) {
	for name := range strings.SplitSeq(value, ",") {
		key := http.CanonicalHeaderKey(strings.Trim(name, " \t"))
		switch {
		case key == "":
			continue
		case field.FramesMessage(key) || !request.IsToken(key):
			continue
		case t.trailer == nil:
			t.trailer = http.Header{}
		}
		t.trailer[key] = nil
	}
}

// checkPseudo checks what a request must say of its target (RFC 9113, sections 8.3.1 and 8.5; RFC 8441, section 4).
func (h *headerList) checkPseudo(t *target) {
	if strings.ContainsAny(t.host, "@ \t") {
		h.refuse("user information, or a space, in the authority")
	}
	if h.pseudo&hasProtocol != 0 && h.method != http.MethodConnect {
		h.refuse(":protocol of another method than CONNECT")
	}
	if h.method == http.MethodConnect && h.pseudo&hasProtocol == 0 {
		if h.pseudo&(hasScheme|hasPath) != 0 || h.authority == "" {
			h.refuse("CONNECT with a path or a scheme, or without an authority")
		}
		t.uri, t.url = h.authority, &url.URL{Host: h.authority}
		return
	}
	switch {
	case !request.IsToken(h.method):
		h.refuse("a method that is no token")
	case h.scheme != "https" && h.scheme != "http":
		h.refuse("a scheme other than https and http")
	case t.host == "":
		h.refuse("no authority")
	case h.path == "" || h.path[0] != '/' && (h.path != "*" || h.method != http.MethodOptions):
		h.refuse("a path that does not begin with a slash")
	case strings.IndexByte(h.path, ' ') >= 0:
		h.refuse("a space in the path")
	}
	var err error
	if t.url, err = url.ParseRequestURI(h.path); err != nil {
		t.url = nil
		h.refuse("a path that cannot be parsed")
	}
}

// readHandshake reads an extended CONNECT for a WebSocket (RFC 8441, section 5) as what it stands for: the GET of HTTP/1.1 that asks for
// an upgrade. It has no body: DATA is the WebSocket's.
func (h *headerList) readHandshake(t *target) {
	switch {
	case h.protocol != websocket || h.method != http.MethodConnect:
		return
	case len(t.header["Content-Length"]) > 0:
		h.refuse("Content-Length of CONNECT")
	}
	if h.malformed != "" || h.tooLarge {
		return
	}
	t.opens, t.contentLength, t.trailer = true, 0, nil
	t.header["Connection"], t.header["Upgrade"] = []string{"Upgrade"}, []string{websocket}
}

// websocket is the protocol of WebSockets, for :protocol and Upgrade.
const websocket = "websocket"

// readTrailers reads a trailer section, and returns the fields of it that were announced in its header.
func (h *headerList) readTrailers(announced http.Header) http.Header {
	if h.pseudo != 0 {
		h.refuse("a pseudo-header field among the trailers")
	}
	if h.tooLarge {
		h.refuse("too many trailers")
	}
	if h.malformed != "" || len(announced) == 0 {
		return nil
	}
	values := http.Header{}
	for _, f := range h.fields {
		key := canonicalName(f.Name)
		if _, ok := announced[key]; ok {
			values[key] = append(values[key], f.Value)
		}
	}
	return values
}
