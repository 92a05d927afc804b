package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// envoyClient asks as Envoy does over gRPC, by grpc-go and go-control-plane, which deploy/tools pins.
func envoyClient(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "extauthz")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join("..", "..", "deploy", "tools"), "-o", path, "./extauthz")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building deploy/tools/extauthz: %v\n%s", err, out)
	}
	return path
}

// The messages of Envoy's in JSON, as far as they are looked at.
type (
	checkHeader struct {
		Header struct{ Key, Value string }
		Append bool
		Action string `json:"appendAction"`
	}
	checkResponse struct {
		Status struct{ Code int }
		OK     *struct {
			Headers  []checkHeader
			Remove   []string      `json:"headersToRemove"`
			Response []checkHeader `json:"responseHeadersToAdd"`
		} `json:"okResponse"`
		Denied *struct {
			Status  struct{ Code string }
			Headers []checkHeader
			Body    string
		} `json:"deniedResponse"`
	}
)

// value is the one value of a header; it fails where that is said in a way that leaves others beside it.
func headerValue(t *testing.T, headers []checkHeader, name string) (value string) {
	t.Helper()
	for _, h := range headers {
		if h.Header.Key == name {
			if value = h.Header.Value; h.Append || h.Action != "OVERWRITE_IF_EXISTS_OR_ADD" {
				t.Errorf("%s is added to what a client has sent: %+v", name, h)
			}
		}
	}
	return value
}

