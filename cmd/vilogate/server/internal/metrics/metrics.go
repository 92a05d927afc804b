// Package metrics is what /metrics serves: Prometheus collectors in a registry of their own, so that nothing a library
// registers by itself shows up. Counters and histograms are fed through methods; what other rooms count themselves is read
// from them at each scrape.
//
// It belongs to cmd/vilogate. Label cardinality is bounded: no label holds anything that a client chooses; an unknown host is "", a
// path is its route's pattern.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/viloforge/vilogate/gateway"
	"github.com/viloforge/vilogate/idp/token"
)

// Metrics are the collectors of one process. Safe for concurrent use.
type Metrics struct {
	registry          *prometheus.Registry
	requests          *prometheus.CounterVec
	durations         *prometheus.HistogramVec
	headerDurations   *prometheus.HistogramVec
	upstreamErrors    *prometheus.CounterVec
	forwardAuth       *prometheus.CounterVec
	oddHeaders        prometheus.Counter
	droppedHeaders    prometheus.Counter
	refusedCookies    *prometheus.CounterVec
	roleFindings      *prometheus.CounterVec
	shadowDifferences *prometheus.CounterVec
	streamEnds        *prometheus.CounterVec
	reloads           *prometheus.CounterVec
	lastReload        prometheus.Gauge
}

// New makes the collectors.
func New() *Metrics {
	buckets := []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registered := promauto.With(registry)
	return &Metrics{
		registry: registry,
		requests: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_http_requests_total", Help: "HTTP requests by host, route, decision and status class.",
		}, []string{"host", "route", "decision", "status"}),
		durations: registered.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vilogate_http_request_duration_seconds", Help: "Time from the end of the request header to the end of the response.", Buckets: buckets,
		}, []string{"host"}),
		headerDurations: registered.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vilogate_upstream_response_header_seconds", Help: "Time until the upstream's response header arrived (time to first byte).", Buckets: buckets,
		}, []string{"upstream"}),
		upstreamErrors: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_upstream_errors_total", Help: "Requests without a response from the upstream.",
		}, []string{"upstream"}),
		droppedHeaders: registered.NewCounter(prometheus.CounterOpts{
			Name: "vilogate_dropped_headers_total", Help: "Request headers that were not passed on because they say what only the gateway says (dropped_headers).",
		}),
		oddHeaders: registered.NewCounter(prometheus.CounterOpts{
			Name: "vilogate_odd_headers_total", Help: "Request headers whose names have characters other than letters, digits and - (odd_headers).",
		}),
		forwardAuth: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_forward_auth_requests_total", Help: "Requests that proxies asked about (forward_auth), of those in vilogate_http_requests_total, by how they asked and decision.",
		}, []string{"dialect", "decision"}),
		refusedCookies: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_refused_cookies_total", Help: "SSO cookies that did not count, by the issuer of their tokens and the reason.",
		}, []string{"issuer", "reason"}),
		roleFindings: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_role_findings_total",
			Help: "Tokens of other issuers whose roles do not all count, or are not all told to backends, by issuer and finding: missing, overage, unreadable, ambiguous or not-forwarded.",
		}, []string{"issuer", "finding"}),
		shadowDifferences: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_shadow_differences_total",
			Help: "Requests whose shadow decision (of a route, or of the shadow policies) differs from the enforced one.",
		}, []string{"host", "route", "shadow", "decision", "shadow_decision"}),
		streamEnds: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_stream_ends_total", Help: "Requests in flight, WebSockets included, that were ended before their time, by cause: revoked, session_over, policy or drain.",
		}, []string{"cause"}),
		reloads: registered.NewCounterVec(prometheus.CounterOpts{
			Name: "vilogate_config_reloads_total", Help: "Reloads of configuration and policies, by result: success or failure.",
		}, []string{"result"}),
		lastReload: registered.NewGauge(prometheus.GaugeOpts{
			Name: "vilogate_config_last_reload_success_timestamp_seconds", Help: "When configuration and policies were last loaded successfully.",
		}),
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Observe counts a request that has ended, under a host that the configuration names.
func (m *Metrics) Observe(r *gateway.Record, host string) {
	m.requests.WithLabelValues(host, r.Route, r.Decision, statusClass(r.Status)).Inc()
	m.durations.WithLabelValues(host).Observe(r.Duration.Seconds())
	if r.Wait > 0 {
		m.headerDurations.WithLabelValues(r.Upstream).Observe(r.Wait.Seconds())
	}
	if r.UpstreamError {
		m.upstreamErrors.WithLabelValues(r.Upstream).Inc()
	}
	for _, s := range r.Shadow {
		shadow := "routes"
		if s.Folder {
			shadow = "folder"
		}
		m.shadowDifferences.WithLabelValues(host, r.Route, shadow, r.Decision, s.Decision).Inc()
	}
	if r.ForwardAuth != "" {
		m.forwardAuth.WithLabelValues(r.ForwardAuth, r.Decision).Inc()
	}
	m.droppedHeaders.Add(float64(r.Dropped))
	for _, c := range r.RefusedCookies {
		m.refusedCookies.WithLabelValues(c.Issuer, c.Reason).Inc()
	}
	if r.StreamEnd != "" {
		m.streamEnds.WithLabelValues(r.StreamEnd).Inc()
	}
	if r.OddHeaders > 0 {
		m.oddHeaders.Add(float64(r.OddHeaders))
	}
}

