package main_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// heldBackend answers a path that ends with /held when it is released, and anything else at once.
type heldBackend struct {
	*httptest.Server
	release          chan struct{} // one answer each; closed for all
	once             sync.Once
	underWay, open   atomic.Int64 // requests; connections
	most, mostOpened atomic.Int64
}

func newHeldBackend(t *testing.T) *heldBackend {
	b := &heldBackend{release: make(chan struct{})}
	raise := func(most *atomic.Int64, n int64) {
		for was := most.Load(); n > was && !most.CompareAndSwap(was, n); was = most.Load() {
		}
	}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raise(&b.most, b.underWay.Add(1))
		defer b.underWay.Add(-1)
		if strings.HasSuffix(r.URL.Path, "/held") {
			select {
			case <-b.release:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(w, "answered")
	}))
	b.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			raise(&b.mostOpened, b.open.Add(1))
		case http.StateClosed, http.StateHijacked:
			b.open.Add(-1)
		}
	}
	b.Start()
	t.Cleanup(func() {
		b.releaseAll()
		b.Close()
	})
	return b
}

func (b *heldBackend) releaseAll() { b.once.Do(func() { close(b.release) }) }

// heldRequests are requests under way of one client.
type heldRequests struct {
	cancel  context.CancelFunc
	answers chan answer
	wait    sync.WaitGroup
}

// hold begins so many requests.
func hold(t *testing.T, c *client, url string, n int) *heldRequests {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	h := &heldRequests{cancel: cancel, answers: make(chan answer, n)}
	for range n {
		h.wait.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				t.Error(err)
				return
			}
			response, err := c.http.Do(request)
			if err != nil {
				h.answers <- answer{body: err.Error()}
				return
			}
			defer closeQuietly(t, response.Body)
			h.answers <- answer{status: response.StatusCode, header: response.Header}
		})
	}
	t.Cleanup(func() {
		cancel()
		h.wait.Wait()
	})
	return h
}

// upstreamLoad is what /status tells of what is under way at an upstream.
type upstreamLoad struct {
	Upstream string
	InFlight int `json:"in_flight"`
	Queued   int
	Full     int `json:"refused_full"`
	Late     int `json:"refused_timeout"`
}

func (s *site) load(t *testing.T, upstream string) (load upstreamLoad) {
	t.Helper()
	for _, l := range object[struct {
		Loads []upstreamLoad `json:"upstream_load"`
	}](t, s.admin(t, "/status")).Loads {
		if l.Upstream == upstream {
			load = l
		}
	}
	return load
}

func (s *site) awaitLoad(t *testing.T, inFlight, queued int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d under way, %d wait", inFlight, queued), func() bool {
		l := s.load(t, "app")
		return l.InFlight == inFlight && l.Queued == queued
	})
}

// wantOverloaded fails for an answer that does not say that there is too much to do.
func wantOverloaded(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.HasSuffix(got.problem(t).Type, "/overloaded") {
		t.Errorf("%v, want 503 for too much to do", got)
	}
}

// TestAnUpstreamHasAsManyRequestsAsItMay: more wait, who has gone waits no longer, and the rest is refused with words; a reload
// neither lets more through nor loses a slot, and other limits hold at once.
func TestAnUpstreamHasAsManyRequestsAsItMay(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := newHeldBackend(t)
			address := b.Listener.Addr().String()
			limits := func(n int) string {
				return fmt.Sprintf(", concurrency: %d, queue: { length: 2, timeout: 30s }", n)
			}
			s := failoverSite(t, map[string][]string{"app": {address}}, limits(4)+", timeout: 5m")
			one, two := newClient(t, s, s.tls("", protocol)), newClient(t, s, s.tls("", protocol)).from("127.0.0.2")
			reload := func(n int) {
				t.Helper()
				writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + "upstreams:\n" + upstreamLine("app", []string{address}, limits(n)+", timeout: 4m")})
				s.must("", "reload", "--state", s.state)
			}
			hold(t, one, s.url("app", "/held"), 2)
			s.awaitLoad(t, 2, 0)
			waits := hold(t, one, s.url("app", "/held"), 1) // half are taken
			s.awaitLoad(t, 2, 1)
			first := hold(t, two, s.url("app", "/held"), 2)
			s.awaitLoad(t, 4, 1)
			waits.cancel()
			s.awaitLoad(t, 4, 0)
			waits = hold(t, two, s.url("app", "/held"), 2)
			s.awaitLoad(t, 4, 2)
			wantOverloaded(t, two.get(s.url("app", "/")))
			reload(4)
			s.awaitLoad(t, 4, 2)
			wantOverloaded(t, two.get(s.url("app", "/")))
			if most := b.most.Load(); most != 4 {
				t.Errorf("the backend had %d requests at a time, want 4", most)
			}
			metrics := s.admin(t, "/metrics").body
			for _, line := range []string{
				"vilogate_upstream_requests{upstream=\"app\"} 4\n", "vilogate_upstream_queued{upstream=\"app\"} 2\n",
				"vilogate_upstream_refused_total{reason=\"full\",upstream=\"app\"} 2\n", "vilogate_upstream_refused_total{reason=\"timeout\",upstream=\"app\"} 0\n",
			} {
				if !strings.Contains(metrics, line) {
					t.Errorf("the metrics have no line %s", line)
				}
			}
			if said := strings.Join(strings.Fields(s.must("", "status", "--state", s.state)), " "); !strings.Contains(said, "app 4 4 2 2 0 0 closed") {
				t.Errorf("vilogate status: %s", said)
			}
			if said := s.output.String(); !strings.Contains(said, "overloaded: upstream app: the queue is full: 4 requests are in flight, and 2 wait (queue.length)") {
				t.Error("the log does not say why")
			}
			reload(6)
			s.awaitLoad(t, 5, 1) // half of 6
			b.releaseAll()
			for range 2 {
				for _, h := range []*heldRequests{first, waits} {
					if got := <-h.answers; got.status != http.StatusOK {
						t.Errorf("%v", got)
					}
				}
			}
			s.awaitLoad(t, 0, 0)
		})
	}
}

