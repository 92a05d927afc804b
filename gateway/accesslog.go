package gateway

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/viloforge/vilogate/policies/request"
)

// log writes the one access record of the request.
func (x *exchange) log(aborted bool) {
	x.writeAuditBestEffort()
	r := x.accessRecord(aborted)
	if x.g.opts.Observe != nil {
		x.g.opts.Observe(r)
	}
	x.writeRecord(r)
}

// writeRecord writes a record, and what more there is to say.
func (x *exchange) writeRecord(r *Record, more ...slog.Attr) {
	log := x.g.opts.Log.Handler() // a Logger would look up the line of code that calls it
	level := slog.LevelInfo
	if r.Status >= http.StatusInternalServerError && r.Decision != decisionMalformed {
		level = slog.LevelWarn
	}
	ctx := x.r.Context()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 22)
	attrs = append(attrs,
		slog.String("request_id", r.RequestID), slog.String("client", request.AddressText(r.Client)),
		slog.String("protocol", r.Protocol), slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.Path),
		slog.String("route", r.Route), slog.String("decision", r.Decision), slog.String("rule", formatPlace(r.Rule)),
		slog.String("subject", r.Subject), slog.String("upstream", r.Upstream), slog.Int("status", r.Status),
		slog.Float64("duration_ms", milliseconds(r.Duration)), slog.Float64("wait_ms", milliseconds(r.Wait)), slog.Int64("bytes", r.Bytes))
	if r.Reason != "" {
		attrs = append(attrs, slog.String("reason", r.Reason))
	}
	for _, s := range r.Shadow {
		attrs = append(attrs, slog.Group("shadow", slog.Bool("folder", s.Folder), slog.String("decision", s.Decision), slog.String("rule", formatPlace(s.Rule))))
	}
	if r.OddHeaders > 0 {
		attrs = append(attrs, slog.Int("odd_headers", r.OddHeaders))
	}
	if r.Dropped > 0 {
		attrs = append(attrs, slog.Any("dropped_headers", r.DroppedHeaders))
	}
	for _, c := range r.RefusedCookies {
		attrs = append(attrs, slog.Group("refused_cookie", slog.String("name", c.Name), slog.String("issuer", c.Issuer), slog.String("reason", c.Reason)))
	}
	if r.Kept > 0 {
		attrs = append(attrs, slog.Int64("kept", r.Kept))
	}
	if r.KeptSent > 0 {
		attrs = append(attrs, slog.Int64("kept_sent", r.KeptSent))
	}
	if r.Renewed {
		attrs = append(attrs, slog.Bool("renewed", true))
	}
	if r.WebSocket {
		attrs = append(attrs, slog.Bool("websocket", true))
	}
	if r.GRPCStatus != "" {
		attrs = append(attrs, slog.String("grpc_status", r.GRPCStatus))
	}
	if r.ForwardAuth != "" {
		attrs = append(attrs, slog.String("forward_auth", r.ForwardAuth))
	}
	if r.StreamEnd != "" {
		attrs = append(attrs, slog.String("stream_end", r.StreamEnd))
	}
	if r.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	attrs = append(attrs, more...)
	line := slog.NewRecord(time.Now(), level, "request", 0)
	line.AddAttrs(attrs...)
	// There is nowhere to say that the log cannot be written.
	_ = log.Handle(ctx, line)
}

// protocolName is the version of HTTP that a request came in, as it is commonly called.
func protocolName(r *http.Request) string {
	switch r.ProtoMajor {
	case 2:
		return "HTTP/2"
	case 3:
		return "HTTP/3"
	}
	return r.Proto
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (x *exchange) accessRecord(aborted bool) *Record {
	note, d := &x.record, &x.decided
	r := &x.finalRecord
	*r = Record{
		RequestID: x.requestID, Client: x.client, Protocol: protocolName(x.r), Method: x.r.Method, WebSocket: note.webSocket,
		Path: d.Target.Path.String(), Route: d.routeName(),
		Decision: note.decision, Reason: note.reason, Upstream: note.upstream,
		Status: x.reply.status, Bytes: x.reply.bytes,
		Duration: x.g.opts.Now().Sub(x.start), Wait: note.upstreamTime,
		UpstreamError: note.upstreamError, OddHeaders: note.oddHeaders, Shadow: note.shadows, Aborted: aborted, StreamEnd: note.streamEnd,
		DroppedHeaders: note.droppedNames, Dropped: note.dropped, RefusedCookies: note.refusedCookies, Renewed: note.renewed,
		Kept: note.kept, KeptSent: note.keptSent, GRPCStatus: note.grpcStatus, ForwardAuth: x.forwardAuth.name(),
	}
	slices.Sort(r.DroppedHeaders)
	if r.Status == 0 || note.refusedCall {
		r.Status = note.status
	}
	if d.Host != nil || d.isLoginHost() {
		r.Host = string(d.Name)
	}
	if d.ruleDecided() {
		r.Rule = d.answer.Place
		if r.Reason == "" {
			r.Reason = d.answer.Reason
		}
	}
	if c := d.authentication.claims; c != nil {
		r.Subject, r.Session = c.Subject(), c.Session()
	}
	return r
}