// ObserveRoles counts what there is to say of the roles in a token.
func (m *Metrics) ObserveRoles(f token.RoleFinding) {
	m.roleFindings.WithLabelValues(f.Issuer, f.Finding).Inc()
}

func statusClass(status int) string {
	classes := [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}
	if class := status / 100; class > 0 && class < len(classes) {
		return classes[class]
	}
	return classes[0]
}

// ObserveReload counts a reload of configuration and policies.
func (m *Metrics) ObserveReload(err error, now time.Time) {
	if err != nil {
		m.reloads.WithLabelValues("failure").Inc()
		return
	}
	m.reloads.WithLabelValues("success").Inc()
	m.SetLastReload(now)
}

// SetLastReload sets when configuration and policies were last loaded.
func (m *Metrics) SetLastReload(now time.Time) { m.lastReload.Set(float64(now.Unix())) }

// Gauge adds a gauge that is read at each scrape. The name must be new.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "vilogate_" + name, Help: help}, read))
}

// LabelledGauge adds a gauge with a constant label. The pair of name and label value must be new.
func (m *Metrics) LabelledGauge(name, help, label, value string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vilogate_" + name, Help: help, ConstLabels: prometheus.Labels{label: value},
	}, read))
}

// Ready adds a part of the process that is to be there: 1 where check returns nil. The part must be new.
func (m *Metrics) Ready(part string, check func() error) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vilogate_ready", Help: "Whether a readiness check passes, by part (1) or not (0).", ConstLabels: prometheus.Labels{"part": part},
	}, func() float64 {
		if check() != nil {
			return 0
		}
		return 1
	}))
}

// Counter adds a counter that is read at each scrape. The name must be new.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "vilogate_" + name, Help: help}, read))
}

// Counters adds counters that are read at each scrape, one for each set of label values that read emits. The name must be
// new.
func (m *Metrics) Counters(name, help string, labels []string, read func(emit Emit)) {
	m.registry.MustRegister(labelled{prometheus.NewDesc("vilogate_"+name, help, labels, nil), prometheus.CounterValue, read})
}

// Gauges is Counters for gauges.
func (m *Metrics) Gauges(name, help string, labels []string, read func(emit Emit)) {
	m.registry.MustRegister(labelled{prometheus.NewDesc("vilogate_"+name, help, labels, nil), prometheus.GaugeValue, read})
}

// Emit takes a value and what its labels are, each set of them once.
type Emit func(value float64, labels ...string)

// labelled is a collector whose label values can change from scrape to scrape.
type labelled struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(Emit)
}

func (l labelled) Describe(to chan<- *prometheus.Desc) { to <- l.desc }

func (l labelled) Collect(to chan<- prometheus.Metric) {
	l.read(func(value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(l.desc, l.kind, value, labels...)
	})
}
