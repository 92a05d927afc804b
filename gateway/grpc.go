package gateway

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/viloforge/vilogate/gateway/internal/streams"
)

// speaksHTTP2 reports whether the request is for an upstream of HTTP/2.
func (x *forwarding) speaksHTTP2() bool { return x.upstream != nil && x.upstream.http2 }

// isGRPC reports whether the request is a call of gRPC: it came over HTTP/2 or later, for an upstream of HTTP/2, and says that it is. What it
// says alone, which anybody can, changes nothing.
func (x *forwarding) isGRPC() bool {
	return x.speaksHTTP2() && x.r.ProtoMajor >= 2 && x.r.Method == http.MethodPost && isGRPCType(x.r.Header.Get("Content-Type"))
}

// isGRPCType reports whether a media type is application/grpc, with a format or parameters behind it or without. gRPC-Web is another
// protocol.
func isGRPCType(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// grpcCode is a status of gRPC.
type grpcCode uint8

// The statuses that the gateway gives.
const (
	grpcUnknown           grpcCode = 2
	grpcDeadlineExceeded  grpcCode = 4
	grpcPermissionDenied  grpcCode = 7
	grpcResourceExhausted grpcCode = 8
	grpcUnimplemented     grpcCode = 12
	grpcInternal          grpcCode = 13
	grpcUnavailable       grpcCode = 14
	grpcUnauthenticated   grpcCode = 16
)

// grpcCodeOf is what clients of gRPC take a status of HTTP for (grpc's http-grpc-status-mapping.md), more exactly where the gateway
// knows more.
func grpcCodeOf(status int) grpcCode {
	switch status {
	case http.StatusBadRequest, http.StatusRequestHeaderFieldsTooLarge, http.StatusInternalServerError:
		return grpcInternal
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return grpcUnimplemented
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return grpcResourceExhausted
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	}
	return grpcUnknown
}

// titleDeadline is what a client is told whose call's deadline has passed.
const titleDeadline = "Deadline exceeded"

// errDeadline is the end of a call whose grpc-timeout has passed.
var errDeadline = grpcDeadlineError{}

type grpcDeadlineError struct{}

func (grpcDeadlineError) Error() string {
	return "gateway: the call's deadline has passed (grpc-timeout)"
}

// Timeout says that it is one, as net.Error does.
func (grpcDeadlineError) Timeout() bool { return true }

// streamEndError is the end of a call that something else has ended.
type streamEndError struct{ cause streams.Cause }

func (e *streamEndError) Error() string { return "gateway: ended: " + e.cause.String() }

// callContext is the context of the exchange with the upstream. That of a call of gRPC ends at its deadline, and with its stream; what
// ends it says why.
func (x *forwarding) callContext() (context.Context, context.CancelFunc) {
	ctx := x.r.Context()
	if !x.isGRPC() {
		return ctx, func() {}
	}
	ctx, end := context.WithCancelCause(ctx)
	x.stream.setCall(func(cause streams.Cause) { end(&streamEndError{cause}) })
	timeout, ok := parseGRPCTimeout(x.r.Header.Get("Grpc-Timeout"))
	if !ok {
		return ctx, func() { end(nil) }
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errDeadline)
	return ctx, func() { cancel(); end(nil) }
}

// parseGRPCTimeout parses a grpc-timeout: at most eight digits, and their unit. What is none is the upstream's business.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if len(s) < 2 || len(s) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
	if err != nil || s[0] == '+' {
		return 0, false
	}
	var unit time.Duration
	switch s[len(s)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	// At most 99,999,999 hours, which a Duration does not hold.
	return time.Duration(min(n, uint64(math.MaxInt64/unit))) * unit, true
}

// refuseCall writes a refusal as a status of gRPC, behind what every refusal carries. The record keeps the status of HTTP that
// anybody else would have been sent.
func (x *forwarding) refuseCall(r *refusal) {
	code, message := grpcCodeOf(r.status), r.title
	if errors.Is(r.cause, errDeadline) {
		code, message = grpcDeadlineExceeded, titleDeadline
	}
	x.writeStatus(code, message, r.status)
}

// writeStatus answers a call with a status alone ("Trailers-Only").
func (x *forwarding) writeStatus(code grpcCode, message string, status int) {
	h := x.reply.Header()
	h["Content-Type"] = []string{"application/grpc"}
	h["Grpc-Status"] = []string{code.String()}
	h["Grpc-Message"] = []string{percentEncode(message)}
	x.record.grpcStatus, x.record.refusedCall, x.record.status = code.String(), true, status
	x.reply.WriteHeader(http.StatusOK)
}

// String is the status as it is sent.
func (c grpcCode) String() string { return strconv.Itoa(int(c)) }

// endUnanswered answers a call that something else has ended before its upstream answered; false where nothing has.
func (x *forwarding) endUnanswered(err error) bool {
	ended, ok := errors.AsType[*streamEndError](err)
	if !ok || x.r.Context().Err() != nil {
		return false
	}
	x.callEnded = true
	x.reply.setCommonHeaders(x.reply.Header())
	end := streamEnds[ended.cause]
	x.writeStatus(grpcCodeOf(end.status), end.message, end.status)
	return true
}

// endCall ends a call whose answer is cut off, by a status in place of a reset, which no client can tell from any other; false where
// it is none, or its client has gone.
func (x *forwarding) endCall(err error) bool {
	if !x.isGRPC() || x.r.Context().Err() != nil {
		return false
	}
	code, message := grpcUnavailable, "The answer was cut off"
	if ended, ok := errors.AsType[*streamEndError](err); ok {
		code, message = grpcCodeOf(streamEnds[ended.cause].status), streamEnds[ended.cause].message
		x.callEnded = true
	} else if errors.Is(err, errDeadline) {
		code, message = grpcDeadlineExceeded, titleDeadline
	}
	x.record.grpcStatus = code.String()
	h := x.reply.Header()
	h[http.TrailerPrefix+"Grpc-Status"] = []string{code.String()}
	h[http.TrailerPrefix+"Grpc-Message"] = []string{percentEncode(message)}
	return true
}

// noteStatus notes the status with which an upstream has answered a call.
func (x *forwarding) noteStatus(answer *upstreamAnswer) {
	if !x.isGRPC() || x.record.grpcStatus != "" {
		return
	}
	fields := answer.Trailer()
	if len(fields) == 0 {
		fields = answer.Head.Fields // of an answer that is nothing else
	}
	for _, f := range fields {
		if _, err := strconv.ParseUint(f.Value, 10, 8); err == nil && strings.EqualFold(f.Name, "Grpc-Status") {
			x.record.grpcStatus = f.Value
		}
	}
}
