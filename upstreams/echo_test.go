package upstreams_test

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/websocket"

	"github.com/viloforge/vilogate/upstreams"
)

func TestEchoAnswersWithWhatItReceived(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(upstreams.Echo())
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", server.URL+"/a//b/../c;d=%2F?x=1&x=2;y", io.MultiReader(strings.NewReader("bo"), strings.NewReader("dy")))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "echo.viloforge.localhost"
	r.Header = http.Header{"X_odd": {"a"}, "X-Two": {"1", "2"}, "User-Agent": {"test"}, "Accept-Encoding": {"identity"}}
	r.Trailer = http.Header{"X-End": {"done"}}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if _, err := io.Copy(w, response.Body); err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	got := decode[map[string]any](t, w)
	want := map[string]any{
		"method": "PATCH", "target": "/a//b/../c;d=%2F?x=1&x=2;y", "host": "echo.viloforge.localhost",
		"headers": map[string]any{
			"x_odd": []any{"a"}, "x-two": []any{"1", "2"}, "user-agent": []any{"test"}, "accept-encoding": []any{"identity"},
		},
		"trailers": map[string]any{"x-end": []any{"done"}}, "body": "body",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestEchoOfBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	got := decode[map[string]any](t, send(upstreams.Echo(), http.MethodPost, "/", "", "\xff\x00"))
	if got["body"] != "" || got["body_base64"] != base64.StdEncoding.EncodeToString([]byte{0xff, 0}) {
		t.Errorf("%v", got)
	}
	if w := send(upstreams.Echo(), http.MethodPost, "/", "", strings.Repeat("x", 32<<20+1)); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("oversized body: %d", w.Code)
	}
}

func TestEventsComeOneByOne(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(upstreams.Echo())
	defer server.Close()
	// A response that were not flushed would come after seventeen minutes.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/sse?count=100&every=10s", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("Content-Type %q", kind)
	}
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{"id: 1", "data: event 1", ""} {
		if !lines.Scan() || lines.Text() != want {
			t.Errorf("%q, want %q: %v", lines.Text(), want, lines.Err())
		}
	}
	if err := response.Body.Close(); err != nil { // and the handler ends, or server.Close would not
		t.Fatal(err)
	}
	all := send(upstreams.Echo(), http.MethodGet, "/sse?count=2&every=1ms", "", "").Body.String()
	if all != "id: 1\ndata: event 1\n\nid: 2\ndata: event 2\n\n" {
		t.Errorf("%q", all)
	}
	for _, query := range []string{"count=0", "count=1001", "count=x", "every=0s", "every=11s", "every=x"} {
		if w := send(upstreams.Echo(), http.MethodGet, "/sse?"+query, "", ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestWebSocketSendsMessagesBack(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(upstreams.Echo())
	defer server.Close()
	conn, err := websocket.Dial("ws"+strings.TrimPrefix(server.URL, "http")+"/ws", "", "https://website.viloforge.localhost")
	if err != nil {
		t.Fatal(err)
	}
	for _, sent := range []string{"hello", "", "ünïcode", strings.Repeat("x", 70000)} {
		if err := websocket.Message.Send(conn, sent); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := websocket.Message.Receive(conn, &got); err != nil || got != sent {
			t.Errorf("sent %.20q, got %.20q: %v", sent, got, err)
		}
	}
	if err := websocket.Message.Send(conn, []byte{0xff, 0}); err != nil {
		t.Fatal(err)
	}
	binary := websocket.Codec{Unmarshal: func(data []byte, kind byte, _ any) error {
		if kind != websocket.BinaryFrame || string(data) != "\xff\x00" {
			t.Errorf("a binary message came back as type %d, %x", kind, data)
		}
		return nil
	}}
	if err := binary.Receive(conn, nil); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("without a handshake: %s, %v", response.Status, err)
	}
}
