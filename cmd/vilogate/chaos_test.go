package main_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The bounds of the account: by when a gateway refuses what was revoked, whatever happens to it (revocation.max_staleness, and what a
// busy machine takes), and how long after a fault has gone everything is as before.
const (
	revokedWithin = 4*time.Second + 2*time.Second
	chaosGrace    = 6 * time.Second
)

// chaosLoad is what asks the world all the time, and the account of it.
type chaosLoad struct {
	*chaosWorld
	account
	stop    chan struct{}
	all     sync.WaitGroup
	clients []*client

	revokedMu sync.Mutex
	revoked   []revokedToken // guarded by revokedMu
}

// revokedToken is an SSO cookie's value whose sign-out was acknowledged.
type revokedToken struct {
	sso string
	at  time.Time
}

// every has f called again and again until the load stops, with so much time between.
func (l *chaosLoad) every(pause time.Duration, f func()) {
	l.all.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			case <-time.After(pause):
				f()
			}
		}
	})
}

// judge puts an answer into the account; it is right where its status is 200 and good says so.
func (l *chaosLoad) judge(kind string, begin time.Time, got answer, err error, good func(answer) bool) bool {
	switch status := got.header.Get("Grpc-Status"); {
	case err != nil:
		l.fail(begin, kind, err.Error())
	case got.status == http.StatusUnauthorized, got.status == http.StatusForbidden, got.status == http.StatusSeeOther, status == "16", status == "7":
		l.fail(begin, "refused", fmt.Sprintf("%s of somebody who is signed in: %v", kind, got))
	case got.status != http.StatusOK || !good(got):
		l.fail(begin, kind, fmt.Sprintf("%d %s %.100q", got.status, status, got.body))
	default:
		l.count(kind)
		l.pass(begin, got.header.Get("X-Request-Id"))
		return true
	}
	return false
}

// fromPage are the headers of a page's own script at a host.
func (l *chaosLoad) fromPage(host string) []string {
	return []string{"Origin: https://" + l.front.authority(host), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}
}

// user is a browser that is signed in, and waits for nothing longer than it would.
func (l *chaosLoad) user() *client {
	c := l.front.client().login("alice")
	c.http.Timeout = 20 * time.Second
	l.clients = append(l.clients, c)
	return c
}

// begin starts the load.
func (l *chaosLoad) begin() {
	ofAlice := func(a answer) bool { return strings.HasSuffix(a.body, " of alice") }
	for range 2 {
		c := l.user()
		l.every(60*time.Millisecond, func() {
			begin := time.Now()
			got, err := c.try(http.MethodGet, l.front.url("app", "/x"), "")
			l.judge("get", begin, got, err, ofAlice)
		})
	}
	uploader, body := l.user(), strings.Repeat("x", 300_000)
	l.every(150*time.Millisecond, func() {
		begin := time.Now()
		got, err := uploader.try(http.MethodPost, l.front.url("app", "/upload"), body, l.fromPage("app")...)
		l.judge("upload", begin, got, err, func(a answer) bool { return a.body == "300000 of alice" })
	})
	caller := l.user()
	l.every(100*time.Millisecond, func() {
		begin := time.Now()
		got, err := caller.try(http.MethodPost, l.front.url("grpc", "/chaos.Test/Empty"), "\x00\x00\x00\x00\x00", append(l.fromPage("grpc"), "Content-Type: application/grpc", "TE: trailers")...)
		l.judge("grpc", begin, got, err, func(a answer) bool { return a.trailer.Get("Grpc-Status") == "0" })
	})
	talker := l.user()
	l.every(200*time.Millisecond, func() { l.talk(talker) })
	l.every(300*time.Millisecond, l.comeAndGo)
	for _, g := range l.fronts {
		c := newClient(l.t, g, &tls.Config{RootCAs: g.roots})
		c.http.Timeout = 20 * time.Second
		l.clients = append(l.clients, c)
		l.every(50*time.Millisecond, func() { l.tryRevoked(c) })
	}
}

