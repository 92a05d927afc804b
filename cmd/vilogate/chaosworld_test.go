package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A link relays a TCP address, until it is cut or stalled.
type link struct {
	listener net.Listener
	to       string

	mu      sync.Mutex
	changed sync.Cond // something below has
	cut     bool      // guarded by mu: connections are closed, and new ones too
	stalled bool      // guarded by mu: nothing passes
	conns   map[net.Conn]bool
}

func newLink(t *testing.T, to string) *link {
	t.Helper()
	l := &link{listener: listenLoopback(t), to: to, conns: map[net.Conn]bool{}}
	l.changed.L = &l.mu
	t.Cleanup(func() {
		closeQuietly(t, l.listener)
		l.set(true, false)
	})
	go func() {
		for {
			conn, err := l.listener.Accept()
			if err != nil {
				return
			}
			go l.relay(conn)
		}
	}()
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// set cuts the link, or has nothing pass; false for both mends it.
func (l *link) set(cut, stalled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut, l.stalled = cut, stalled
	if cut {
		for conn := range l.conns {
			_ = conn.Close() // by which its relay ends
		}
	}
	l.changed.Broadcast()
}

// keep has a connection be closed when the link is cut; false where it is.
func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = true
	return !l.cut
}

func (l *link) relay(from net.Conn) {
	defer func() { _ = from.Close() }()
	if !l.keep(from) {
		return
	}
	to, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	if !l.keep(to) {
		return
	}
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, from)
		delete(l.conns, to)
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.copy(to, from)
		_ = to.Close() // the other direction ends too
	}()
	l.copy(from, to)
	_ = from.Close()
	<-ended
}

func (l *link) copy(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		l.mu.Lock()
		for l.stalled && !l.cut {
			l.changed.Wait()
		}
		l.mu.Unlock()
		if _, werr := to.Write(buffer[:n]); err != nil || werr != nil {
			return
		}
	}
}

// chaosBackend is one address of a backend, of HTTP/1.1 or HTTP/2: it answers with the length of what it gets, echoes on WebSockets,
// and answers calls of gRPC.
type chaosBackend struct {
	t       *testing.T
	address string
	server  *http.Server
	gate    sync.RWMutex // held while it is paused
}

func newChaosBackend(t *testing.T) *chaosBackend {
	t.Helper()
	b := &chaosBackend{t: t, address: freeAddress(t)}
	b.start()
	t.Cleanup(func() { closeQuietly(t, b.server) })
	return b
}

func (b *chaosBackend) start() {
	listener, err := net.Listen("tcp", b.address)
	if err != nil {
		b.t.Errorf("a backend cannot come back: %v", err)
		return
	}
	b.server = &http.Server{Handler: http.HandlerFunc(b.serve), Protocols: new(http.Protocols)}
	b.server.Protocols.SetHTTP1(true)
	b.server.Protocols.SetUnencryptedHTTP2(true)
	go func(s *http.Server) { _ = s.Serve(listener) }(b.server)
}

// wait returns while the backend is not paused.
func (b *chaosBackend) wait() {
	b.gate.RLock()
	defer b.gate.RUnlock()
}

func (b *chaosBackend) serve(w http.ResponseWriter, r *http.Request) {
	b.wait()
	switch {
	case r.Header.Get("Content-Type") == "application/grpc":
		_, _ = io.Copy(io.Discard, r.Body) // what is lost of it, its client counts
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		_, _ = w.Write(make([]byte, 5))
		w.Header().Set("Grpc-Status", "0")
	case r.Header.Get("Upgrade") == "websocket":
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"); err == nil {
			_, _ = io.Copy(conn, buffered) // until either goes
		}
	default:
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d of %s", n, r.Header.Get("X-User"))
	}
}

