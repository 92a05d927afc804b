package main_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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
			s := failoverSite(t, map[string][]string{"app": {address}}, limits(4))
			one, two := newClient(t, s, s.tls("", protocol)), newClient(t, s, s.tls("", protocol)).from("127.0.0.2")
			reload := func(n int) {
				t.Helper()
				writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + "upstreams:\n" + upstreamLine("app", []string{address}, limits(n)+", timeout: 50s")})
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
			if said := s.output.String(); !strings.Contains(said, "overloaded: upstream app: 4 requests are under way, and 2 wait") {
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
		for _, line := range []string{`"msg":"an upstream is asked no more for a while","upstream":"app"`, `"msg":"an upstream is asked again","upstream":"app"`} {
			if count := strings.Count(s.output.String(), line); count != n+1 {
				t.Errorf("%s: the log has %d lines with %s", protocol, count, line)
			}
		}
	}
	if !strings.Contains(s.output.String(), "upstream not asked: upstream app: 3 requests in a row failed (breaker)") {
		t.Error("the log does not say why")
	}
}

// TestOneClientHasSoManyRequestsUnderWay: the streams of its connections are bounded together; others, and its own login, are not
// kept out.
func TestOneClientHasSoManyRequestsUnderWay(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	s := toBackends(t, map[string]string{}, fmt.Sprintf("app: { url: %q }\nlimits: { client_requests: 20 }", b.URL))
	s.addUser("alice", "member")
	browser := s.client().login("alice")
	for _, protocol := range []string{"http/1.1", "h2"} {
		all := []*heldRequests{
			hold(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/public/held"), 15),
			hold(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/public/held"), 15),
		}
		refused := 0
		for refused < 10 {
			select {
			case got := <-all[0].answers:
				refused++
				wantTooMany(t, got)
			case got := <-all[1].answers:
				refused++
				wantTooMany(t, got)
			}
		}
		s.awaitLoad(t, 20, 0)
		if got := s.client().from("127.0.0.2").get(s.url("app", "/public/x")); got.status != http.StatusOK {
			t.Errorf("%s: another client: %v", protocol, got)
		}
		if got := browser.get(s.url("app", "/x")); got.status != http.StatusOK {
			t.Errorf("%s: somebody who is signed in, at the same address: %v", protocol, got)
		}
		if got := s.client().fresh().login("alice").get(s.url("app", "/x")); got.status != http.StatusOK {
			t.Errorf("%s: somebody who signs in: %v", protocol, got)
		}
		for _, h := range all {
			h.cancel()
		}
		s.awaitLoad(t, 0, 0)
	}
	if metrics := s.admin(t, "/metrics").body; !strings.Contains(metrics, "vilogate_requests_refused_total{reason=\"client\"} 20\n") {
		t.Error("the metrics do not tell what was refused")
	}
}

func wantTooMany(t *testing.T, got answer) {
	t.Helper()
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%v, want 429", got)
	}
}

// TestFewOpenFiles: streams to a backend that hangs take as many files as are theirs; people sign in, and admin answers.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	s := prepare(t, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + fmt.Sprintf("upstreams: { app: { url: %q } }\n", b.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/public/*rest\", allow: public }, { path: \"/*rest\", allow: authenticated } ]\n",
	})
	const files = 300
	s.openFiles = files
	s.start()
	s.addUser("alice", "member")
	var all []*heldRequests
	for n := range 8 {
		c := newClient(t, s, s.tls("", "h2")).from(fmt.Sprintf("127.0.0.%d", 2+n))
		all = append(all, hold(t, c, s.url("app", "/public/held"), 50))
	}
	full := func() bool { return s.refusedOfAll(t) > 0 }
	eventually(t, "all that may be is under way", full)
	if got := s.client().login("alice").get("https://login.viloforge.test/account"); got.status != http.StatusOK {
		t.Errorf("the account page, with all files in use: %v", got)
	}
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("one more: %v, want 503", got)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil || len(open) > files*3/4 {
		t.Errorf("%d files are open, %v", len(open), err)
	}
	for _, what := range []string{"open files are shared out", "few open files", "limits.client_requests is 500, and with 300 open files"} {
		if !strings.Contains(s.output.String(), what) {
			t.Errorf("the log does not say: %s", what)
		}
	}
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, "300 open files (ulimit -n)") {
		t.Errorf("vilogate status: %s", said)
	}
	for _, h := range all {
		h.cancel()
	}
	s.awaitLoad(t, 0, 0)
	if got := s.client().get(s.url("app", "/public/x")); got.status != http.StatusOK {
		t.Errorf("afterwards: %v", got)
	}
}

// refusedOfAll is how many requests were refused because all together were too many.
func (s *site) refusedOfAll(t *testing.T) int {
	t.Helper()
	return object[struct {
		Load struct {
			Refused int `json:"refused"`
		} `json:"load"`
	}](t, s.admin(t, "/status")).Load.Refused
}

// TestAnIdentityProviderApartHasItsShare: whatever is under way elsewhere, people sign in.
func TestAnIdentityProviderApartHasItsShare(t *testing.T) {
	t.Parallel()
	b := newHeldBackend(t)
	f := newFleet(t, "", "")
	files := f.files()
	files["vilogate.yaml"] = strings.Replace(files["vilogate.yaml"], f.backend.url(), b.URL, 1)
	s := prepare(t, files)
	s.openFiles = 300
	s.start()
	for n := range 8 {
		hold(t, newClient(t, s, s.tls("", "h2")).from(fmt.Sprintf("127.0.0.%d", 2+n)), s.url("app", "/public/held"), 30)
	}
	eventually(t, "all that may be is under way", func() bool { return s.refusedOfAll(t) > 0 })
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		if got := c.loginAt(s.url("app", "/deep"), "alice", passwordOf("alice")); got.status != http.StatusSeeOther {
			t.Errorf("%s: %v, want 303", protocol, got)
		}
	}
	if status := s.must("", "status", "--state", s.state); !strings.Contains(status, "login host") {
		t.Errorf("vilogate status: %s", status)
	}
}