// talk opens a WebSocket, and says something on it until it ends.
func (l *chaosLoad) talk(c *client) {
	begin := time.Now()
	if got, err := c.try(http.MethodGet, l.front.url("app", "/x"), ""); !l.judge("get", begin, got, err, func(answer) bool { return true }) {
		return
	}
	begin = time.Now()
	conn, err := tls.Dial("tcp", l.front.at.HTTPS, &tls.Config{RootCAs: l.front.roots, ServerName: appHost, NextProtos: []string{"http/1.1"}})
	if err != nil {
		l.fail(begin, "websocket", err.Error())
		return
	}
	defer func() { _ = conn.Close() }()
	extendDeadline := func() { _ = conn.SetDeadline(time.Now().Add(20 * time.Second)) } // an error is the next call's
	extendDeadline()
	_, err = io.WriteString(conn, "GET /socket HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+upgrade+cookieLine(c.sso())+"\r\n\r\n")
	var response *http.Response
	reader := bufio.NewReader(conn)
	if err == nil {
		response, err = http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
	}
	if err == nil { // which may bring the token's successor
		c.jar.SetCookies(&url.URL{Scheme: "https", Host: appHost}, response.Cookies())
	}
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		got := answer{header: http.Header{}}
		if response != nil {
			got = answer{status: response.StatusCode, header: response.Header}
		}
		l.judge("websocket", begin, got, err, func(answer) bool { return false })
		return
	}
	l.count("websocket")
	frame := "\x81\x84\x00\x00\x00\x00ping"
	echo := make([]byte, len(frame))
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
		begin := time.Now()
		extendDeadline()
		if _, err = io.WriteString(conn, frame); err == nil {
			_, err = io.ReadFull(reader, echo)
		}
		if err != nil || string(echo) != frame {
			l.fail(begin, "websocket", fmt.Sprintf("it ended: %q, %v", echo, err))
			return
		}
		l.count("websocket message")
	}
}

// comeAndGo signs in, asks for something, and signs out, as somebody else than alice: of a user's sessions, many new ones take the place of
// the one that was used least.
func (l *chaosLoad) comeAndGo() {
	c := l.front.client()
	c.http.Timeout = 20 * time.Second
	defer c.http.CloseIdleConnections()
	begin, address := time.Now(), l.front.url("login", "/login")
	page, err := c.try(http.MethodGet, address, "", "Accept: text/html")
	if err != nil || page.status != http.StatusOK {
		l.fail(begin, "login", fmt.Sprintf("the page: %d, %v", page.status, err))
		return
	}
	f := formIn(l.t, address, page.body, "password")
	f.fields.Set("username", "visitor")
	f.fields.Set("password", passwordOf("visitor"))
	got, err := c.try(http.MethodPost, f.action, f.fields.Encode(), "Content-Type: application/x-www-form-urlencoded", "Origin: https://"+l.front.authority("login"), "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: navigate")
	if err != nil || got.status != http.StatusSeeOther || c.sso() == "" {
		l.fail(begin, "login", fmt.Sprintf("%d, %v", got.status, err))
		return
	}
	l.count("login")
	begin = time.Now()
	got, err = c.try(http.MethodGet, l.front.url("app", "/x"), "")
	l.judge("get", begin, got, err, func(answer) bool { return true })
	begin = time.Now()
	sso := c.sso()
	got, err = c.try(http.MethodPost, l.front.url("app", "/.vilogate/logout"), "", l.fromPage("app")...)
	if err != nil || got.status != http.StatusNoContent {
		l.fail(begin, "logout", fmt.Sprintf("%d, %v", got.status, err))
		return
	}
	l.count("logout")
	l.revokedMu.Lock()
	defer l.revokedMu.Unlock()
	l.revoked = append(l.revoked, revokedToken{sso, time.Now()})
}

