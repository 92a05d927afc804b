package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestReadyStaysReadyUntilItDrains(t *testing.T) {
	t.Parallel()
	var wrong error = errors.New("not there yet")
	r := &readiness{checks: []healthCheck{{"keys", func() error { return wrong }}, {"certificate", func() error { return nil }}}}
	admin := adminHandler(r, http.NotFoundHandler(), func() []byte { return []byte(`{"keys":[]}`) }, nil, nil)
	ask := func() (int, readyResponse) {
		t.Helper()
		recorder := httptest.NewRecorder()
		admin.ServeHTTP(recorder, httptest.NewRequest("GET", "/readyz", nil))
		var a readyResponse
		if err := json.Unmarshal(recorder.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		return recorder.Code, a
	}
	if status, a := ask(); status != 503 || a.Status != "starting" || a.Missing["keys"] != "not there yet" || len(a.Missing) != 1 {
		t.Errorf("before: %d %+v", status, a)
	}
	wrong = nil
	if status, a := ask(); status != 200 || a.Status != "ready" || len(a.Missing) != 0 {
		t.Errorf("when everything is there: %d %+v", status, a)
	}
	wrong = errors.New("gone")
	if status, a := ask(); status != 200 || a.Missing["keys"] != "gone" {
		t.Errorf("in trouble: %d %+v", status, a)
	}
	r.draining.Store(true)
	if status, a := ask(); status != 503 || a.Status != "draining" {
		t.Errorf("draining: %d %+v", status, a)
	}
}

func TestTheAdminListenerIsReadOnly(t *testing.T) {
	t.Parallel()
	admin := adminHandler(&readiness{}, http.NotFoundHandler(), nil, func() Status { return Status{} }, nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics", "/status"} {
			recorder := httptest.NewRecorder()
			admin.ServeHTTP(recorder, httptest.NewRequest(method, path, nil))
			if recorder.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d", method, path, recorder.Code)
			}
		}
	}
}

// A page whose name was pointed at the admin listener (DNS rebinding), or of another origin, reads nothing there. Probes of
// load balancers, and backends that fetch the public keys, ask by whatever name they know.
func TestPagesReadNothingAtTheAdminListener(t *testing.T) {
	t.Parallel()
	keys := func() []byte { return []byte(`{"keys":[]}`) }
	admin := adminHandler(&readiness{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), keys,
		func() Status { return Status{} }, func() []string { return []string{"gateway", "vilogate.example.com"} })
	ask := func(path, host, origin string) (int, string) {
		r := httptest.NewRequest("GET", path, nil)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		recorder := httptest.NewRecorder()
		admin.ServeHTTP(recorder, r)
		return recorder.Code, recorder.Body.String()
	}
	for _, path := range []string{"/status", "/metrics"} {
		for _, host := range []string{
			"127.0.0.1:9901", "127.0.0.1", "[::1]:9901", "[::1]", "10.0.0.7", "localhost:9901", "LOCALHOST", "localhost.", "admin.localhost:9901",
			"gateway:9901", "Gateway", "vilogate.example.com:9901", "vilogate.example.com.",
		} {
			if status, body := ask(path, host, ""); status != http.StatusOK {
				t.Errorf("%s of %q: %d %s", path, host, status, body)
			}
		}
		for _, host := range []string{
			"", "evil.example", "evil.example:9901", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost", "x.gateway", "0x7f000001", "2130706433", "example.com",
		} {
			if status, body := ask(path, host, ""); status != http.StatusMisdirectedRequest || !strings.Contains(body, "admin_hosts") {
				t.Errorf("%s of %q: %d %s", path, host, status, body)
			}
		}
		for _, origin := range []string{"https://evil.example", "http://evil.example:9901", "null", "http://127.0.0.1:80", "http://127.0.0.1", "http://localhost:9901"} {
			if status, body := ask(path, "127.0.0.1:9901", origin); status != http.StatusForbidden || !strings.Contains(body, "Origin") {
				t.Errorf("%s for a page of %s: %d %s", path, origin, status, body)
			}
		}
		if status, body := ask(path, "127.0.0.1:9901", "http://127.0.0.1:9901"); status != http.StatusOK {
			t.Errorf("%s for itself: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/healthz", "/.well-known/vilogate/jwks.json"} {
		if status, body := ask(path, "whatever.example", ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := ask("/readyz", "whatever.example", ""); status != http.StatusOK {
		t.Errorf("/readyz: %d %s", status, body)
	}
}
