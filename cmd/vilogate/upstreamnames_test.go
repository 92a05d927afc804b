package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// registry is a DNS server that answers for any name, as a registry of containers does.
type registry struct {
	address string // host:port

	mu    sync.Mutex
	hosts []netip.Addr // none: the name does not exist; guarded by mu
	ttl   uint32       // of all that it says; guarded by mu
	fails bool         // SERVFAIL; guarded by mu
	asked int          // guarded by mu
}

func newRegistry(t *testing.T, hosts ...string) *registry {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &registry{address: conn.LocalAddr().String(), ttl: 3600}
	r.set(hosts...)
	started, ended := make(chan struct{}), make(chan error, 1)
	server := &dns.Server{PacketConn: conn, Handler: r, NotifyStartedFunc: func() { close(started) }}
	go func() { ended <- server.ActivateAndServe() }()
	<-started
	t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
		<-ended
	})
	return r
}

// set has the name have these addresses.
func (r *registry) set(hosts ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hosts = nil
	for _, host := range hosts {
		r.hosts = append(r.hosts, netip.MustParseAddr(host))
	}
}

// live has all that it says be true for so many seconds.
func (r *registry) live(ttl uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ttl = ttl
}

func (r *registry) fail(fails bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fails = fails
}

func (r *registry) questions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// ServeDNS implements dns.Handler.
func (r *registry) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked++
	answer := new(dns.Msg)
	answer.SetReply(question)
	q := question.Question[0]
	switch {
	case r.fails:
		answer.Rcode = dns.RcodeServerFailure
	case len(r.hosts) == 0:
		answer.Rcode = dns.RcodeNameError
		answer.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 3600}, Ns: "ns.", Mbox: "host.", Minttl: r.ttl}}
	}
	for _, host := range r.hosts {
		header := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: dns.ClassINET, Ttl: r.ttl}
		switch {
		case r.fails:
		case q.Qtype == dns.TypeA && host.Is4():
			answer.Answer = append(answer.Answer, &dns.A{Hdr: header, A: host.AsSlice()})
		case q.Qtype == dns.TypeAAAA && host.Is6():
			answer.Answer = append(answer.Answer, &dns.AAAA{Hdr: header, AAAA: host.AsSlice()})
		}
	}
	_ = w.WriteMsg(answer) // who has gone asks again
}

// namedBackends are backends at one port of several addresses of this machine, each of which answers with its address.
type namedBackends struct {
	port  string
	ended map[string]*httptest.Server
	held  *heldBackend
}

func newNamedBackends(t *testing.T, hosts ...string) *namedBackends {
	t.Helper()
	for range 20 {
		b := &namedBackends{ended: map[string]*httptest.Server{}, held: newHeldBackend(t)}
		port := "0"
		var listeners []net.Listener
		for _, host := range hosts {
			listener, err := net.Listen("tcp", net.JoinHostPort(host, port))
			if err != nil {
				break
			}
			_, port, _ = net.SplitHostPort(listener.Addr().String())
			listeners = append(listeners, listener)
		}
		if len(listeners) < len(hosts) { // the port is taken somewhere
			for _, listener := range listeners {
				closeQuietly(t, listener)
			}
			continue
		}
		for i, host := range hosts {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/held") {
					b.held.Config.Handler.ServeHTTP(w, r)
					return
				}
				fmt.Fprint(w, host)
			}))
			closeQuietly(t, server.Listener)
			server.Listener = listeners[i]
			server.Start()
			t.Cleanup(server.Close)
			b.ended[host] = server
		}
		b.port = port
		return b
	}
	t.Fatal("no port is free at all addresses")
	return nil
}

// answered counts who answers so many requests; all are to be answered.
func answered(t *testing.T, c *client, url string, n int) map[string]int {
	t.Helper()
	by := map[string]int{}
	for range n {
		got := c.get(url)
		if got.status != http.StatusOK {
			t.Errorf("%v", got)
		}
		by[got.body]++
	}
	return by
}

// awaitResolved waits until a name of an upstream is resolved: a start and a reload wait for that for two seconds.
func awaitResolved(t *testing.T, c *client, url string) {
	t.Helper()
	eventually(t, "the name is resolved", func() bool { return c.get(url).status == http.StatusOK })
}