// TestForwardAuthOfEnvoy: over gRPC, Envoy is told what to set and what to remove, of names that fold into the gateway's too, or
// what to answer.
func TestForwardAuthOfEnvoy(t *testing.T) {
	t.Parallel()
	client := envoyClient(t)
	s := newAttackSite(t, forwardAuth)
	check := func(t *testing.T, method, path string, more map[string]any, headers ...string) checkResponse {
		t.Helper()
		h := map[string]string{":method": method, ":path": path, ":authority": appHost, ":scheme": "https", "x-forwarded-proto": "https", "x-request-id": "0123456789abcdef0123456789abcdef"}
		for _, line := range headers {
			name, value, _ := strings.Cut(line, ": ")
			h[strings.ToLower(name)] = value
		}
		held := map[string]any{"method": method, "path": path, "host": appHost, "scheme": "https", "headers": h, "protocol": "HTTP/2", "size": "-1"}
		for name, value := range more {
			held[name] = value
		}
		message, err := json.Marshal(map[string]any{"attributes": map[string]any{
			"source":            map[string]any{"address": map[string]any{"socketAddress": map[string]any{"address": "192.0.2.9", "portValue": 4711}}, "principal": "x"},
			"request":           map[string]any{"time": "2026-01-01T00:00:00Z", "http": held},
			"contextExtensions": map[string]string{"a": "b"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, client, s.at.ForwardAuth)
		var out, failed bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(message), &out, &failed
		if err := cmd.Run(); err != nil {
			t.Fatalf("asking: %v: %s", err, failed.String())
		}
		var r checkResponse
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, out.String())
		}
		if (r.OK != nil) == (r.Denied != nil) || (r.OK != nil) != (r.Status.Code == 0) {
			t.Fatalf("neither leave nor a refusal: %s", out.String())
		}
		return r
	}
	r := check(t, "GET", "/admin?a=b", nil, "Cookie: "+ssoCookie+"="+s.carol+"; theirs=1", "X-User: alice", "x_user: alice", "x-user-name: alice", "x-auth-request-user: alice",
		"x-http-method-override: DELETE", "x-rewrite-url: /x", "x-forwarded-uri: /public/x", "x-original-url: /public/x", "x-forwarded-for: 192.0.2.9", "x-other: kept",
		"authorization: Basic b3RoZXI=")
	if r.OK == nil {
		t.Fatalf("carol is refused: %+v", r.Denied)
	}
	for name, want := range map[string]string{"x-user": "carol", "x-user-roles": "admin,member", "cookie": "theirs=1", "x-request-id": "0123456789abcdef0123456789abcdef"} {
		if got := headerValue(t, r.OK.Headers, name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	for _, name := range []string{"x_user", "x-auth-request-user", "x-http-method-override", "x-rewrite-url", "x-forwarded-uri", "x-original-url", "x-forwarded-user", "remote-user"} {
		if !slices.Contains(r.OK.Remove, name) {
			t.Errorf("%s is not removed: %q", name, r.OK.Remove)
		}
	}
	for _, name := range []string{"x-user", "cookie", "x-other", "x-forwarded-for", "x-forwarded-proto", "authorization"} {
		if slices.Contains(r.OK.Remove, name) {
			t.Errorf("%s is removed", name)
		}
	}
	r = check(t, "GET", "/public/x", nil, "Cookie: "+ssoCookie+"=x", "x-user-roles: admin")
	if r.OK == nil || len(r.OK.Headers) != 1 || !slices.Contains(r.OK.Remove, "cookie") || !slices.Contains(r.OK.Remove, "x-user-roles") || !slices.Contains(r.OK.Remove, "x-user") {
		t.Errorf("anonymous leave: %+v", r.OK)
	}
	if r = check(t, "GET", "/public/x", nil, "x-forwarded-proto: wss"); r.OK == nil {
		t.Errorf("a WebSocket's scheme, as in front of Envoy Traefik says it: %+v", r.Denied)
	}
	r = check(t, "GET", "/x", nil, "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Accept: text/html")
	if r.Denied == nil || r.Denied.Status.Code != "Found" || headerValue(t, r.Denied.Headers, "location") == "" {
		t.Errorf("a person: %+v", r.Denied)
	}
	if r = check(t, "GET", "/x", nil); r.Denied == nil || r.Denied.Status.Code != "Unauthorized" || !strings.Contains(r.Denied.Body, "login_url") {
		t.Errorf("a program: %+v", r.Denied)
	}
	refused := map[string]checkResponse{
		"another path":   check(t, "GET", "/admin", map[string]any{"path": "/public/x"}),
		"another host":   check(t, "GET", "/public/x", map[string]any{"host": "login.viloforge.test"}),
		"another method": check(t, "POST", "/public/x", map[string]any{"method": "GET"}),
		"no TLS":         check(t, "GET", "/public/x", map[string]any{"scheme": "http"}),
		"no TLS before":  check(t, "GET", "/public/x", nil, "x-forwarded-proto: http"),
		"no path":        check(t, "GET", "/public/x", map[string]any{"path": ""}),
		"a header twice": check(t, "GET", "/public/x", map[string]any{"headerMap": map[string]any{"headers": []any{map[string]any{"key": "a", "value": "b"}}}}),
		"a dot segment":  check(t, "GET", "/public/../admin", nil),
		"own path":       check(t, "GET", "/.vilogate/me", nil),
	}
	for name, r := range refused {
		if r.Denied == nil {
			t.Errorf("%s: %+v", name, r.OK)
		}
	}
	raw := map[string]any{"headers": nil, "headerMap": map[string]any{"headers": []any{
		map[string]any{"key": "cookie", "rawValue": []byte(ssoCookie + "=" + s.alice)},
		map[string]any{"key": "x-forwarded-for", "rawValue": []byte("192.0.2.9")},
		map[string]any{"key": "x-forwarded-proto", "value": "https"},
		map[string]any{"key": ":path", "value": "/x"},
	}}}
	if r = check(t, "GET", "/x", raw); r.OK == nil || headerValue(t, r.OK.Headers, "x-user") != "alice" || !slices.Contains(r.OK.Remove, "cookie") {
		t.Errorf("with encode_raw_headers: %+v", r)
	}
	// As long as the form of the kept page, whose body would be looked at.
	r = check(t, "POST", "/x", nil, "Cookie: "+ssoCookie+"="+s.alice, "Origin: https://"+appHost, "Content-Type: application/x-www-form-urlencoded",
		fmt.Sprintf("Content-Length: %d", len("vilogate_kept=")+26))
	if r.OK == nil {
		t.Errorf("a form: %+v", r.Denied)
	}
	r = check(t, "OPTIONS", "/x", nil, "Origin: https://web.viloforge.test", "Access-Control-Request-Method: PUT")
	if r.OK != nil {
		t.Errorf("a preflight: %+v", r)
	}
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": strings.Replace(attackedPolicy, "routes:\n", "routes:\n  - { path: /socket, allow: authenticated, websocket: true }\n", 1)})
	s.must("", "reload", "--state", s.state)
	for offered, want := range map[string]string{"bearer." + s.alice: "", "a, bearer." + s.alice + ", chat": "a, chat"} {
		r = check(t, "GET", "/socket", nil, "Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Protocol: "+offered)
		if r.OK == nil || headerValue(t, r.OK.Headers, "x-user") != "alice" || headerValue(t, r.OK.Headers, "sec-websocket-protocol") != want ||
			slices.Contains(r.OK.Remove, "sec-websocket-protocol") != (want == "") {
			t.Errorf("a token as a subprotocol, %q wanted: %+v", want, r)
		}
	}
	within(t, waitTimeout, "records say who asked, and how", func() bool {
		return strings.Contains(s.output.String(), `"client":"192.0.2.9","protocol":"HTTP/1.1","method":"GET","host":"app.viloforge.test","path":"/admin"`) && strings.Contains(s.output.String(), `"forward_auth":"envoy-grpc"`)
	})
	if all := s.backend.all(); len(all) > 0 {
		t.Errorf("a backend was asked: %q", all)
	}
	// What is no such call fails, and Envoy refuses the request then.
	for _, r := range []request{
		{method: http.MethodPost, target: "/envoy.service.auth.v3.Authorization/Check", header: []string{"Content-Type: application/grpc"}, body: "\x00\x00\x00\x00\x00"},
		{method: http.MethodGet, target: "/envoy.service.auth.v3.Authorization/Check"},
	} {
		if a := asking(t, s.site, r); a.status < 400 {
			t.Errorf("over HTTP/1.1: %v", a)
		}
	}
}