// tryRevoked asks a gateway with a token that was revoked: one of the last, mostly.
func (l *chaosLoad) tryRevoked(c *client) {
	l.revokedMu.Lock()
	n := len(l.revoked)
	if n == 0 {
		l.revokedMu.Unlock()
		return
	}
	one := l.revoked[max(0, n-1-rand.IntN(8))]
	l.revokedMu.Unlock()
	begin := time.Now()
	got, err := c.try(http.MethodGet, c.site.url("app", "/x"), "", "Cookie: "+ssoCookie+"="+one.sso)
	switch {
	case err != nil:
		l.count("revoked token: no answer")
	case got.status != http.StatusOK:
		l.count("revoked token: refused")
	case begin.Sub(one.at) > revokedWithin:
		l.never("a token that was revoked at %s was admitted at %s", one.at.Format("15:04:05.000"), begin.Format("15:04:05.000"))
	default:
		l.count("revoked token: admitted within the bound")
	}
}

// chaosFault is something that goes wrong for a while.
type chaosFault struct {
	name string
	may  []string // what may fail beside it; nil for all but refusals and records, "" for nothing
	run  func(last func())
}

// faults are all there are, for the i-th of what there are two of.
func (w *chaosWorld) faults(i int) []chaosFault {
	number := fmt.Sprintf(" %d", i)
	service := []string{"get", "upload", "grpc", "websocket", "login", "logout"}
	unrecorded := append(slices.Clone(service), "record")
	unwritten := []string{""} // of gateway 1, which keeps its records
	if i == 0 {               // it has them on the disk before it forwards anything, and refuses all but sign-outs else
		unrecorded, unwritten = service, []string{"get", "upload", "grpc", "websocket", "login"}
	}
	all := []chaosFault{
		{"gateway" + number + " is killed", unrecorded, func(last func()) {
			w.gateways[i].kill()
			w.disks[i].killed++
			last()
			w.gateways[i].start()
		}},
		{"gateway" + number + " is drained and started again", []string{"websocket"}, func(last func()) {
			_ = w.gateways[i].terminate(syscall.SIGTERM) // what it says is checked by other tests
			last()
			w.gateways[i].start()
		}},
		{"gateway" + number + " stands still", nil, func(last func()) {
			w.gateways[i].signal(syscall.SIGSTOP)
			last()
			w.gateways[i].signal(syscall.SIGCONT)
		}},
		{"the disk of gateway" + number + " is full", unwritten, func(last func()) { w.fillDisk(i, last) }},
		{"gateway" + number + " is killed, and starts on a full disk", unrecorded, func(last func()) {
			free := w.disks[i].fill(w.gateways[i].process)
			w.gateways[i].kill()
			w.disks[i].killed++
			w.gateways[i].startAt()
			last()
			free()
		}},
		{"gateway" + number + " reloads", []string{""}, func(func()) { w.gateways[i].must("", "reload", "--state", w.gateways[i].state) }},
		{"Redis stands still", nil, func(last func()) {
			w.f.redis.Pause()
			last()
			w.f.redis.Resume()
		}},
		{"Redis is killed", nil, func(last func()) {
			w.f.redis.Kill()
			last()
			w.f.redis.Start()
		}},
		{"the link of gateway" + number + " to Redis is cut", nil, func(last func()) {
			w.redis[i].set(true, false)
			last()
			w.redis[i].set(false, false)
		}},
		{"the link of gateway" + number + " to Redis passes nothing", nil, func(last func()) {
			w.redis[i].set(false, true)
			last()
			w.redis[i].set(false, false)
		}},
		{"the link of gateway" + number + " to the identity provider is cut", nil, func(last func()) {
			w.idp[i].set(true, false)
			last()
			w.idp[i].set(false, false)
		}},
		{"the identity provider is killed", nil, func(last func()) {
			w.f.idp.kill()
			last()
			w.f.idp.start()
		}},
		{"the identity provider stands still", nil, func(last func()) {
			w.f.idp.signal(syscall.SIGSTOP)
			last()
			w.f.idp.signal(syscall.SIGCONT)
		}},
		{"address" + number + " of a backend is killed", []string{"upload", "websocket"}, func(last func()) {
			_ = w.app[i].server.Close()
			last()
			w.app[i].start()
		}},
		{"address" + number + " of a backend of gRPC is killed", []string{"grpc"}, func(last func()) {
			_ = w.grpc[i].server.Close()
			last()
			w.grpc[i].start()
		}},
		{"address" + number + " of a backend stands still", nil, func(last func()) {
			w.app[i].gate.Lock()
			last()
			w.app[i].gate.Unlock()
		}},
	}
	if w.clocks {
		everything := append(service, "refused")
		for _, seconds := range []int{600, -600, -120} {
			all = append(all, chaosFault{fmt.Sprintf("the clock of gateway%s is moved by %d s", number, seconds), everything, func(last func()) {
				w.gateways[i].moveClock(w.t, seconds)
				last()
				w.gateways[i].moveClock(w.t, 0)
			}})
		}
	}
	return all
}