// TestAQueueThatDoesNotMoveIsLeft after its timeout.
func TestAQueueThatDoesNotMoveIsLeft(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	s := failoverSite(t, map[string][]string{"app": {b.Listener.Addr().String()}}, ", concurrency: 1")
	hold(t, s.client(), s.url("app", "/held"), 1)
	s.awaitLoad(t, 1, 0)
	for _, protocol := range []string{"http/1.1", "h2"} {
		wantOverloaded(t, newClient(t, s, s.tls("", protocol)).get(s.url("app", "/")))
	}
	if l := s.load(t, "app"); l.Late != 2 || l.Full != 0 {
		t.Errorf("%+v", l)
	}
	if n := b.most.Load(); n != 1 {
		t.Errorf("the backend had %d requests at a time", n)
	}
}

// TestAnAddressHasAsManyConnectionsAsItMay, WebSockets included; what is beyond waits, and none is refused that need not be.
func TestAnAddressHasAsManyConnectionsAsItMay(t *testing.T) {
	t.Parallel()
	b, other := newHeldBackend(t), newHeldBackend(t)
	s := failoverSite(t, map[string][]string{"app": {b.Listener.Addr().String(), other.Listener.Addr().String()}}, ", connections: 2, queue: { length: 100, timeout: 30s }")
	for _, protocol := range []string{"http/1.1", "h2"} {
		var all sync.WaitGroup
		for _, address := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
			c := newClient(t, s, s.tls("", protocol)).from(address)
			for range 5 {
				all.Go(func() {
					for range 10 {
						if got, err := c.try(http.MethodGet, s.url("app", "/"), ""); err != nil || got.status != http.StatusOK {
							t.Errorf("%s: %v, %v", protocol, got, err)
						}
					}
				})
			}
		}
		all.Wait()
	}
	for _, b := range []*heldBackend{b, other} {
		if n := b.mostOpened.Load(); n > 2 || n == 0 {
			t.Errorf("an address had %d connections at a time", n)
		}
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.2"} {
		hold(t, newClient(t, s, s.tls("", "h2")).from(address), s.url("app", "/held"), 2)
	}
	s.awaitLoad(t, 4, 0)
	waits := hold(t, s.client().from("127.0.0.3"), s.url("app", "/"), 1)
	s.awaitLoad(t, 4, 1)
	b.releaseAll()
	if got := <-waits.answers; got.status != http.StatusOK {
		t.Errorf("%v", got)
	}
}

