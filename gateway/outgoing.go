package gateway

import (
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	"github.com/viloforge/vilogate/policies/request"
)

// outgoing is the request as an upstream is sent it. It is owned by the goroutine that serves the request.
type outgoing struct {
	method, target, host string
	header               field.List
	upgrade              string // the protocol that is asked for; "" for none
	webSocketKey         string // of its handshake, where that is the gateway's; "" where the client has it
	length               int64  // of the body in bytes; 0 where there is none, negative where it is not known
	body                 *requestBody
	trailer              http.Header // the fields that may follow the body; their values, once it has ended

	fields  field.List     // what the header comes to in HTTP/2
	request client.Request // what the above comes to
	answer  upstreamAnswer // to it
}

// fewFields is how many fields most requests have at most.
const fewFields = 64

// begin begins with what is left of what the client has sent, without what is about its connection or the framing alone.
func (out *outgoing) begin(r *http.Request, sent field.List) {
	*out = outgoing{method: r.Method, header: make(field.List, 0, len(sent)+16), length: r.ContentLength}
	var before map[string]int // fields of a name so far, where there are too many to look back from each
	if len(sent) > fewFields {
		before = make(map[string]int, len(sent))
	}
	for i, f := range sent {
		name := http.CanonicalHeaderKey(f.Name)
		values := r.Header[name]
		if len(values) == 0 || request.IsHopByHop(f.Name) || field.Same(f.Name, "Content-Length") || field.Same(f.Name, "Host") {
			continue
		}
		which := before[name]
		if before != nil {
			before[name]++
		} else {
			which = sent[:i].Count(f.Name)
		}
		if which < len(values) {
			out.header.Add(f.Name, values[which])
		}
	}
	if connection := r.Header["Connection"]; len(connection) > 0 {
		if isListed(connection, "upgrade") {
			out.upgrade = r.Header.Get("Upgrade")
		}
		out.header.DelFunc(parseConnection(connection).has)
	}
	if isListed(r.Header["Te"], "trailers") { // which a backend needs to know, as gRPC's do
		out.header.Add("Te", "trailers")
	}
}

// isListed reports whether the list that lines make has a token, without regard to case.
func isListed(lines []string, token string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return field.IsListed(line, token) })
}

// fewOptions is how long a line of Connection is at most that is looked through for each field.
const fewOptions = 64

// connectionOptions are what lines of Connection list, the names of fields that are about the connection among them. The zero value is none.
type connectionOptions struct {
	line  string          // where there is one, which is short
	named map[string]bool // by canonical name, where there is more
}

func parseConnection(lines []string) (o connectionOptions) {
	switch {
	case len(lines) == 0:
		return o
	case len(lines) == 1 && len(lines[0]) <= fewOptions:
		o.line = lines[0]
		return o
	}
	o.named = map[string]bool{}
	for _, line := range lines {
		for name := range strings.SplitSeq(line, ",") {
			o.named[http.CanonicalHeaderKey(textproto.TrimString(name))] = true
		}
	}
	return o
}

// has reports whether a field is named.
func (o connectionOptions) has(name string) bool {
	if o.named != nil {
		return o.named[http.CanonicalHeaderKey(name)]
	}
	return o.line != "" && field.IsListed(o.line, name)
}

// isRepeatable reports whether a request may be sent twice: safe and idempotent methods without a body (RFC 9110, section
// 9.2.2).
func (out *outgoing) isRepeatable() bool {
	return out.body == nil && (request.IsSafe(out.method) || out.method == http.MethodPut || out.method == http.MethodDelete)
}

// probe finds out whether there is a body, where its length is not known and the method usually has none: clients of HTTP/2
// end such a request behind its header, and backends do not expect chunks. The error is the body's.
func (out *outgoing) probe() error {
	switch out.method {
	case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions, "PROPFIND", "SEARCH":
	default:
		return nil
	}
	if out.body == nil || out.length >= 0 || out.header.Has("Expect") {
		return nil
	}
	first := make([]byte, 1)
	n, err := io.ReadFull(out.body, first)
	switch {
	case n > 0:
		out.body.begun = first
	case err == io.EOF:
		out.body, out.length = nil, 0
	default:
		return err
	}
	return nil
}

// finish makes the request of what is to be sent, in buffer; close says that the connection is to serve no other.
func (out *outgoing) finish(buffer []byte, close bool) error {
	b, err := http1.AppendRequestLine(buffer, out.method, out.target, out.host)
	if err != nil {
		return err
	}
	b = append(b, out.framing(close)...)
	if out.upgrade != "" {
		if b, err = http1.AppendField(b, "Upgrade", out.upgrade); err != nil {
			return err
		}
	}
	for _, f := range out.header {
		if b, err = http1.AppendField(b, f.Name, request.TrimOWS(f.Value)); err != nil {
			return err
		}
	}
	out.request = client.Request{
		Head: append(b, '\r', '\n'), Bodiless: out.method == http.MethodHead, Upgrade: out.upgrade, Upload: out.upload(),
	}
	return nil
}

// framing are the lines about body and connection. Trailers have names that net/http has read.
func (out *outgoing) framing(close bool) string {
	var b strings.Builder
	switch {
	case out.upgrade != "":
		b.WriteString("Connection: Upgrade\r\n")
	case close:
		b.WriteString("Connection: close\r\n")
	}
	switch {
	case out.body == nil:
		if out.method == http.MethodPost || out.method == http.MethodPut || out.method == http.MethodPatch {
			b.WriteString("Content-Length: 0\r\n")
		}
	case out.length >= 0:
		b.WriteString("Content-Length: " + strconv.FormatInt(out.length, 10) + "\r\n")
	default:
		b.WriteString("Transfer-Encoding: chunked\r\n")
		if len(out.trailer) > 0 {
			b.WriteString("Trailer: " + strings.Join(out.trailerNames(), ",") + "\r\n")
		}
	}
	return b.String()
}

// trailerNames are the names of the fields that may follow the body, sorted.
func (out *outgoing) trailerNames() []string {
	names := make([]string, 0, len(out.trailer))
	for name := range out.trailer {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// upload is the body, nil where there is none.
func (out *outgoing) upload() *client.Upload {
	if out.body == nil {
		return nil
	}
	return &client.Upload{
		Body: out.body, Length: out.length, Expect: out.header.HasToken("Expect", "100-continue"),
		Interrupt: out.body.interrupt, Trailer: out.trailerFields,
	}
}

// trailerFields are the fields behind a body that has ended.
func (out *outgoing) trailerFields() (fields field.List) {
	for name, values := range out.trailer {
		for _, value := range values {
			fields = append(fields, field.Field{Name: name, Value: strings.Trim(value, " \t")})
		}
	}
	return fields
}
