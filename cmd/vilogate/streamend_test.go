package main_test

import (
	"bufio"
	"crypto"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// streamsPolicy is a host of requests that take long.
const streamsPolicy = `
host: app.viloforge.test
upstream: app
routes:
  - { path: "/public/*rest", allow: public, websocket: true }
  - { path: "/keep/*rest", allow: authenticated, websocket: true, streams: keep }
  - { path: "/member/*rest", allow: { roles: [member] }, websocket: true }
  - { path: "/*rest", allow: authenticated, websocket: true }
`

// longBackend takes long over everything, and knows what is open by the query of its address.
type longBackend struct {
	t *testing.T
	*httptest.Server
	mu   sync.Mutex
	open map[string]chan string // of what comes to an end, and how
}

const downloadSize = 10 << 20

func newLongBackend(t *testing.T) *longBackend {
	t.Helper()
	b := &longBackend{t: t, open: map[string]chan string{}}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

// at is where the backend tells of a request with that query: "arrived", and then how it ended.
func (b *longBackend) at(query string) chan string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[query] == nil {
		b.open[query] = make(chan string, 4)
	}
	return b.open[query]
}

// next waits for what the backend tells next of a request.
func (b *longBackend) next(query string) string {
	b.t.Helper()
	select {
	case told := <-b.at(query):
		return told
	case <-time.After(unhelped):
		b.t.Errorf("the backend told nothing of %s for %v", query, unhelped)
		return ""
	}
}

func (b *longBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	told := b.at(r.URL.RawQuery)
	kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if kind == "socket" {
		b.echo(w, r.Header.Get("Sec-WebSocket-Key"), told)
		return
	}
	ended := "canceled"
	switch kind {
	case "events":
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: hello\n\n")
	case "grpc":
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			b.t.Errorf("full duplex: %v", err)
		}
		w.Header().Set("Content-Type", "application/grpc")
		fmt.Fprint(w, "data: hello\n\n")
	case "download":
		w.Header().Set("Content-Length", fmt.Sprint(downloadSize))
		if _, err := w.Write(make([]byte, downloadSize/10)); err != nil {
			b.t.Errorf("download: %v", err)
		}
	}
	if kind != "poll" && kind != "upload" {
		if err := http.NewResponseController(w).Flush(); err != nil {
			b.t.Errorf("flush: %v", err)
		}
	}
	told <- "arrived"
	if kind == "upload" || kind == "grpc" {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			ended = "the whole body"
		}
	} else {
		<-r.Context().Done()
	}
	told <- ended
}

// echo is a WebSocket that sends back the payload of each frame, and tells of the close frame that ends it.
func (b *longBackend) echo(w http.ResponseWriter, key string, told chan string) {
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 4.2.2
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		b.t.Errorf("hijack: %v", err)
		return
	}
	defer closeQuietly(b.t, conn)
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(accept[:])); err != nil {
		b.t.Errorf("101: %v", err)
	}
	told <- "arrived"
	for {
		opcode, payload, err := readFrame(buffered)
		if err != nil {
			told <- "cut off"
			return
		}
		if opcode == 8 {
			told <- closeText(payload)
			return
		}
		if _, err := conn.Write(append([]byte{0x80 | opcode, byte(len(payload))}, payload...)); err != nil {
			told <- err.Error()
			return
		}
	}
}

