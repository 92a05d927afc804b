package main_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// call is a call of gRPC.
func call(target string, header ...string) request {
	return request{method: http.MethodPost, host: appHost, target: target, body: "\x00\x00\x00\x00\x00", header: append([]string{"Content-Type: application/grpc+proto", "TE: trailers"}, header...)}
}

const callPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: /public, allow: public }
  - { path: /small, allow: public, max_body: 3 }
  - { path: /rated, allow: public, rate: 1/h per ip }
  - { path: /member, allow: { roles: [member] } }
  - { path: "/wait/*rest", allow: authenticated }
`

// TestCallsAreRefusedByAStatus of gRPC, with what every refusal carries; the records and the metrics say what anybody else would have been told.
func TestCallsAreRefusedByAStatus(t *testing.T) {
	t.Parallel()
	down := listenLoopback(t)
	if err := down.Close(); err != nil {
		t.Fatal(err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + grpcIssuer + fmt.Sprintf("upstreams: { app: { url: \"h2c://%s\" }, http1: { url: %q } }\n", down.Addr(), other.URL),
		"policies/app.yaml": callPolicy, "policies/http1.yaml": strings.NewReplacer("app", "http1").Replace(callPolicy),
	})
	bearer := "Authorization: Bearer " + grpcToken("nora")
	cookie := "Cookie: jwt=" + grpcToken("nora", "member")
	if got := s.http2(t, call("/rated")); got.header.Get("Grpc-Status") != "14" {
		t.Errorf("the first of a rate: %v", got)
	}
	for _, c := range []struct {
		name     string
		r        request
		grpc     string
		recorded int
	}{
		{"nobody", call("/member"), "16", 401},
		{"a bad token", call("/member", bearer+"x"), "16", 401},
		{"somebody else", call("/member", bearer), "7", 403},
		{"no route, nobody", call("/nowhere"), "16", 401},
		{"no route", call("/nowhere", bearer), "7", 403},
		{"another site", call("/member", cookie, "Origin: https://evil.test", "Sec-Fetch-Site: cross-site"), "7", 403},
		{"a script without an origin", call("/member", cookie), "7", 403},
		{"too large", call("/small", "Content-Length: 5"), "8", 413},
		{"too often", call("/rated"), "8", 429},
		{"the upstream is down", call("/public"), "14", 502},
		{"malformed", call("/public/%00"), "13", 400},
	} {
		got := s.http2(t, c.r)
		id := got.header.Get("X-Request-Id")
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/grpc" || got.header.Get("Grpc-Status") != c.grpc || got.body != "" || got.header.Get("Grpc-Message") == "" {
			t.Errorf("%s: %v, want the status %s", c.name, got, c.grpc)
		}
		if (c.recorded == 401) != strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer ") || got.header.Get("Location") != "" {
			t.Errorf("%s: %v", c.name, got)
		}
		if (c.recorded == 429) != (got.header.Get("Retry-After") != "") {
			t.Errorf("%s: Retry-After %q", c.name, got.header.Get("Retry-After"))
		}
		eventually(t, c.name+": its record", func() bool {
			for line := range strings.SplitSeq(s.output.String(), "\n") {
				if strings.Contains(line, id) {
					return strings.Contains(line, fmt.Sprintf(`"status":%d,`, c.recorded)) && strings.Contains(line, fmt.Sprintf(`"grpc_status":%q`, c.grpc))
				}
			}
			return false
		})
	}
	// What says so alone is no call: over HTTP/1.1, of another type or method, or for an upstream of HTTP/1.1.
	page := func(name string, got answer) {
		t.Helper()
		if got.status != http.StatusUnauthorized || got.header.Get("Grpc-Status") != "" {
			t.Errorf("%s: %v, want 401", name, got)
		}
	}
	page("HTTP/1.1", s.http1(t, call("/member")))
	for _, contentType := range []string{"application/grpcX", "application/grpc-web", "application/grpc-web+proto", "application/grpc-web-text", "text/plain"} {
		r := call("/member")
		r.header[0] = "Content-Type: " + contentType
		page(contentType, s.http2(t, r))
	}
	r := call("/member")
	r.host = "http1.viloforge.test"
	page("an upstream of HTTP/1.1", s.http2(t, r))
	if got := s.admin(t, "/metrics").body; !strings.Contains(got, `vilogate_http_requests_total{decision="login",host="app.viloforge.test",route="/member",status="4xx"} `) {
		t.Errorf("the metrics know of no refusal:\n%s", got)
	}
}

// waits is a backend whose calls wait: below /wait/header before anything, below /wait/stream behind a message.
func waits(t *testing.T, arrived, gone chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/wait/stream") {
			w.Header().Set("Content-Type", "application/grpc")
			_, err := io.WriteString(w, "\x00\x00\x00\x00\x01x")
			if err = errors.Join(err, http.NewResponseController(w).Flush()); err != nil && r.Context().Err() == nil {
				t.Error(err)
			}
		}
		arrived <- struct{}{}
		if r.URL.Path == "/wait/stream/killed" {
			panic(http.ErrAbortHandler)
		}
		<-r.Context().Done()
		gone <- struct{}{}
	}
}

// TestACallHasTheTimeThatItSays, grpc-timeout, and no other: the upstream's own is not that of calls. What is cut off ends with a status.
func TestACallHasTheTimeThatItSays(t *testing.T) {
	t.Parallel()
	backend := http.NewServeMux()
	_, address := newH2CBackend(t, backend.ServeHTTP)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + grpcIssuer + fmt.Sprintf("upstreams: { app: { url: %q, timeout: 1s } }\n", address),
		"policies/app.yaml": callPolicy,
	})
	bearer := "Authorization: Bearer " + grpcToken("nora")
	for _, c := range []struct {
		target, grpc, body string
		timeout            time.Duration
	}{
		{"/wait/header", "4", "", 1500 * time.Millisecond},
		{"/wait/stream", "4", "\x00\x00\x00\x00\x01x", 1500 * time.Millisecond},
		{"/wait/stream/killed", "14", "\x00\x00\x00\x00\x01x", 2 * time.Minute},
	} {
		arrived, gone := make(chan struct{}, 8), make(chan struct{}, 8)
		backend.Handle(c.target, waits(t, arrived, gone))
		var got answer
		var took time.Duration
		for inTime := false; !inTime && c.timeout <= 2*time.Minute; c.timeout *= 2 { // the backend may be late
			began := time.Now()
			got = s.http2(t, call(c.target, bearer, fmt.Sprintf("grpc-timeout: %dm", c.timeout.Milliseconds())))
			took = time.Since(began)
			status := got.header.Get("Grpc-Status") + got.trailer.Get("Grpc-Status")
			if got.status != http.StatusOK || status != c.grpc || c.grpc == "4" && took < c.timeout {
				t.Errorf("%s: %v, trailer %v after %v of %v, want the status %s", c.target, got, got.trailer, took, c.timeout, c.grpc)
			}
			inTime = len(arrived) > 0 && got.body == c.body
		}
		wait(t, arrived, "the call")
		if got.body != c.body {
			t.Errorf("%s: the body is %q after %v", c.target, got.body, took)
		}
		if c.grpc == "4" {
			wait(t, gone, "its end at the backend")
		}
	}
}

// TestWhatCallsItselfGRPCHasTheUpstreamsTimeout, where the upstream speaks HTTP/1.1: a client cannot turn that off by a Content-Type.
func TestWhatCallsItselfGRPCHasTheUpstreamsTimeout(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + grpcIssuer + fmt.Sprintf("upstreams: { app: { url: %q, timeout: 1s } }\n", backend.URL),
		"policies/app.yaml": callPolicy,
	})
	for _, p := range protocols() {
		for _, contentType := range []string{"application/grpc", "application/grpc+proto", "application/grpcX"} {
			r := call("/public")
			r.header[0] = "Content-Type: " + contentType
			if got := p.send(s, t, r); got.status != http.StatusGatewayTimeout {
				t.Errorf("%s, %s: %v, want 504", p.name, contentType, got)
			}
		}
	}
}

// TestCallsEndWithTheSignIn: by a status, before an answer and within one.
func TestCallsEndWithTheSignIn(t *testing.T) {
	t.Parallel()
	arrived, gone := make(chan struct{}, 2), make(chan struct{}, 2)
	_, address := newH2CBackend(t, waits(t, arrived, gone))
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", address),
		"policies/app.yaml": callPolicy,
	})
	sso := cookieLine(sessionOf(t, s))
	answers := make(chan answer, 2)
	for _, target := range []string{"/wait/header", "/wait/stream"} {
		c := s.h2(t, appHost)
		go func() {
			answers <- c.exchange(call(target, sso, "Origin: https://"+appHost).filled().fields(), "\x00\x00\x00\x00\x00")
		}()
		wait(t, arrived, target)
	}
	got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{sso, "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	for range 2 {
		select {
		case got := <-answers:
			if status := got.header.Get("Grpc-Status") + got.trailer.Get("Grpc-Status"); got.status != http.StatusOK || status != "16" {
				t.Errorf("%v, trailer %v, want the status 16", got, got.trailer)
			}
		case <-time.After(unhelped):
			t.Error("a call goes on")
		}
		wait(t, gone, "its end at the backend")
	}
	eventually(t, "the records say why", func() bool {
		return strings.Count(s.output.String(), `"grpc_status":"16","stream_end":"revoked"`) == 2
	})
}
