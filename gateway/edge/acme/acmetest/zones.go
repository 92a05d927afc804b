package acmetest

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// Zones is a name server that is authoritative for some zones. Safe for
// concurrent use.
type Zones struct {
	Address string // of UDP and TCP, host:port

	mu      sync.Mutex
	apexes  []string            // with a final dot; guarded by mu
	texts   map[string][]string // by name, with a final dot; guarded by mu
	aliases map[string]string   // likewise
	hidden  bool                // no TXT record shows; guarded by mu
}

// NewZones starts the server on a loopback port.
func NewZones(t testing.TB, apexes ...string) *Zones {
	t.Helper()
	z := &Zones{texts: map[string][]string{}, aliases: map[string]string{}}
	for _, apex := range apexes {
		z.apexes = append(z.apexes, dns.Fqdn(apex))
	}
	packets, streams := listenBoth(t)
	z.Address = packets.LocalAddr().String()
	for _, server := range []*dns.Server{{PacketConn: packets, Handler: z}, {Listener: streams, Handler: z}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		server.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- server.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := server.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return z
}

// listenBoth finds a port that is free for UDP and for TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, streams
		}
		if err := packets.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("no port is free for both UDP and TCP")
	return nil, nil
}

// Alias makes name an alias of target.
func (z *Zones) Alias(name, target string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.aliases[dns.Fqdn(name)] = dns.Fqdn(target)
}

// HideTXT has TXT records not show, as if they never propagated.
func (z *Zones) HideTXT(hidden bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.hidden = hidden
}

// TXT are the TXT records of all names.
func (z *Zones) TXT() (all []string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	for name, values := range z.texts {
		for _, v := range values {
			all = append(all, name+" "+v)
		}
	}
	return all
}

func (z *Zones) add(name, value string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.texts[dns.Fqdn(name)] = append(z.texts[dns.Fqdn(name)], value)
}

func (z *Zones) remove(name, value string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	values := z.texts[dns.Fqdn(name)]
	if i := slices.Index(values, value); i >= 0 {
		z.texts[dns.Fqdn(name)] = slices.Delete(values, i, i+1)
	}
}

// ServeDNS implements dns.Handler.
func (z *Zones) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg)
	answer.SetReply(question)
	answer.Authoritative, answer.RecursionAvailable = true, true
	z.answer(answer, strings.ToLower(question.Question[0].Name), question.Question[0].Qtype)
	if err := w.WriteMsg(answer); err != nil {
		return // whoever asked is gone
	}
}

func (z *Zones) answer(m *dns.Msg, name string, kind uint16) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if target, ok := z.aliases[name]; ok {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: target})
		if kind == dns.TypeCNAME {
			return
		}
		name = target
	}
	apex := z.apexOf(name)
	if apex == "" {
		m.Rcode = dns.RcodeNameError
		return
	}
	authority := &dns.SOA{Hdr: header(apex, dns.TypeSOA), Ns: "ns." + apex, Mbox: "hostmaster." + apex, Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 0}
	switch {
	case kind == dns.TypeSOA && name == apex:
		m.Answer = append(m.Answer, authority)
		return
	case kind == dns.TypeTXT && !z.hidden:
		for _, value := range z.texts[name] {
			m.Answer = append(m.Answer, &dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{value}})
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = append(m.Ns, authority)
	}
}

// apexOf is the zone that a name is in; "" where there is none.
func (z *Zones) apexOf(name string) (longest string) {
	for _, apex := range z.apexes {
		if dns.IsSubDomain(apex, name) && len(apex) > len(longest) {
			longest = apex
		}
	}
	return longest
}

func header(name string, kind uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: 0}
}