// readFrame reads a short frame, masked or not.
func readFrame(r io.Reader) (opcode byte, payload []byte, err error) {
	var header [2]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	var key [4]byte
	if header[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, key[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, header[1]&0x7f)
	if len(payload) > 125 {
		return 0, nil, errors.New("a long frame, which nothing here sends")
	}
	_, err = io.ReadFull(r, payload)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return header[0] & 0x0f, payload, err
}

func closeText(payload []byte) string {
	if len(payload) < 2 {
		return "close without a code"
	}
	return fmt.Sprintf("close %d %s", int(payload[0])<<8|int(payload[1]), payload[2:])
}

// maskedFrame is a short frame as a client sends it.
func maskedFrame(opcode byte, payload string) []byte {
	b := []byte{0x80 | opcode, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	for i := range payload {
		b = append(b, payload[i]^b[2+i%4])
	}
	return b
}

// under is a request under way.
type under struct {
	name  string
	query string
	conn  net.Conn // of a WebSocket
	read  *bufio.Reader
	ended chan string // how it ended for the client; "whole" for an answer that was not cut off
}

// openSocket opens a WebSocket to which something has come back.
func (b *longBackend) openSocket(s *site, path, query, credential string) *under {
	b.t.Helper()
	conn := s.handshake(b.t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, "GET "+path+"?"+query+" HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+upgrade+credential+"\r\n\r\n"); err != nil {
		b.t.Fatal(err)
	}
	u := &under{name: "WebSocket " + path, query: query, conn: conn, read: bufio.NewReader(conn), ended: make(chan string, 1)}
	response, err := http.ReadResponse(u.read, &http.Request{Method: http.MethodGet})
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		b.t.Fatalf("%s: %v %v", u.name, response, err)
	}
	b.arrived(query)
	u.echo(b.t)
	return u
}

func (b *longBackend) arrived(query string) {
	b.t.Helper()
	if told := b.next(query); told != "arrived" {
		b.t.Fatalf("%s: %s", query, told)
	}
}

// echo says something and hears it again.
func (u *under) echo(t *testing.T) {
	t.Helper()
	if _, err := u.conn.Write(maskedFrame(1, "still there?")); err != nil {
		t.Errorf("%s: %v", u.name, err)
	}
	if _, payload, err := readFrame(u.read); err != nil || string(payload) != "still there?" {
		t.Errorf("%s: echoed %q: %v", u.name, payload, err)
	}
}

// watch tells how a WebSocket ends, and answers a close frame as browsers do.
func (u *under) watch() *under {
	go func() {
		_, payload, err := readFrame(u.read)
		if err != nil {
			u.ended <- "cut off"
			return
		}
		_, _ = u.conn.Write(maskedFrame(8, string(payload)))
		how := closeText(payload)
		if _, err := u.read.ReadByte(); err != io.EOF {
			how += ", and then " + fmt.Sprint(err)
		}
		u.ended <- how
	}()
	return u
}

// openRequest begins a request of a kind, in a protocol, and returns when it is under way.
func (b *longBackend) openRequest(s *site, protocol, path, query, credential string) *under {
	b.t.Helper()
	u := &under{name: path + " " + protocol, query: query, ended: make(chan string, 1)}
	if protocol == "http/1.1" && strings.HasSuffix(path, "upload") {
		b.openUpload(s, u, path, credential)
		return u
	}
	c := newClient(b.t, s, s.tls("", protocol))
	method, body := http.MethodGet, io.Reader(nil)
	switch path[strings.LastIndexByte(path, '/')+1:] {
	case "upload", "grpc":
		method = http.MethodPost
		read, write := io.Pipe()
		body = read
		b.t.Cleanup(func() { closeQuietly(b.t, write) })
		go func() { _, _ = write.Write(make([]byte, 1000)) }() // and then nothing more
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, s.url("app", path+"?"+query), body)
	if err != nil {
		b.t.Fatal(err)
	}
	name, value, _ := strings.Cut(credential, ": ")
	r.Header.Set(name, value)
	r.Header.Set("Origin", "https://"+appHost)
	if strings.HasSuffix(path, "grpc") {
		r.Header.Set("Content-Type", "application/grpc")
	}
	go func() {
		response, err := c.http.Do(r)
		if err != nil {
			u.ended <- "no answer"
			return
		}
		defer closeQuietly(b.t, response.Body)
		if response.StatusCode != http.StatusOK {
			u.ended <- response.Status
			return
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			u.ended <- "whole"
			return
		}
		u.ended <- "cut off"
	}()
	b.arrived(query)
	return u
}

// openUpload begins an upload over HTTP/1.1: net/http's client would see the end of it only when it has more to send.
func (b *longBackend) openUpload(s *site, u *under, path, credential string) {
	b.t.Helper()
	conn := s.handshake(b.t, s.tls(appHost, "http/1.1"))
	if _, err := io.WriteString(conn, "POST "+path+"?"+u.query+" HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+credential+"\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"); err != nil {
		b.t.Fatal(err)
	}
	go func() {
		how := "no answer"
		if got, _ := io.ReadAll(conn); len(got) > 0 {
			how = fmt.Sprintf("%.100q", got)
		}
		u.ended <- how
	}()
	b.arrived(u.query)
}

// ends waits for how a request under way ends, for the client and for the backend.
func (b *longBackend) ends(u *under, client, backend string) {
	b.t.Helper()
	select {
	case how := <-u.ended:
		if how != client {
			b.t.Errorf("%s: the client sees %q, want %q", u.name, how, client)
		}
	case <-time.After(unhelped):
		b.t.Errorf("%s goes on", u.name)
	}
	if told := b.next(u.query); told != backend {
		b.t.Errorf("%s: the backend sees %q, want %q", u.name, told, backend)
	}
}

// goesOn fails for a request that has ended.
func (b *longBackend) goesOn(u *under) {
	b.t.Helper()
	if u.conn != nil {
		u.echo(b.t)
		return
	}
	select {
	case how := <-u.ended:
		b.t.Errorf("%s has ended: %s", u.name, how)
	case told := <-b.at(u.query):
		b.t.Errorf("%s has ended for the backend: %s", u.name, told)
	default:
	}
}

// openAll begins one request of each kind, in both protocols where there are two.
func (b *longBackend) openAll(s *site, prefix, mark, credential string) (all []*under) {
	b.t.Helper()
	all = append(all, b.openSocket(s, prefix+"/socket", mark+"-socket", credential).watch())
	for _, protocol := range []string{"http/1.1", "h2"} {
		for _, kind := range []string{"events", "download", "upload", "poll", "grpc"} {
			all = append(all, b.openRequest(s, protocol, prefix+"/"+kind, mark+"-"+kind+"-"+protocol, credential))
		}
	}
	return all
}

// allEnd waits until all have ended: WebSockets by a close frame, everything else cut off.
func (b *longBackend) allEnd(all []*under, closed string) {
	b.t.Helper()
	for _, u := range all {
		switch {
		case u.conn != nil:
			b.ends(u, closed, closed)
		case strings.Contains(u.name, "poll"), strings.Contains(u.name, "upload"):
			b.ends(u, "no answer", "canceled")
		default:
			b.ends(u, "cut off", "canceled")
		}
	}
}

// TestWhatIsUnderWayEndsWithTheSignIn: a sign-out at one gateway ends at another what was admitted by that session, token
// or subject; what is public or kept goes on.
func TestWhatIsUnderWayEndsWithTheSignIn(t *testing.T) {
	t.Parallel()
	const secret = "a secret of another issuer, of 32 bytes"
	f := newFleet(t, "", fmt.Sprintf("tokens: { issuers: [ { name: legacy, secret: %q, algorithm: HS256, cookie: jwt, claims: { user: username } } ] }\n", secret))
	backend := newLongBackend(t)
	files := f.files()
	files["vilogate.yaml"] = strings.ReplaceAll(files["vilogate.yaml"], f.backend.url(), backend.URL)
	files["policies/app.yaml"] = streamsPolicy
	one, two := serve(t, files), serve(t, files)
	f.idp.addUser("bob", "member")
	legacy := func(c claims) string {
		c = claims{"username": "carol", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}.with(c)
		return "Cookie: jwt=" + hs(crypto.SHA256, []byte(secret), `{"alg":"HS256","typ":"JWT"}`, c.json())
	}
	signOut := func(t *testing.T, credential string) {
		t.Helper()
		got := one.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{credential, "Origin: https://" + appHost}})
		if got.status != http.StatusNoContent {
			t.Fatalf("logout: %v", got)
		}
	}
	alice, other := cookieLine(one.client().login("alice").sso()), cookieLine(one.client().login("alice").sso())
	bob := cookieLine(one.client().login("bob").sso())
	untouched := []*under{
		backend.openSocket(two, "/public/socket", "public-socket", alice), backend.openRequest(two, "h2", "/public/events", "public-events", alice),
		backend.openSocket(two, "/keep/socket", "keep-socket", alice), backend.openRequest(two, "http/1.1", "/keep/events", "keep-events", alice),
		backend.openSocket(two, "/socket", "other-session", other), backend.openRequest(two, "h2", "/events", "other-session-events", other),
	}
	ended := 0
	for name, c := range map[string]struct {
		credential string
		revoke     func(*testing.T)
	}{
		"session":                   {alice, func(t *testing.T) { signOut(t, alice) }},
		"token":                     {legacy(claims{"jti": "token-of-carol"}), func(t *testing.T) { signOut(t, legacy(claims{"jti": "token-of-carol"})) }},
		"subject":                   {bob, func(*testing.T) { f.idp.must("", "user", "disable", "bob", "--state", f.idp.state) }},
		"subject-of-another-issuer": {legacy(claims{"username": "dave"}), func(t *testing.T) { signOut(t, legacy(claims{"username": "dave"})) }},
	} {
		open := backend.openAll(two, "", name, c.credential)
		began := time.Now()
		c.revoke(t)
		revoked := time.Now()
		backend.allEnd(open, "close 4401 signed out")
		t.Logf("%s: %d requests had ended %v after they were revoked, which took %v", name, len(open), time.Since(revoked), revoked.Sub(began))
		ended += len(open)
	}
	for _, u := range untouched {
		backend.goesOn(u)
	}
	eventually(t, "the access records say why", func() bool {
		return strings.Count(two.output.String(), `"stream_end":"revoked"`) == ended
	})
	metric := fmt.Sprintf("vilogate_stream_ends_total{cause=\"revoked\"} %d\n", ended)
	if got := two.admin(t, "/metrics"); !strings.Contains(got.body, metric) || !strings.Contains(got.body, fmt.Sprintf("vilogate_open_streams %d\n", len(untouched))) {
		t.Errorf("the metrics lack %s", metric)
	}
	if got := strings.Count(two.output.String(), `"stream_end"`); got != ended {
		t.Errorf("%d records of requests that were ended, want %d", got, ended)
	}
}

