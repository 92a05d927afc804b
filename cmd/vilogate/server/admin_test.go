package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestReadyStaysReadyUntilItDrains(t *testing.T) {
	t.Parallel()
	var wrong error = errors.New("not there yet")
	r := &readiness{checks: []healthCheck{{"keys", func() error { return wrong }}, {"certificate", func() error { return nil }}}}
	admin := adminHandler(r, http.NotFoundHandler(), func() []byte { return []byte(`{"keys":[]}`) }, nil)
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
	admin := adminHandler(&readiness{}, http.NotFoundHandler(), nil, func() statusResponse { return statusResponse{} })
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
