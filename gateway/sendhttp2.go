package gateway

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/internal/http1"
	"github.com/viloforge/vilogate/gateway/internal/http1/client"
	http2client "github.com/viloforge/vilogate/gateway/internal/http2/client"
)

// finishHTTP2 makes the request of what is to be sent: what finish writes for HTTP/1.1, as fields, which are checked by the same rules.
func (out *outgoing) finishHTTP2(scratch []byte) error {
	if _, err := http1.AppendRequestLine(scratch, out.method, out.target, out.host); err != nil {
		return err
	}
	fields := make(field.List, 0, len(out.header)+2)
	if out.body != nil && out.length >= 0 {
		fields.Add("content-length", strconv.FormatInt(out.length, 10))
	}
	if out.body != nil && len(out.trailer) > 0 {
		fields.Add("trailer", strings.Join(out.trailerNames(), ","))
	}
	for _, f := range out.header {
		value := strings.Trim(f.Value, " \t")
		if _, err := http1.AppendField(scratch, f.Name, value); err != nil {
			return err
		}
		fields.Add(strings.ToLower(f.Name), value)
	}
	out.fields = fields
	out.request = client.Request{Upload: out.upload()}
	return nil
}

// sendHTTP2 sends a request to an address of u. What the upstream has done nothing with, or had its connection closed at the moment
// at which it was written, is repeated on a new one where it may be.
func sendHTTP2(ctx context.Context, over *http2client.Pool, u *upstream, to *endpoint, dialTimeout time.Duration, out *outgoing) (*upstreamAnswer, error) {
	r := &http2client.Request{
		Method: out.method, Authority: out.host, Path: out.target, Fields: out.fields, Bodiless: out.method == "HEAD",
		Upload: out.request.Upload, HeaderTimeout: out.request.HeaderTimeout, Informational: out.request.Informational,
	}
	for {
		x, err := over.Send(ctx, to.key, dialTimeout, r)
		if err == nil {
			out.answer = upstreamAnswer{x.Head, x}
			return &out.answer, nil
		}
		var closed *client.ClosedError
		again := out.wasUnprocessed(err) || errors.As(err, &closed) && closed.Reused && out.isRepeatable()
		if !again || r.Fresh || u.NoRetry || ctx.Err() != nil {
			return nil, err
		}
		r.Fresh = true
	}
}

// wasUnprocessed reports whether an upstream has done nothing with the request, and it can be sent again, with all of its body.
func (out *outgoing) wasUnprocessed(err error) bool {
	unprocessed, ok := errors.AsType[*http2client.UnprocessedError](err)
	if !ok || !unprocessed.Whole {
		return false
	}
	if out.body != nil && len(unprocessed.Read) > 0 {
		out.body.begun = append(unprocessed.Read, out.body.begun...)
		unprocessed.Read = nil
	}
	return true
}