// TestAClientThatDoesNotReadHoldsNothing: a download that waits for its client ends with the sign-in, too, for the backend at once.
func TestAClientThatDoesNotReadHoldsNothing(t *testing.T) {
	t.Parallel()
	writing, ended := make(chan struct{}, 2), make(chan struct{}, 2)
	s := streaming(t, func(w http.ResponseWriter, _ *http.Request) {
		writing <- struct{}{}
		var err error
		for megabyte := make([]byte, 1<<20); err == nil; _, err = w.Write(megabyte) {
		}
		ended <- struct{}{}
	})
	sso := sessionOf(t, s)
	var answers []*http.Response
	for _, protocol := range []string{"http/1.1", "h2"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("app", "/endless"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", ssoCookie+"="+sso)
		response, err := newClient(t, s, s.tls("", protocol)).http.Do(r)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", protocol, response, err)
		}
		defer closeQuietly(t, response.Body)
		answers = append(answers, response)
		wait(t, writing, protocol+": the backend writes")
	}
	got := s.http2(t, request{method: http.MethodPost, host: appHost, target: "/.vilogate/logout", header: []string{cookieLine(sso), "Origin: https://" + appHost}})
	if got.status != http.StatusNoContent {
		t.Fatalf("logout: %v", got)
	}
	began := time.Now()
	for _, response := range answers {
		wait(t, ended, "the backend sees an end")
		if took := time.Since(began); took > unhelped {
			t.Errorf("%s: the backend saw the end after %v", response.Proto, took)
		}
	}
	t.Logf("both had ended %v after the sign-out", time.Since(began))
	for _, response := range answers {
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("%s: the answer looks whole", response.Proto)
		}
	}
}

