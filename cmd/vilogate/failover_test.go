package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// addressState is what /status tells of an address.
type addressState struct {
	Upstream, Address, State, Reason string
	InFlight                         int `json:"in_flight"`
	Ejections                        int
}

func (s *site) addressStates(tb testing.TB) map[string]addressState {
	tb.Helper()
	all := map[string]addressState{}
	for _, a := range object[struct{ Upstreams []addressState }](tb, s.admin(tb, "/status")).Upstreams {
		all[a.Upstream+" "+a.Address] = a
	}
	return all
}

// seen counts the requests of each id that any address has read.
type seen struct {
	mu    sync.Mutex
	times map[string]int // guarded by mu
}

func (s *seen) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times[id]++
}

// liveAddress answers what it is sent.
func liveAddress(t *testing.T, all *seen) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the body of %s: %v", r.URL.Path, err)
		}
		all.add(r.URL.Path)
		fmt.Fprintf(w, "%s %s", r.Method, body)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// refusingAddress is one where nothing listens.
func refusingAddress(t *testing.T, _ *seen) string { return freeAddress(t) }

// swallowingAddress is one that answers no attempt to connect.
func swallowingAddress(t *testing.T, _ *seen) string {
	listener := fullListener(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	return listener.Addr().String()
}

// fullListener is one whose backlog is full: a SYN is dropped there until it accepts. Who wants it closes it.
func fullListener(t *testing.T) net.Listener {
	t.Helper()
	listener := listenLoopback(t)
	raw, err := listener.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 0) }); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	for range 16 {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 200*time.Millisecond)
		if err != nil {
			return listener
		}
		t.Cleanup(func() { closeQuietly(t, conn) })
	}
	t.Fatal("a backlog of 0 took 16 connections")
	return nil
}

// resettingAddress reads a request, and resets its connection.
func resettingAddress(t *testing.T, all *seen) string {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer closeQuietly(t, conn)
				if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
					t.Error(err)
				}
				buffer := make([]byte, 4096)
				n, err := conn.Read(buffer)
				if _, target, ok := strings.Cut(string(buffer[:n]), " "); ok && err == nil {
					path, _, _ := strings.Cut(target, " ")
					all.add(path)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// closingAddress closes connections before it has read anything.
func closingAddress(t *testing.T, _ *seen) string {
	t.Helper()
	listener := listenLoopback(t)
	t.Cleanup(func() { closeQuietly(t, listener) })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			closeQuietly(t, conn)
		}
	}()
	return listener.Addr().String()
}

type deadAddress struct {
	name     string
	make     func(*testing.T, *seen) string
	readsOne bool // a POST may have been read there
}

var deadAddresses = []deadAddress{
	{"refused", refusingAddress, false}, {"swallowed", swallowingAddress, false}, {"reset", resettingAddress, true}, {"closed", closingAddress, true},
}

// failoverSite has a host, with an upstream of its own, for each name.
func failoverSite(t *testing.T, addresses map[string][]string, options string) *site {
	t.Helper()
	files := map[string]string{"vilogate.yaml": serveConfig + "upstreams:\n"}
	for name, all := range addresses {
		files["vilogate.yaml"] += upstreamLine(name, all, options)
		files["policies/"+name+".yaml"] = fmt.Sprintf("host: %s.viloforge.test\nupstream: %s\nroutes: [ { path: /*rest, allow: public } ]\n", name, name)
	}
	return serve(t, files)
}

func upstreamLine(name string, addresses []string, options string) string {
	return fmt.Sprintf("  %s: { urls: [\"http://%s\"]%s }\n", name, strings.Join(addresses, "\", \"http://"), options)
}