// chaosOptions are how long the chaos takes, and its seed: VILOGATE_CHAOS and VILOGATE_CHAOS_SEED.
func chaosOptions(t *testing.T) (takes time.Duration, seed uint64) {
	t.Helper()
	takes, seed = 30*time.Second, 1
	var err error
	if text := os.Getenv("VILOGATE_CHAOS"); text != "" {
		if takes, err = time.ParseDuration(text); err != nil {
			t.Fatalf("VILOGATE_CHAOS: %v", err)
		}
	}
	if text := os.Getenv("VILOGATE_CHAOS_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("VILOGATE_CHAOS_SEED: %v", err)
		}
	}
	return takes, seed
}

// TestChaos: whatever goes wrong in a fleet under load, no token that was revoked is admitted after the bound, nobody who is signed in
// is refused, nothing is answered without a record, nothing fails that the fault of the moment does not explain, and afterwards all is as before. Every fault comes once before
// any comes again. It has the package to itself: it is about faults, and not about a machine that is busy with other tests.
func TestChaos(t *testing.T) {
	takes, seed := chaosOptions(t)
	random := rand.New(rand.NewPCG(seed, 1))
	gateway := ""
	if os.Getenv("VILOGATE_CHAOS") != "" { // else it takes longer to build than the chaos does
		gateway = buildWithMovableClock(t)
	}
	w := newChaosWorld(t, gateway)
	l := &chaosLoad{chaosWorld: w, account: account{counts: map[string]int{}, passed: map[string]failure{}}, stop: make(chan struct{})}
	l.begin()
	eventually(t, "everything has been done once", func() bool {
		l.account.mu.Lock()
		defer l.account.mu.Unlock()
		return l.counts["upload"] > 0 && l.counts["grpc"] > 0 && l.counts["websocket message"] > 0 && l.counts["revoked token: refused"] > 0
	})
	var before [2]size
	for i, g := range w.gateways {
		before[i] = g.size(t)
	}
	var order []int
	for end := time.Now().Add(takes); time.Now().Before(end); {
		i := random.IntN(2)
		faults := w.faults(i)
		if len(order) == 0 {
			order = random.Perm(len(faults))
		}
		fault := faults[order[0]]
		order = order[1:]
		lasts := time.Duration(500+random.IntN(6500)) * time.Millisecond
		t.Logf("%s: %s, for %s", time.Now().Format("15:04:05.000"), fault.name, lasts)
		closes := l.opens(fault.name, fault.may)
		fault.run(func() { time.Sleep(lasts) }) // how long a fault lasts is what is tried
		closes(chaosGrace)
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
	time.Sleep(chaosGrace) // with the load: nothing may fail behind it
	calm := time.Now()
	eventually(t, "everything goes on", func() bool {
		l.account.mu.Lock()
		defer l.account.mu.Unlock()
		return !slices.ContainsFunc(l.failures, func(f failure) bool { return f.end.After(calm) }) && time.Since(calm) > 3*time.Second
	})
	close(l.stop)
	l.all.Wait()
	for _, c := range l.clients {
		c.http.CloseIdleConnections()
	}
	l.missRecords()
	l.settle(t)
	for i, g := range w.gateways {
		t.Logf("gateway %d: before %+v, with the load still there, after %+v", i, before[i], g.size(t))
		eventually(t, "the gateway holds no more than before", func() bool {
			is := g.size(t)
			return is.goroutines <= before[i].goroutines+10 && is.files <= before[i].files+10
		})
		if is := g.size(t); is.kilobytes > 3*before[i].kilobytes {
			t.Errorf("gateway %d: %d KiB resident before, %d after", i, before[i].kilobytes, is.kilobytes)
		}
	}
}