// TestAReloadEndsWhatItWouldNotAdmit, and nothing else.
func TestAReloadEndsWhatItWouldNotAdmit(t *testing.T) {
	t.Parallel()
	backend := newLongBackend(t)
	s := serve(t, map[string]string{
		"vilogate.yaml": serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\naudit: { file: audit.log }\n", backend.URL), "policies/app.yaml": streamsPolicy,
	})
	cookie := cookieLine(sessionOf(t, s))
	ends := backend.openAll(s, "/member", "member", cookie)
	public := backend.openRequest(s, "h2", "/public/events", "public", "X-Nobody: 1")
	goOn := []*under{
		backend.openSocket(s, "/socket", "socket", cookie), backend.openRequest(s, "h2", "/events", "events", cookie),
		backend.openSocket(s, "/keep/socket", "keep", cookie),
	}
	policy := strings.NewReplacer("roles: [member]", "roles: [admin]", `"/keep/*rest", allow: authenticated`, `"/keep/*rest", allow: deny`, `"/public/*rest", allow: public`, `"/public/*rest", allow: authenticated`).Replace(streamsPolicy)
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": policy})
	s.must("", "reload", "--state", s.state)
	backend.allEnd(ends, "close 4401 not allowed any more")
	backend.ends(public, "cut off", "canceled")
	for _, u := range goOn {
		backend.goesOn(u)
	}
	eventually(t, "the access records say why", func() bool {
		return strings.Count(s.output.String(), `"stream_end":"policy"`) == len(ends)+1
	})
	// A host that is gone admits nobody.
	writeFiles(t, s.dir, map[string]string{"policies/app.yaml": strings.ReplaceAll(policy, "host: app.", "host: moved.")})
	s.must("", "reload", "--state", s.state)
	backend.ends(goOn[0].watch(), "close 4401 not allowed any more", "close 4401 not allowed any more")
	backend.ends(goOn[1], "cut off", "canceled")
	backend.goesOn(goOn[2])
}