// TestNoRequestFailsWhileAnAddressAnswers: whatever is dead of an upstream, and however many ask at once, nothing fails that
// was never sent or may be repeated, and nothing is sent twice that may not.
func TestNoRequestFailsWhileAnAddressAnswers(t *testing.T) {
	t.Parallel()
	type try struct {
		name, protocol string
		at             int // once
		dead           deadAddress
		all            *seen
	}
	var tries []try
	addresses := map[string][]string{}
	for _, dead := range deadAddresses {
		for _, k := range []int{1, 2} { // of twice as many
			all := &seen{times: map[string]int{}}
			var list []string
			for range k {
				list = append(list, dead.make(t, all), liveAddress(t, all))
			}
			for _, protocol := range []string{"http/1.1", "h2"} {
				for _, at := range []int{1, 10, 50} {
					name := fmt.Sprintf("%s-%d-%s-%d", dead.name, k, strings.NewReplacer("/1.1", "1").Replace(protocol), at)
					addresses[name] = list
					tries = append(tries, try{name, protocol, at, dead, all})
				}
			}
		}
	}
	s := failoverSite(t, addresses, "")
	for _, c := range tries {
		t.Run(c.name, func(t *testing.T) {
			client := newClient(t, s, s.tls("", c.protocol))
			requests := max(100, 2*c.at)
			if c.at == 1 {
				requests = 20
			}
			var next atomic.Int64
			var clients sync.WaitGroup
			for range c.at {
				clients.Go(func() {
					for n := next.Add(1); n <= int64(requests); n = next.Add(1) {
						method, body := http.MethodGet, ""
						if n%2 == 0 && !c.dead.readsOne {
							method, body = http.MethodPost, "a body"
						}
						got, err := client.try(method, s.url(c.name, fmt.Sprintf("/%s/%d", c.name, n)), body)
						if want := method + " " + body; err != nil || got.status != http.StatusOK || got.body != want {
							t.Errorf("request %d: %v, %v", n, got, err)
						}
					}
				})
			}
			clients.Wait()
			ejected := 0
			for _, a := range s.addressStates(t) {
				if a.Upstream == c.name && a.InFlight != 0 {
					t.Errorf("%+v after the last request", a)
				}
				if a.Upstream == c.name && a.Ejections > 0 {
					ejected++
				}
			}
			// What an address costs is remembered: no request but the first ones waits for it.
			if ejected == 0 {
				t.Errorf("no address of %v is ejected", addresses[c.name])
			}
		})
	}
	for _, c := range tries {
		if c.dead.readsOne {
			continue
		}
		for id, n := range c.all.times {
			if n != 1 {
				t.Errorf("%s arrived %d times", id, n)
			}
		}
	}
}

// TestALostSYNIsNoFailure: it is sent again after a second (RFC 6298, section 2), which an address is waited for.
func TestALostSYNIsNoFailure(t *testing.T) {
	t.Parallel()
	listeners := []net.Listener{fullListener(t), fullListener(t)}
	s := failoverSite(t, map[string][]string{"app": {listeners[0].Addr().String(), listeners[1].Addr().String()}}, "")
	answered := make(chan error, 1)
	go func() {
		got, err := newClient(t, s, s.tls("", "h2")).try(http.MethodGet, s.url("app", "/"), "")
		if err == nil && got.body != "served" {
			err = fmt.Errorf("%+v", got)
		}
		answered <- err
	}()
	eventually(t, "a SYN that is not answered", func() bool { return isConnecting(t, listeners...) })
	for _, listener := range listeners {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })}
		go func() { _ = server.Serve(listener) }() // until it is closed
		t.Cleanup(func() { closeQuietly(t, server) })
	}
	if err := <-answered; err != nil {
		t.Error(err)
	}
	for _, a := range s.addressStates(t) {
		if a.Ejections != 0 {
			t.Errorf("%+v", a)
		}
	}
}

// isConnecting reports whether this machine has sent a SYN to one of the listeners, and has no answer to it.
func isConnecting(t *testing.T, listeners ...net.Listener) bool {
	t.Helper()
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	const synSent = "02"
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line)
		for _, listener := range listeners {
			to := fmt.Sprintf("0100007F:%04X", listener.Addr().(*net.TCPAddr).Port)
			if len(fields) > 3 && fields[2] == to && fields[3] == synSent {
				return true
			}
		}
	}
	return false
}