// TestAnUpstreamThatFailsIsNotAsked for a while, and then by one request at a time until one is answered.
func TestAnUpstreamThatFailsIsNotAsked(t *testing.T) {
	t.Parallel()
	b := newCheckedBackend(t, "a")
	s := failoverSite(t, map[string][]string{"app": {b.address()}}, ", breaker: { failures: 3, open: 1s }")
	for n, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		b.status.Store(http.StatusInternalServerError) // an answer, as it is
		for range 5 {
			if got := c.get(s.url("app", "/status")); got.status != http.StatusInternalServerError {
				t.Errorf("%s: %v", protocol, got)
			}
		}
		b.status.Store(http.StatusServiceUnavailable)
		var got answer
		eventually(t, "the breaker opens", func() bool {
			got = c.get(s.url("app", "/status"))
			return got.body != "a"
		})
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" || !strings.HasSuffix(got.problem(t).Type, "/unavailable") {
			t.Errorf("%s: %v", protocol, got)
		}
		asked, began := b.asked.Load(), time.Now()
		for range 20 {
			c.get(s.url("app", "/status"))
		}
		if tried := b.asked.Load() - asked; tried > int64(2+time.Since(began)/time.Second) { // one a second
			t.Errorf("%s: an upstream that fails was asked %d times", protocol, tried)
		}
		if !strings.Contains(s.admin(t, "/metrics").body, "vilogate_upstream_breaker_open{upstream=\"app\"} 1\n") {
			t.Errorf("%s: the metrics do not tell", protocol)
		}
		b.status.Store(http.StatusOK)
		within(t, unhelped, "it is asked again", func() bool { return c.get(s.url("app", "/status")).status == http.StatusOK })
		for _, line := range []string{`"msg":"circuit breaker opened: requests to the upstream are refused","upstream":"app"`, `"msg":"circuit breaker closed: requests go to the upstream again","upstream":"app"`} {
			eventually(t, protocol+": the log says so once more: "+line, func() bool { return strings.Count(s.output.String(), line) == n+1 })
		}
	}
	if !strings.Contains(s.output.String(), "circuit breaker open: upstream app: 3 requests in a row failed (breaker.failures)") {
		t.Error("the log does not say why")
	}
}

// TestWebSocketsHoldTheirConnections to the backend, as long as they are open.
func TestWebSocketsHoldTheirConnections(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			fmt.Fprint(w, "answered")
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer closeQuietly(t, conn)
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"); err == nil {
			_, _ = io.Copy(io.Discard, buffered) // until it ends
		}
	}))
	t.Cleanup(backend.Close)
	s := toBackends(t, nil, fmt.Sprintf("app: { url: %q, connections: 2 }", backend.URL))
	var open []net.Conn
	for _, address := range []string{"127.0.0.2", "127.0.0.3"} {
		conn := s.handshakeFrom(t, address, s.tls(appHost, "http/1.1"))
		if _, err := io.WriteString(conn, "GET /public/socket HTTP/1.1\r\nHost: "+appHost+"\r\nOrigin: https://"+appHost+"\r\n"+upgrade+"\r\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 101 ") {
			t.Fatalf("%q, %v", line, err)
		}
		open = append(open, conn)
	}
	s.awaitLoad(t, 2, 0)
	for _, protocol := range []string{"http/1.1", "h2"} {
		wantOverloaded(t, newClient(t, s, s.tls("", protocol)).get(s.url("app", "/public/x")))
	}
	closeQuietly(t, open[0])
	s.awaitLoad(t, 1, 0)
	for _, protocol := range []string{"http/1.1", "h2"} {
		if got := newClient(t, s, s.tls("", protocol)).get(s.url("app", "/public/x")); got.status != http.StatusOK {
			t.Errorf("%s: %v", protocol, got)
		}
	}
}

// TestLoginsOfConnectionsAreWithinThoseOfAnAddress: half of them at most are one client's each, and one network has a quarter; others
// have the rest, and what comes free.
func TestLoginsOfConnectionsAreWithinThoseOfAnAddress(t *testing.T) {
	t.Parallel()
	backend := newNTLMBackend(t)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("upstreams: { app: { url: %q, connections: 4 } }\n", backend.URL),
		"policies/app.yaml": connectionAuthPolicy,
	})
	first, second := keepConnFrom(t, s, "127.0.0.2"), keepConnFrom(t, s, "127.0.0.3")
	first.login("alice")
	if got := keepConnFrom(t, s, "127.0.0.2").ask("/in/x", "NTLM hello"); got.status != http.StatusServiceUnavailable {
		t.Errorf("another one of the same network: %v", got)
	}
	second.login("bob")
	third := keepConnFrom(t, s, "127.0.0.4")
	if got := third.ask("/in/x", "NTLM hello"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("a third: %v", got)
	}
	if got := third.ask("/in/x"); got.status != http.StatusUnauthorized {
		t.Errorf("a request over connections that are shared: %v", got)
	}
	if n := backend.open.Load(); n > 4 {
		t.Errorf("%d connections are open", n)
	}
	closeQuietly(t, first.conn)
	eventually(t, "there is room for another", func() bool { return third.ask("/in/x", "NTLM hello").status == http.StatusUnauthorized })
	third.login("carol")
}
