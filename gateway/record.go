package gateway

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

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

	UpstreamError bool // the upstream could not be asked, or did not answer
	OddHeaders    int  // headers with odd names
	Shadow        []Second
	Aborted       bool // the answer was cut off
}

// outcome is what the steps note for the record.
type outcome struct {
	decision      string
	reason        string
	route         string // of paths that no policy names
	upstream      string
	upstreamTime  time.Duration
	upstreamError bool
	oddHeaders    int
	status        int // where nothing was sent
}

// record writes the one access record of the request.
func (x *exchange) record(aborted bool) {
	x.accountAside()
	r := x.summary(aborted)
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
		slog.String("route", r.Route), slog.String("decision", r.Decision), slog.String("rule", place(r.Rule)),
		slog.String("subject", r.Subject), slog.String("upstream", r.Upstream), slog.Int("status", r.Status),
		slog.Float64("duration_ms", milliseconds(r.Duration)), slog.Float64("wait_ms", milliseconds(r.Wait)), slog.Int64("bytes", r.Bytes))
	if r.Reason != "" {
		attrs = append(attrs, slog.String("reason", r.Reason))
	}
	for _, s := range r.Shadow {
		attrs = append(attrs, slog.Group("shadow", slog.Bool("folder", s.Folder), slog.String("decision", s.Decision), slog.String("rule", place(s.Rule))))
	}
	if r.OddHeaders > 0 {
		attrs = append(attrs, slog.Int("odd_headers", r.OddHeaders))
	}
	if r.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}

// place is where a rule stands, or "".
func place(p strictyaml.Place) string {
	if p == (strictyaml.Place{}) {
		return ""
	}
	return p.String()
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (x *exchange) summary(aborted bool) *Record {
	r := &Record{
		RequestID: x.requestID, Client: x.client, Method: x.r.Method,
		Path: x.target.Path.String(), Route: x.outcome.route,
		Decision: x.outcome.decision, Reason: x.outcome.reason, Upstream: x.outcome.upstream,
		Status: x.w.status, Bytes: x.w.bytes,
		Duration: x.g.opts.Now().Sub(x.start), Wait: x.outcome.upstreamTime,
		UpstreamError: x.outcome.upstreamError, OddHeaders: x.outcome.oddHeaders, Shadow: x.seconds, Aborted: aborted,
	}
	if r.Status == 0 {
		r.Status = x.outcome.status
	}
	if x.host != nil || x.gen != nil && string(x.target.Host) == x.gen.Login.Host {
		r.Host = string(x.target.Host)
	}
	if route := x.match.Route; route != nil {
		r.Route = route.Pattern
	}
	if x.decision.Outcome != 0 {
		r.Rule = x.decision.Place
		if r.Reason == "" {
			r.Reason = x.decision.Reason
		}
	}
	if x.claims != nil {
		r.Subject, r.Session = x.claims.Subject(), x.claims.Session()
	}
	return r
}

// responseWriter notes the status and counts the body's bytes. Whoever needs to
// flush or hijack finds the server's own writer through Unwrap.
type responseWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter. Informational answers are not
// the answer, but for the switch of protocols, after which there is none. Of them
// early hints alone go on, and of those the links alone: nothing has cleaned the
// rest.
func (w *responseWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		h := w.Header()
		links := h["Link"]
		clear(h)
		if status == http.StatusEarlyHints && len(links) > 0 {
			h["Link"] = links
			w.ResponseWriter.WriteHeader(status)
		}
		return
	}
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *responseWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// write writes the last of an answer. A client that does not take it is gone,
// which the server finds out by itself.
func (w *responseWriter) write(b []byte) {
	if _, err := w.Write(b); err != nil {
		return
	}
}
