package gateway

import (
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Record is what is known of a request when it has ended. It never holds a
// token, a cookie, a password or a query value.
type Record struct {
	RequestID string
	Client    netip.Addr
	Method    string
	Host      string // canonical; "" when it could not be made so, or is not served
	Path      string // canonical, without the query
	Route     string // the route's pattern
	Decision  string // allow, deny, login, …
	Reason    string
	Rule      strictyaml.Place // of the rule that decided; zero when there was none
	Subject   string
	Session   string
	Upstream  string
	Status    int
	Bytes     int64         // of the body that was sent
	Duration  time.Duration // of the whole request
	Wait      time.Duration // until the upstream's header; zero when there was none

	UpstreamError bool // the request to the upstream failed or timed out
	OddHeaders    int  // headers with odd names
	Shadow        []ShadowDecision
	Aborted       bool // the answer was cut off

	RefusedCookies []RefusedCookie // SSO cookies that did not count
	// DroppedHeaders are the names of headers that were not passed on because they say
	// what only the gateway says, sorted: at most 16 of Dropped, each cut at 64 bytes.
	DroppedHeaders []string
	Dropped        int
}

// record is what the steps note for the one access record of the request.
type record struct {
	decision      string
	reason        string
	upstream      string
	upstreamTime  time.Duration
	upstreamError bool
	oddHeaders    int
	droppedNames  []string // at most maxDroppedNames of dropped
	dropped       int
	status        int              // where nothing was sent
	shadows       []ShadowDecision // of other policies, where they differ
	audited       bool             // it is in the audit log

	refusedCookies []RefusedCookie
}

// What a record keeps of the names of dropped headers, which a client chooses.
const (
	maxDroppedNames  = 16
	maxDroppedLength = 64 // bytes of a name
)

// drop notes that the header of that name was not passed on.
func (r *record) drop(name string) {
	if r.dropped++; r.dropped <= maxDroppedNames {
		r.droppedNames = append(r.droppedNames, name[:min(len(name), maxDroppedLength)])
	}
}

// log writes the one access record of the request.
func (x *exchange) log(aborted bool) {
	x.writeAuditBestEffort()
	r := x.accessRecord(aborted)
	if x.g.opts.Observe != nil {
		x.g.opts.Observe(r)
	}
	log := x.g.opts.Log
	level := slog.LevelInfo
	if r.Status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	ctx := x.r.Context()
	if !log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("request_id", r.RequestID), slog.String("client", request.AddressText(r.Client)),
		slog.String("method", r.Method), slog.String("host", r.Host), slog.String("path", r.Path),
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
	if r.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// formatPlace is file:line:column of a rule, or "".
func formatPlace(p strictyaml.Place) string {
	if p == (strictyaml.Place{}) {
		return ""
	}
	return p.String()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (x *exchange) accessRecord(aborted bool) *Record {
	note, d := &x.record, &x.decided
	r := &Record{
		RequestID: x.requestID, Client: x.client, Method: x.r.Method,
		Path: d.Target.Path.String(), Route: d.routeName(),
		Decision: note.decision, Reason: note.reason, Upstream: note.upstream,
		Status: x.reply.status, Bytes: x.reply.bytes,
		Duration: x.g.opts.Now().Sub(x.start), Wait: note.upstreamTime,
		UpstreamError: note.upstreamError, OddHeaders: note.oddHeaders, Shadow: note.shadows, Aborted: aborted,
		DroppedHeaders: note.droppedNames, Dropped: note.dropped, RefusedCookies: note.refusedCookies,
	}
	slices.Sort(r.DroppedHeaders)
	if r.Status == 0 {
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

// ruleDecided reports whether the rule of a route, or the lack of one, decided.
func (d *decided) ruleDecided() bool { return d.answer.Outcome != 0 && d.Kind == policies.Routed }

// routeName is the pattern of the request's route, or the own path.
func (d *decided) routeName() string {
	switch {
	case d.Match.Pattern != "":
		return d.Match.Pattern
	case d.Kind != policies.OwnPath:
		return ""
	case d.Endpoint != 0:
		return d.Target.Path.String()
	}
	return policies.OwnPrefix + "/*"
}