// TestDrainClosesWebSockets: they have drain.timeout to end by themselves, and are told then that the gateway goes away.
func TestDrainClosesWebSockets(t *testing.T) {
	t.Parallel()
	for _, ends := range []string{"by-itself", "by-the-gateway"} {
		t.Run(ends, func(t *testing.T) {
			t.Parallel()
			backend := newLongBackend(t)
			timeout := map[string]string{"by-itself": "60s", "by-the-gateway": "2s"}[ends]
			s := serve(t, map[string]string{
				"vilogate.yaml":     strings.ReplaceAll(serveConfig, "timeout: 20s", "timeout: "+timeout) + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", backend.URL),
				"policies/app.yaml": streamsPolicy,
			})
			cookie := cookieLine(sessionOf(t, s))
			open := []*under{backend.openSocket(s, "/socket", "socket", cookie), backend.openSocket(s, "/public/socket", "public", cookie), backend.openSocket(s, "/keep/socket", "keep", cookie)}
			s.signal(syscall.SIGTERM)
			eventually(t, "it drains", func() bool { return strings.Contains(s.output.String(), `"draining"`) })
			began := time.Now()
			for _, u := range open {
				if ends == "by-itself" {
					u.echo(t)
					closeQuietly(t, u.conn)
					if told := backend.next(u.query); told != "cut off" {
						t.Errorf("%s: %s", u.name, told)
					}
					continue
				}
				backend.ends(u.watch(), "close 1001 shutting down", "close 1001 shutting down")
			}
			if err := s.wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			t.Logf("ended %v after it began to drain", time.Since(began))
			if took := time.Since(began); ends == "by-itself" && took > 50*time.Second {
				t.Errorf("it waited for %v although nothing was open", took)
			}
			if got := strings.Count(s.output.String(), `"stream_end":"drain"`); got != map[string]int{"by-itself": 0, "by-the-gateway": len(open)}[ends] {
				t.Errorf("%d records say that a drain ended them", got)
			}
		})
	}
}