// chaosWorld is two gateways behind HAProxy, on a disk each, an identity provider, Redis, and two addresses for each of two backends. Gateways reach
// Redis and the identity provider by links.
type chaosWorld struct {
	t        *testing.T
	f        *fleet
	clocks   bool // of the gateways can be moved
	gateways [2]*site
	fronts   [2]*site // the gateways, as they were at first: their addresses stay
	disks    [2]*chaosDisk
	front    *site // HAProxy
	redis    [2]*link
	idp      [2]*link
	app      [2]*chaosBackend
	grpc     [2]*chaosBackend
}

// newChaosWorld starts it. gateway is a program whose clock can be moved; "" for the one under test.
func newChaosWorld(t *testing.T, gateway string) *chaosWorld {
	t.Helper()
	w := &chaosWorld{t: t, clocks: gateway != "", f: newFleet(t, "", "", "access_token_ttl: 5s")}
	for i := range 2 {
		w.app[i], w.grpc[i] = newChaosBackend(t), newChaosBackend(t)
	}
	w.f.idp.addUser("visitor", "member")
	servers := ""
	for i := range 2 {
		w.redis[i], w.idp[i] = newLink(t, w.f.redis.Address), newLink(t, strings.TrimPrefix(w.f.login, "http://"))
		https, admin := freeAddress(t), freeAddress(t)
		config := strings.Replace(serveConfig, `listen: { https: "127.0.0.1:0", http: "127.0.0.1:0", admin: "127.0.0.1:0" }`, fmt.Sprintf(`listen: { https: %q, http: "off", admin: %q }`, https, admin), 1)
		config = strings.Replace(config, "drain: { delay: 0s, timeout: 20s }", "drain: { delay: 1s, timeout: 5s }", 1)
		w.gateways[i] = prepare(t, map[string]string{
			"vilogate.yaml": config + fleetSecret + fmt.Sprintf(`
redis: "redis://%s/0"
login: { host: login.viloforge.test, upstream: "http://%s" }
revocation: { max_staleness: 4s }
upstreams:
  app: { urls: ["http://%s", "http://%s"], timeout: 5s, buffer: { request: 64KiB, disk: 1MiB } }
  grpc: { urls: ["h2c://%s", "h2c://%s"] }
audit: { file: state/audit.log, %s }
`, w.redis[i].address(), w.idp[i].address(), w.app[0].address, w.app[1].address, w.grpc[0].address, w.grpc[1].address, [2]string{"fsync: always", "on_failure: drop"}[i]),
			"policies/app.yaml":  "host: app.viloforge.test\nupstream: app\nroutes:\n  - { path: /socket, allow: authenticated, websocket: true }\n  - { path: /open, allow: public }\n  - { path: \"/*rest\", allow: authenticated }\n",
			"policies/grpc.yaml": "host: grpc.viloforge.test\nupstream: grpc\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n",
		})
		w.disks[i] = newChaosDisk(t, w.gateways[i].state)
		w.gateways[i].program, w.gateways[i].more = gateway, []string{"VILOGATE_CLOCK=" + filepath.Join(w.gateways[i].dir, "clock")}
		w.gateways[i].start()
		first := *w.gateways[i]
		w.fronts[i] = &first
		_, port, _ := net.SplitHostPort(admin)
		servers += fmt.Sprintf("  server gateway%d %s check port %s inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions\n", i, https, port)
	}
	dir, listen := t.TempDir(), freeAddress(t)
	writeFiles(t, dir, map[string]string{"haproxy.cfg": fmt.Sprintf(`
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout check 5s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch
listen front
  bind %s
  balance roundrobin
  option httpchk GET /readyz
%s`, listen, servers)})
	launch(t, dir, []string{"PATH=/usr/sbin:/usr/bin:/bin"}, program(t, "haproxy", "haproxy"), "-db", "-f", filepath.Join(dir, "haproxy.cfg"))
	front := *w.gateways[0]
	front.at.HTTPS, front.roots = listen, w.gateways[0].roots.Clone()
	for _, g := range w.gateways {
		pem, err := os.ReadFile(g.at.CA)
		if err != nil || !front.roots.AppendCertsFromPEM(pem) {
			t.Fatalf("the local CA's certificate: %v", err)
		}
	}
	w.front = &front
	eventually(t, "the front answers", func() bool {
		got, err := front.client().try(http.MethodGet, front.url("app", "/x"), "")
		return err == nil && got.status == http.StatusUnauthorized
	})
	return w
}

