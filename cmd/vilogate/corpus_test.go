package main_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/corpus"
)

// backendRecord is a request as a backend has it.
type backendRecord struct {
	ID, Method, Target, Host, User string
	Body                           string
	Base64                         []byte // the body, where it can be written so; in Body, what is no UTF-8 is U+FFFD
	Status                         int    // that the backend answers with by itself; 0 for a good one
}

// TestBackendsReceiveWhatWasDecided: whatever a client sends, net/http, gunicorn, node and nginx behind the gateway have each
// request that it decided to forward once, as it was decided on and with the body that was sent, or not at all.
func TestBackendsReceiveWhatWasDecided(t *testing.T) {
	t.Parallel()
	size := 4000
	if text := os.Getenv("VILOGATE_CORPUS"); text != "" {
		var err error
		if size, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	backends := map[string]recordingBackend{"go": goRecorder(t), "gunicorn": gunicornRecorder(t), "node": nodeRecorder(t), "nginx": nginxRecorder(t)}
	files := map[string]string{"vilogate.yaml": serveConfig + ownIdP + "upstreams:\n"}
	for name, b := range backends {
		files["vilogate.yaml"] += fmt.Sprintf("  %s: { url: \"http://%s\" }\n", name, b.address)
		files["policies/"+name+".yaml"] = fmt.Sprintf("host: %s.viloforge.test\nupstream: %s\nroutes:\n  - { path: /public/*rest, allow: public }\n  - { path: /*rest, allow: authenticated }\n", name, name)
	}
	s := serve(t, files)
	s.addUser("alice", "member")
	cookie := cookieLine(s.client().login("alice").sso())
	bodies := &sentBodies{of: map[string]string{}}
	var wait sync.WaitGroup
	for name := range backends {
		eventually(t, name+" answers", func() bool { return s.client().get(s.url(name, "/public/begin")).status < 300 })
		inputs := make(chan []byte)
		wait.Go(func() {
			defer close(inputs)
			all := corpus.New(uint64(len(name)), name+".viloforge.test", cookie, cookie+"\r\nOrigin: https://"+name+".viloforge.test")
			for range size / len(backends) {
				inputs <- all.Next()
			}
		})
		for range 4 {
			wait.Go(func() { s.sendInputs(t, inputs, name, bodies) })
		}
	}
	wait.Wait()
	for name, b := range backends {
		last := s.client().get(s.url(name, "/public/end")).header.Get("X-Request-Id")
		s.recordOf(t, last) // behind which there is none of an input's
		eventually(t, "what "+name+" has received", func() bool {
			return slices.ContainsFunc(b.all(t), func(r backendRecord) bool { return r.ID == last })
		})
		s.compareWithRecords(t, name, b.all(t), bodies)
	}
}

// sentBodies are the bodies of requests, by the id that their answers have. Safe for concurrent use.
type sentBodies struct {
	mu sync.Mutex
	of map[string]string // guarded by mu
}

// sendInputs sends inputs, each on a connection of its own.
func (s *site) sendInputs(t *testing.T, inputs <-chan []byte, name string, bodies *sentBodies) {
	config := s.tls(name+".viloforge.test", "http/1.1")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for input := range inputs {
		conn, err := tls.Dial("tcp", s.at.HTTPS, config)
		if err != nil {
			t.Errorf("a connection: %v", err)
			continue
		}
		answers := exchangeRaw(conn, input)
		closeQuietly(t, conn)
		bodies.mu.Lock()
		_, sent := requestsOf(input)
		for i, sent := range sent {
			if i < len(answers) {
				bodies.of[answers[i]] = sent
			}
		}
		bodies.mu.Unlock()
	}
}

// exchangeRaw sends an input and returns the request ids of the answers, in order. It ends the sending when there are as many
// answers as net/http finds requests, or none for a while.
func exchangeRaw(conn *tls.Conn, input []byte) (ids []string) {
	wrote := make(chan struct{})
	defer func() { <-wrote }()
	go func() {
		defer close(wrote)
		_, _ = conn.Write(input) // the gateway may have refused it before its end
	}()
	methods, _ := requestsOf(input)
	reader := bufio.NewReader(conn)
	defer func() { _ = conn.SetDeadline(time.Unix(1, 0)) }()
	for {
		if len(ids) >= len(methods) {
			<-wrote
			if conn.CloseWrite() != nil {
				return ids
			}
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // where it fails, so does the reading
		request := &http.Request{Method: http.MethodGet}
		if len(ids) < len(methods) {
			request.Method = methods[len(ids)]
		}
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return ids
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			return ids
		}
		if response.StatusCode >= 200 {
			ids = append(ids, response.Header.Get("X-Request-Id"))
		}
	}
}

// requestsOf are the requests that net/http finds in an input: their methods and bodies.
func requestsOf(input []byte) (methods, bodies []string) {
	reader := bufio.NewReader(bytes.NewReader(input))
	for {
		if begin, err := reader.Peek(2); err == nil && string(begin) == "\r\n" {
			_, _ = reader.Discard(2)
		}
		r, err := http.ReadRequest(reader)
		if err != nil {
			return methods, bodies
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return methods, bodies
		}
		methods, bodies = append(methods, r.Method), append(bodies, string(body))
	}
}

// compareWithRecords compares what a backend has received with the access records.
func (s *site) compareWithRecords(t *testing.T, name string, received []backendRecord, bodies *sentBodies) {
	t.Helper()
	type record struct{ RequestID, Method, Host, Path, Decision, Subject string }
	records := map[string]record{}
	for line := range strings.SplitSeq(s.output.String(), "\n") {
		var r struct {
			record
			ID string `json:"request_id"`
		}
		if json.Unmarshal([]byte(line), &r) == nil && r.ID != "" {
			records[r.ID] = r.record
		}
	}
	seen := map[string]bool{}
	for _, got := range received {
		if got.Status >= 400 {
			continue // the backend refuses it
		}
		r, ok := records[got.ID]
		path, _, _ := strings.Cut(got.Target, "?")
		user := ""
		if r.Subject != "" {
			user = "alice"
		}
		switch {
		case !ok || r.Decision != "allow":
			t.Errorf("%s received %+v, which was decided on as %+v", name, got, r)
		case seen[got.ID]:
			t.Errorf("%s received %+v twice", name, got)
		case got.Method != r.Method || path != r.Path || got.Host != r.Host || !strings.HasPrefix(r.Host, name+".") || got.User != user:
			t.Errorf("%s received %+v, in place of %+v", name, got, r)
		}
		seen[got.ID] = true
		if body, known := bodies.of[got.ID]; known && body != string(got.Base64) && string([]rune(body)) != got.Body {
			t.Errorf("%s received %+v, in place of the body %q", name, got, body)
		}
	}
	t.Logf("%s received %d requests", name, len(seen))
}

// recordingBackend is a backend that keeps what it has received.
type recordingBackend struct {
	address string
	all     func(*testing.T) []backendRecord
}

func goRecorder(t *testing.T) recordingBackend {
	t.Helper()
	var mu sync.Mutex
	var all []backendRecord
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // it was cut off
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, backendRecord{ID: r.Header.Get("X-Request-Id"), Method: r.Method, Target: r.RequestURI, Host: r.Host, User: r.Header.Get("X-User"), Base64: body})
	}))
	t.Cleanup(server.Close)
	return recordingBackend{server.Listener.Addr().String(), func(*testing.T) []backendRecord {
		mu.Lock()
		defer mu.Unlock()
		return append([]backendRecord{}, all...)
	}}
}