// TestAPOSTIsNeverSentTwice: where an address may have read it, its client is told, and no more than one POST goes there
// until the address is tried again.
func TestAPOSTIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			all := &seen{times: map[string]int{}}
			dead := []string{resettingAddress(t, all), resettingAddress(t, all)}
			s := failoverSite(t, map[string][]string{"app": append([]string{liveAddress(t, all), liveAddress(t, all)}, dead...)}, "")
			client := newClient(t, s, s.tls("", protocol))
			failed := 0
			for n := range 60 {
				switch got := client.do(http.MethodPost, s.url("app", fmt.Sprintf("/%d", n)), "pay"); got.status {
				case http.StatusOK:
				case http.StatusBadGateway:
					failed++
				default:
					t.Errorf("request %d: %v", n, got)
				}
			}
			ejections := 0
			for _, a := range s.addressStates(t) {
				ejections += a.Ejections
			}
			if failed != ejections || failed < len(dead) {
				t.Errorf("%d POSTs failed, and %d times an address was ejected", failed, ejections)
			}
			if len(all.times) != 60 {
				t.Errorf("%d POSTs arrived, want 60", len(all.times))
			}
			for id, n := range all.times {
				if n != 1 {
					t.Errorf("%s arrived %d times", id, n)
				}
			}
		})
	}
}

// TestRetryOff: a request is sent to one address, and fails there.
func TestRetryOff(t *testing.T) {
	t.Parallel()
	all := &seen{times: map[string]int{}}
	dead := refusingAddress(t, all)
	s := failoverSite(t, map[string][]string{"app": {dead, liveAddress(t, all)}}, ", retry: off")
	client := s.client()
	is := func(status int) bool { return client.get(s.url("app", "/")).status == status }
	// An ejection takes twice as long as the last: one is longer than twenty requests on any machine.
	eventually(t, "a request fails, and none while the address is ejected", func() bool {
		failed := is(http.StatusBadGateway)
		for range 20 {
			failed = failed && is(http.StatusOK)
		}
		return failed
	})
	if got := s.addressStates(t)["app "+dead]; got.Ejections == 0 {
		t.Errorf("the address that failed: %+v", got)
	}
}

// TestAReloadKeepsWhatIsKnownOfAddresses, and what is known is told everywhere.
func TestAReloadKeepsWhatIsKnownOfAddresses(t *testing.T) {
	t.Parallel()
	all := &seen{times: map[string]int{}}
	dead, live, added := refusingAddress(t, all), liveAddress(t, all), liveAddress(t, all)
	s := failoverSite(t, map[string][]string{"app": {dead, live}}, "")
	done := make(chan struct{})
	var clients sync.WaitGroup
	for _, protocol := range []string{"http/1.1", "h2"} {
		client := newClient(t, s, s.tls("", protocol))
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				if got, err := client.try(http.MethodPost, s.url("app", fmt.Sprintf("/%s/%d", protocol, n)), "body"); err != nil || got.status != http.StatusOK {
					t.Errorf("%s: %v, %v", protocol, got, err)
					return
				}
			}
		})
	}
	ejected := func() addressState { return s.addressStates(t)["app "+dead] }
	eventually(t, "the dead address is ejected", func() bool { return ejected().State == "ejected" })
	before := ejected()
	writeFiles(t, s.dir, map[string]string{"vilogate.yaml": serveConfig + "upstreams:\n" + upstreamLine("app", []string{dead, live, added}, ", retry: on")})
	s.must("", "reload", "--state", s.state)
	if after := ejected(); after.State != "ejected" || after.Ejections < before.Ejections || !strings.Contains(after.Reason, "connection refused") {
		t.Errorf("after the reload: %+v, before: %+v", after, before)
	}
	eventually(t, "the address that was added is asked", func() bool {
		return s.addressStates(t)["app "+added].State == "healthy" && strings.Contains(s.must("", "status", "--state", s.state), added)
	})
	close(done)
	clients.Wait()
	metrics := s.admin(t, "/metrics").body
	for _, line := range []string{
		fmt.Sprintf("vilogate_upstream_address_state{address=%q,state=\"ejected\",upstream=\"app\"} 1\n", dead),
		fmt.Sprintf("vilogate_upstream_address_state{address=%q,state=\"healthy\",upstream=\"app\"} 1\n", live),
		fmt.Sprintf("vilogate_upstream_ejections_total{address=%q,upstream=\"app\"} ", dead), "vilogate_upstream_retries_total{upstream=\"app\"} ",
	} {
		if !strings.Contains(metrics, line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}
	if said := s.must("", "status", "--state", s.state); !strings.Contains(said, dead) || !strings.Contains(said, "ejected") {
		t.Errorf("vilogate status: %s", said)
	}
	if n := strings.Count(s.output.String(), "an address of an upstream is ejected"); n != 1 {
		t.Errorf("the log says %d times that the address is ejected", n)
	}
}