// TestNamesOfUpstreamsAreResolvedAgain: requests go to all addresses of a name; one that has gone has no more, and what is under way
// there ends by itself; what is known of others stays; while the name cannot be resolved, its last addresses do, and that is said once.
func TestNamesOfUpstreamsAreResolvedAgain(t *testing.T) {
	t.Parallel()
	b := newNamedBackends(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	names := newRegistry(t, "127.0.0.2", "127.0.0.3")
	s := failoverSite(t, map[string][]string{"app": {"app.internal:" + b.port}}, fmt.Sprintf(", resolve: 1s, resolver: %q, concurrency: 50", names.address))
	state := func(host string) addressState { return s.addressStates(t)["app app.internal:"+b.port+" "+host] }
	awaitResolved(t, s.client(), s.url("app", "/"))
	for _, protocol := range []string{"http/1.1", "h2"} {
		if by := answered(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/"), 60); by["127.0.0.2"] == 0 || by["127.0.0.3"] == 0 || len(by) != 2 {
			t.Errorf("%s: answered by %v", protocol, by)
		}
	}
	held := hold(t, s.client(), s.url("app", "/held"), 4)
	s.awaitLoad(t, 4, 0)
	names.set("127.0.0.4", "127.0.0.3")
	eventually(t, "the new address is there, and the old one is not", func() bool { return state("127.0.0.4").State == "healthy" && state("127.0.0.2").State == "" })
	for _, protocol := range []string{"http/1.1", "h2"} {
		// Of what is held, some is at the address that stays, which is the busier one then.
		if by := answered(t, newClient(t, s, s.tls("", protocol)), s.url("app", "/"), 60); by["127.0.0.4"] == 0 || by["127.0.0.2"] != 0 {
			t.Errorf("%s: answered by %v", protocol, by)
		}
	}
	b.held.releaseAll()
	for range 4 {
		if got := <-held.answers; got.status != http.StatusOK {
			t.Errorf("what was under way at an address that has gone: %v", got)
		}
	}
	s.awaitLoad(t, 0, 0)
	b.ended["127.0.0.3"].Close()
	eventually(t, "an address is ejected", func() bool { answered(t, s.client(), s.url("app", "/"), 1); return state("127.0.0.3").Ejections > 0 })
	names.set("127.0.0.2", "127.0.0.3")
	eventually(t, "another address has gone", func() bool { return state("127.0.0.2").State == "healthy" && state("127.0.0.4").State == "" })
	if got := state("127.0.0.3"); got.Ejections == 0 {
		t.Errorf("what is known of an address that stays is forgotten: %+v", got)
	}
	names.fail(true)
	outages := func() int { // that have not ended: there may have been others, where the machine was late
		said := s.output.String()
		return strings.Count(said, "a name of upstreams cannot be resolved, its last addresses stay") - strings.Count(said, "a name of upstreams can be resolved again")
	}
	eventually(t, "the log says that the name cannot be resolved", func() bool { return outages() == 1 })
	asked := names.questions()
	eventually(t, "it is asked for again", func() bool { return names.questions() > asked+4 })
	if by := answered(t, s.client(), s.url("app", "/"), 20); by["127.0.0.2"] != 20 {
		t.Errorf("answered by %v", by)
	}
	if n := outages(); n != 1 {
		t.Errorf("it is said %d times", n)
	}
	if status := s.must("", "status", "--state", s.state); !strings.Contains(status, "upstream_names: app.internal cannot be resolved, its last addresses stay") {
		t.Errorf("vilogate status: %s", status)
	}
	if metrics := s.admin(t, "/metrics").body; strings.Contains(metrics, "vilogate_upstream_resolve_failures_total{name=\"app.internal\",resolver=\""+names.address+"\"} 0\n") ||
		!strings.Contains(metrics, "vilogate_upstream_resolved_addresses{name=\"app.internal\",resolver=\""+names.address+"\"} 2\n") {
		t.Error("the metrics do not tell")
	}
	names.fail(false)
	eventually(t, "the log says that it is resolved again", func() bool { return outages() == 0 })
}

// TestNamesAreResolvedAgainByTheirTTL: while names whose TTL is short are asked for again and again, those of a long one are not, be
// they there or not.
func TestNamesAreResolvedAgainByTheirTTL(t *testing.T) {
	t.Parallel()
	b := newNamedBackends(t, "127.0.0.2", "127.0.0.3")
	short, long, absent := newRegistry(t, "127.0.0.2"), newRegistry(t, "127.0.0.2"), newRegistry(t)
	short.live(0)
	line := func(name, options string, r *registry) string {
		return fmt.Sprintf("%s: { url: \"http://%s.internal:%s\", resolver: %q, %s }", name, name, b.port, r.address, options)
	}
	s := toBackends(t, nil, line("app", "resolve: ttl", short)+"\n  "+line("long", "resolve: 1h", long)+"\n  "+line("absent", "resolve: 1h", absent))
	url := s.url("app", "/public/x")
	awaitResolved(t, s.client(), url)
	if by := answered(t, s.client(), url, 5); by["127.0.0.2"] != 5 {
		t.Errorf("answered by %v", by)
	}
	live := func(ttl string, names int) {
		t.Helper()
		eventually(t, "/status tells of the TTL "+ttl, func() bool { return strings.Count(s.admin(t, "/status").body, `"ttl":"`+ttl+`"`) == names })
	}
	live("1h0m0s", 2)
	live("0s", 1)
	first := [2]int{long.questions(), absent.questions()}
	short.set("127.0.0.3")
	eventually(t, "the other address is there", func() bool { return answered(t, s.client(), url, 1)["127.0.0.3"] == 1 })
	short.set()
	asked := short.questions()
	eventually(t, "it is asked for while it is gone", func() bool { return short.questions() > asked+6 })
	if now := [2]int{long.questions(), absent.questions()}; now != first || slices.Contains(first[:], 0) {
		t.Errorf("before their TTL ends: %d questions, %d at first", now, first)
	}
	if by := answered(t, s.client(), url, 5); by["127.0.0.3"] != 5 {
		t.Errorf("answered by %v", by)
	}
	short.set("127.0.0.2")
	eventually(t, "it is back", func() bool { return answered(t, s.client(), url, 1)["127.0.0.2"] == 1 })
	short.live(3600)
	live("1h0m0s", 3)
}

// TestAReloadGoesOnWithNames: what they are resolved to stays, and one that is new is resolved before it is needed.
func TestAReloadGoesOnWithNames(t *testing.T) {
	t.Parallel()
	b := newNamedBackends(t, "127.0.0.2", "127.0.0.3")
	names := newRegistry(t, "127.0.0.2")
	config := func(name, options string) string {
		return fmt.Sprintf("app: { url: \"http://%s:%s\", resolver: %q%s }", name, b.port, names.address, options)
	}
	s := toBackends(t, nil, config("one.internal", ", resolve: 1h"))
	url := s.url("app", "/public/x")
	awaitResolved(t, s.client(), url)
	if by := answered(t, s.client(), url, 5); by["127.0.0.2"] != 5 {
		t.Errorf("answered by %v", by)
	}
	reload := func(line string) {
		t.Helper()
		writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + ownIdP + "upstreams:\n  " + line + "\n"})
		s.must("", "reload", "--state", s.state)
	}
	names.set("127.0.0.3")
	reload(config("one.internal", ", resolve: 1h, timeout: 50s"))
	if by := answered(t, s.client(), url, 5); by["127.0.0.2"] != 5 {
		t.Errorf("with other options, answered by %v", by)
	}
	reload(config("two.internal", ", resolve: 1h"))
	awaitResolved(t, s.client(), url)
	if by := answered(t, s.client(), url, 5); by["127.0.0.3"] != 5 {
		t.Errorf("with another name, answered by %v", by)
	}
	names.set("127.0.0.2")
	reload(config("two.internal", ", resolve: 1s"))
	eventually(t, "it is looked up more often", func() bool { return answered(t, s.client(), url, 1)["127.0.0.2"] == 1 })
}