// linesOf are the records that a backend writes to a file, a line each.
func linesOf(path string) func(*testing.T) []backendRecord {
	return func(t *testing.T) (all []backendRecord) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.SplitSeq(data, []byte("\n")) {
			var r backendRecord
			if json.Unmarshal(line, &r) == nil {
				all = append(all, r)
			}
		}
		return all
	}
}

func gunicornRecorder(t *testing.T) recordingBackend {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{"app.py": `
import base64, json, os
out = os.open("lines", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def application(e, start_response):
    body = e["wsgi.input"].read()
    if len(body) >= int(e.get("CONTENT_LENGTH") or 0):
        os.write(out, (json.dumps({"ID": e.get("HTTP_X_REQUEST_ID"), "Method": e["REQUEST_METHOD"], "Target": e["RAW_URI"], "Host": e.get("HTTP_HOST"),
            "User": e.get("HTTP_X_USER", ""), "Base64": base64.b64encode(body).decode()}) + "\n").encode())
    start_response("204 No Content", [])
    return []
`})
	launch(t, dir, append(os.Environ(), "HOME="+dir), program(t, "gunicorn", "gunicorn"), "--bind", address, "--worker-class", "gthread", "--threads", "8", "--keep-alive", "60", "app")
	return recordingBackend{address, linesOf(filepath.Join(dir, "lines"))}
}

func nodeRecorder(t *testing.T) recordingBackend {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{"server.js": fmt.Sprintf(`
const fs = require("fs");
require("http").createServer({ keepAliveTimeout: 60000 }, (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("error", () => {});
  request.on("end", () => {
    const h = request.headers;
    fs.appendFileSync("lines", JSON.stringify({ ID: h["x-request-id"], Method: request.method, Target: request.url, Host: h.host, User: h["x-user"] || "", Base64: Buffer.concat(pieces).toString("base64") }) + "\n");
    response.writeHead(204).end();
  });
}).listen(%s, %q);
`, port, host)})
	launch(t, dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir}, program(t, "node", "nodejs"), filepath.Join(dir, "server.js"))
	return recordingBackend{address, linesOf(filepath.Join(dir, "lines"))}
}

func nginxRecorder(t *testing.T) recordingBackend {
	t.Helper()
	dir, address := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{"nginx.conf": fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log /dev/null;
events {}
http {
  log_format lines escape=json '{"ID":"$http_x_request_id","Method":"$request_method","Target":"$request_uri","Host":"$http_host","User":"$http_x_user","Body":"$request_body","Status":$status}';
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  keepalive_requests 1000000; client_body_buffer_size 1m; client_body_in_single_buffer on; large_client_header_buffers 8 128k; underscores_in_headers on;
  server { listen %[2]s; access_log %[1]s/lines lines; location / { proxy_pass http://unix:%[1]s/second; } }
  server { listen unix:%[1]s/second; access_log off; location / { return 204; } }
}
`, dir, address)})
	launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "nginx", "nginx-light"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"), "-e", "/dev/null")
	return recordingBackend{address, linesOf(filepath.Join(dir, "lines"))}
}