// size is what a process holds.
type size struct{ goroutines, files, kilobytes int }

func (s *site) size(t *testing.T) (is size) {
	t.Helper()
	is.goroutines = s.metric(t, "go_goroutines")
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	status, serr := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil || serr != nil {
		t.Fatal(err, serr)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	if fields := strings.Fields(rest); len(fields) > 0 {
		is.kilobytes, _ = strconv.Atoi(fields[0])
	}
	is.files = len(files)
	return is
}

// account is what became of everything that was sent.
type account struct {
	mu       sync.Mutex
	counts   map[string]int     // guarded by mu
	failures []failure          // guarded by mu
	passed   map[string]failure // guarded by mu: what was answered, by its id, as what it is where it has no record
	windows  []faultWindow      // guarded by mu: while something is wrong, and until it has to be right again
	wrong    []string           // guarded by mu: what may never be
}

type failure struct {
	begin, end time.Time
	kind, what string
}

type faultWindow struct {
	begin, end time.Time // end is zero while it lasts
	fault      string
	may        []string // the kinds of what may fail; nil for all but refusals and records
}

// pass notes a request that was answered, and so is to have a record: by a second later, if no kill comes before.
func (a *account) pass(begin time.Time, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.passed[id] = failure{begin, time.Now().Add(time.Second), "record", "request " + id + " was answered and has no record"}
}

func (a *account) count(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[what]++
}

// fail notes what failed that may, while something is wrong.
func (a *account) fail(begin time.Time, kind, what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts["failed: "+kind]++
	a.failures = append(a.failures, failure{begin, time.Now(), kind, what})
}

// never notes what may not be, whatever is wrong.
func (a *account) never(format string, of ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wrong = append(a.wrong, fmt.Sprintf(format, of...))
}

// explains reports whether what failed may have, because of the fault.
func (w faultWindow) explains(f failure) bool {
	return (len(w.may) == 0 && f.kind != "refused" && f.kind != "record" || slices.Contains(w.may, f.kind)) && f.end.After(w.begin) && (w.end.IsZero() || f.begin.Before(w.end))
}

// opens begins a fault, beside which what is of these kinds may fail (nil: of any but refusals and records), until some time after closes was called.
func (a *account) opens(fault string, may []string) (closes func(grace time.Duration)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.windows = append(a.windows, faultWindow{begin: time.Now(), fault: fault, may: may})
	at := len(a.windows) - 1
	return func(grace time.Duration) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.windows[at].end = time.Now().Add(grace)
	}
}

// settle reports what failed while nothing was wrong, beside what may never be.
func (a *account) settle(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	byFault := map[string]int{}
	for _, f := range a.failures {
		at := len(a.windows) - 1 // the last one that explains it
		for at >= 0 && !a.windows[at].explains(f) {
			at--
		}
		if at < 0 {
			t.Errorf("%s to %s: %s: %s, and nothing was wrong", f.begin.Format("15:04:05.000"), f.end.Format("15:04:05.000"), f.kind, f.what)
			continue
		}
		byFault[f.kind+" beside "+a.windows[at].fault]++
	}
	for _, what := range a.wrong {
		t.Error(what)
	}
	var lines []string
	for what, n := range a.counts {
		lines = append(lines, fmt.Sprintf("%7d %s", n, what))
	}
	slices.Sort(lines)
	var causes []string
	for what, n := range byFault {
		causes = append(causes, fmt.Sprintf("%7d %s", n, what))
	}
	slices.Sort(causes)
	t.Logf("the account:\n%s\nof what failed:\n%s", strings.Join(lines, "\n"), strings.Join(causes, "\n"))
}