// TestANameThatIsNotThereYet keeps nothing from starting: its upstream is 502, and serves when it is there.
func TestANameThatIsNotThereYet(t *testing.T) {
	t.Parallel()
	b := newNamedBackends(t, "127.0.0.2", "127.0.0.3")
	names := newRegistry(t)
	names.live(1)
	s := failoverSite(t, map[string][]string{"app": {"app.internal:" + b.port}}, fmt.Sprintf(", resolver: %q, health: { path: /, interval: 1s }", names.address))
	for _, protocol := range []string{"http/1.1", "h2"} {
		if got := newClient(t, s, s.tls("", protocol)).get(s.url("app", "/")); got.status != http.StatusBadGateway || got.problem(t).Type == "" {
			t.Errorf("%s: %v", protocol, got)
		}
	}
	if !strings.Contains(s.output.String(), "none of its names is resolved yet") {
		t.Error("the log does not say why")
	}
	names.set("127.0.0.2", "127.0.0.3")
	c := s.client()
	awaitResolved(t, c, s.url("app", "/"))
	if by := answered(t, c, s.url("app", "/"), 40); len(by) != 2 {
		t.Errorf("answered by %v", by)
	}
}

// TestLocalhostIsOneHost: a backend that listens at one of its two addresses alone is no trouble, whatever `retry` says; and
// localhost itself is what the machine says, with resolve: off likewise.
func TestLocalhostIsOneHost(t *testing.T) {
	t.Parallel()
	names := newRegistry(t, "::1", "127.0.0.1")
	ports := map[string]string{}
	for host, name := range map[string]string{"127.0.0.1": "four", "::1": "six"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
		closeQuietly(t, server.Listener)
		server.Listener = listener
		server.Start()
		t.Cleanup(server.Close)
		_, ports[name], _ = net.SplitHostPort(listener.Addr().String())
	}
	for _, options := range []string{", retry: off", ", retry: off, resolve: off", fmt.Sprintf(", retry: off, resolver: %q", names.address)} {
		addresses, host := map[string][]string{"four": {"localhost:" + ports["four"]}}, "localhost:"
		if strings.Contains(options, "resolver") {
			host = "both.internal:"
			addresses = map[string][]string{"four": {host + ports["four"]}, "six": {host + ports["six"]}}
		}
		s := failoverSite(t, addresses, options)
		for _, protocol := range []string{"http/1.1", "h2"} {
			c := newClient(t, s, s.tls("", protocol))
			for name := range addresses {
				awaitResolved(t, c, s.url(name, "/"))
				if by := answered(t, c, s.url(name, "/"), 20); by[name] != 20 {
					t.Errorf("%s, %s: answered by %v", options, name, by)
				}
			}
		}
		for name, a := range s.addressStates(t) {
			if a.Ejections != 0 || !strings.HasPrefix(a.Address, host) || strings.Contains(a.Address, " ") {
				t.Errorf("%s is %+v", name, a)
			}
		}
	}
}

// TestNamesOverTLS: who is at an address of a name has the certificate of the name, which is asked for.
func TestNamesOverTLS(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	certificate, key := a.certify("backend.test", time.Now().Add(time.Hour))
	own, ownKey := a.certify("gateway.test", time.Now().Add(time.Hour))
	backend := a.serve(t, certificate, key, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) })
	_, port, _ := net.SplitHostPort(backend.Listener.Addr().String())
	names := newRegistry(t, "127.0.0.1")
	line := func(host string) string {
		return fmt.Sprintf(`{ url: "https://%s:%s", resolver: %q, tls: { roots: ca.pem, certificate: own.pem, key: own.key } }`, host, port, names.address)
	}
	s := toBackends(t, map[string]string{"ca.pem": a.pem, "own.pem": own, "own.key": ownKey}, "app: "+line("backend.test"), "other: "+line("other.test"))
	awaitResolved(t, s.client(), s.url("app", "/public/x"))
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		if got := c.get(s.url("app", "/public/x")); got.body != "backend.test" {
			t.Errorf("%s: %v", protocol, got)
		}
		if got := c.get(s.url("other", "/public/x")); got.status != http.StatusBadGateway {
			t.Errorf("%s: under another name: %v, want 502", protocol, got)
		}
	}
}
