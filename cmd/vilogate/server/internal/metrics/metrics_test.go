package metrics_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/cmd/vilogate/server/internal/metrics"
	"github.com/viloforge/vilogate/gateway"
)

func TestWhatIsTold(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Gauge("answer", "The answer.", func() float64 { return 42 })
	m.Counter("questions_total", "Questions.", func() float64 { return 7 })
	m.Ready("keys", func() error { return nil })
	m.Ready("revocations", func() error { return errors.New("stale") })
	m.SetLastReload(time.Unix(1000, 0))
	m.ObserveReload(nil, time.Unix(2000, 0))
	m.ObserveReload(errors.New("no"), time.Unix(3000, 0))
	m.Observe(&gateway.Record{
		Host: "x1.preview.example", Route: "/a/:b", Decision: "allow", Status: 502, Upstream: "app",
		Duration: 30 * time.Millisecond, Wait: 20 * time.Millisecond, UpstreamError: true, OddHeaders: 2, Dropped: 3,
		Shadow: []gateway.ShadowDecision{{Decision: "deny"}, {Folder: true, Decision: "login"}},
	}, "*.preview.example")
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
	body := recorder.Body.String()
	for _, line := range []string{
		`vilogate_answer 42`,
		`vilogate_questions_total 7`,
		`vilogate_http_requests_total{decision="allow",host="*.preview.example",route="/a/:b",status="5xx"} 1`,
		`vilogate_http_request_duration_seconds_count{host="*.preview.example"} 1`,
		`vilogate_upstream_response_header_seconds_count{upstream="app"} 1`,
		`vilogate_upstream_errors_total{upstream="app"} 1`,
		`vilogate_odd_headers_total 2`,
		`vilogate_dropped_headers_total 3`,
		`vilogate_shadow_differences_total{decision="allow",host="*.preview.example",route="/a/:b",shadow="routes",shadow_decision="deny"} 1`,
		`vilogate_shadow_differences_total{decision="allow",host="*.preview.example",route="/a/:b",shadow="folder",shadow_decision="login"} 1`,
		`vilogate_config_reloads_total{result="success"} 1`,
		`vilogate_config_reloads_total{result="failure"} 1`,
		`vilogate_config_last_reload_success_timestamp_seconds 2000`,
		`vilogate_ready{part="keys"} 1`,
		`vilogate_ready{part="revocations"} 0`,
		`go_goroutines `,
	} {
		if !strings.Contains(body, line) {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(body, "x1.preview") {
		t.Error("a host that a stranger chose is a label")
	}
}
