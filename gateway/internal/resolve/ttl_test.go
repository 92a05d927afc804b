package resolve

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/dns/dnsmessage"
)

// zone answers questions, by their type, with records; "A", "AAAA" and so on.
type zone struct {
	answers map[uint16][]string // records of the answer section
	soa     string              // in the authority section of answers that have no address
	code    int
	ttl     uint32 // of all records, where it is not 0
	forged  string // a record of an answer to another question, which comes first
	fills   int    // more addresses of A: too many for a packet
}

// record reads one; a TTL that cannot be written is set behind it.
func (z zone) record(text string) dns.RR {
	record, err := dns.NewRR(text)
	if err != nil {
		panic(err)
	}
	if z.ttl != 0 {
		record.Header().Ttl = z.ttl
	}
	return record
}

// ServeDNS implements dns.Handler.
func (z zone) ServeDNS(w dns.ResponseWriter, question *dns.Msg) {
	if z.forged != "" {
		for _, change := range []func(*dns.Msg){
			func(m *dns.Msg) { m.Id++ }, func(m *dns.Msg) { m.Question[0].Name = "other." },
			func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeMX }, func(m *dns.Msg) { m.Response = false },
		} {
			forged := new(dns.Msg).SetReply(question)
			forged.Answer = append(forged.Answer, z.record(z.forged))
			change(forged)
			_ = w.WriteMsg(forged) // who has gone asks again
		}
	}
	answer := new(dns.Msg).SetRcode(question, z.code)
	answer.RecursionAvailable = true
	for _, text := range z.answers[question.Question[0].Qtype] {
		answer.Answer = append(answer.Answer, z.record(text))
	}
	if question.Question[0].Qtype == dns.TypeA {
		for i := range z.fills {
			answer.Answer = append(answer.Answer, z.record(fmt.Sprintf("app. %d A 10.1.%d.%d", 9000-i, i>>8, i&255)))
		}
	}
	if z.soa != "" && len(answer.Answer) == 0 {
		answer.Ns = append(answer.Ns, z.record(z.soa))
	}
	if w.LocalAddr().Network() == "udp" && answer.Len() > 1232 {
		answer.Truncate(1232)
		answer.Answer = []dns.RR{z.record("app. 1 A 10.0.0.1")}
	}
	_ = w.WriteMsg(answer) // likewise
}

// serve starts a DNS server, and returns its address, of UDP and TCP.
func (z zone) serve(t *testing.T) string {
	t.Helper()
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		streams, err := net.Listen("tcp", packets.LocalAddr().String())
		if err != nil { // the port is taken there
			if err := packets.Close(); err != nil {
				t.Fatal(err)
			}
			continue
		}
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
		return packets.LocalAddr().String()
	}
	t.Fatal("no port is free for both UDP and TCP")
	return ""
}

// TestTheLeastTimeToLive of what leads to the addresses is heard, or that of their absence.
func TestTheLeastTimeToLive(t *testing.T) {
	t.Parallel()
	a, aaaa := dns.TypeA, dns.TypeAAAA
	for what, one := range map[string]struct {
		zone
		found int
		want  time.Duration
	}{
		"two addresses":                   {zone{answers: map[uint16][]string{a: {"app. 30 A 10.0.0.1", "app. 20 A 10.0.0.2"}}}, 2, 20 * time.Second},
		"two families":                    {zone{answers: map[uint16][]string{a: {"app. 30 A 127.0.0.1"}, aaaa: {"app. 7 AAAA ::1"}}}, 2, 7 * time.Second},
		"an alias":                        {zone{answers: map[uint16][]string{a: {"app. 5 CNAME other.", "other. 60 A 10.0.0.1"}}}, 1, 5 * time.Second},
		"an address behind an alias":      {zone{answers: map[uint16][]string{a: {"app. 60 CNAME other.", "other. 5 A 10.0.0.1"}}}, 1, 5 * time.Second},
		"one family is absent":            {zone{answers: map[uint16][]string{a: {"app. 30 A 10.0.0.1"}}, soa: "app. 9 SOA ns. host. 1 1 1 1 1"}, 1, 30 * time.Second},
		"a signature":                     {zone{answers: map[uint16][]string{a: {"app. 30 A 10.0.0.1", "app. 2 TXT text"}}}, 1, 30 * time.Second},
		"none at all":                     {zone{answers: map[uint16][]string{a: {"app. 0 A 10.0.0.1"}}}, 1, 0},
		"the longest":                     {zone{answers: map[uint16][]string{a: {"app. 1 A 10.0.0.1"}}, ttl: math.MaxInt32}, 1, math.MaxInt32 * time.Second},
		"more than 31 bits":               {zone{answers: map[uint16][]string{a: {"app. 1 A 10.0.0.1"}}, ttl: 1 << 31}, 1, 0},
		"forged answers":                  {zone{answers: map[uint16][]string{a: {"app. 30 A 10.0.0.1"}, aaaa: {"app. 30 AAAA ::1"}}, forged: "app. 1 A 10.0.0.9"}, 2, 30 * time.Second},
		"more than a packet holds":        {zone{fills: 2000}, 2000, 7001 * time.Second},
		"no such name":                    {zone{code: dns.RcodeNameError, soa: ". 300 SOA ns. host. 1 1 1 1 60"}, 0, time.Minute},
		"no such name, a lesser TTL":      {zone{code: dns.RcodeNameError, soa: ". 20 SOA ns. host. 1 1 1 1 60"}, 0, 20 * time.Second},
		"no such name, forever":           {zone{code: dns.RcodeNameError, soa: ". 20 SOA ns. host. 1 1 1 1 4294967295", ttl: 1 << 31}, 0, 0},
		"no such name, nobody says more":  {zone{code: dns.RcodeNameError}, 0, noTTL},
		"no address":                      {zone{soa: ". 300 SOA ns. host. 1 1 1 1 40"}, 0, 40 * time.Second},
		"no address behind an alias":      {zone{answers: map[uint16][]string{a: {"app. 5 CNAME other."}, aaaa: {"app. 6 CNAME other."}}}, 0, 5 * time.Second},
		"a failure":                       {zone{code: dns.RcodeServerFailure, soa: ". 300 SOA ns. host. 1 1 1 1 60"}, 0, noTTL},
		"a failure that brings an answer": {zone{code: dns.RcodeRefused, answers: map[uint16][]string{a: {"app. 30 A 10.0.0.1"}}}, 0, noTTL},
	} {
		got, err := Ask(t.Context(), Name{Host: "app.", Resolver: one.serve(t)})
		if (err == nil) != (one.found > 0) || len(got.Addresses) > one.found || got.TTL != one.want {
			t.Errorf("%s: %d addresses, TTL %s, %v, want %d and %s", what, len(got.Addresses), got.TTL, err, one.found, one.want)
		}
	}
}

// FuzzTimeToLive: whatever a server answers, what is heard of it is what another reader of DNS finds there.
func FuzzTimeToLive(f *testing.F) {
	for _, z := range []zone{
		{answers: map[uint16][]string{dns.TypeA: {"app. 5 CNAME other.", "other. 60 A 10.0.0.1"}}},
		{code: dns.RcodeNameError, soa: ". 300 SOA ns. host. 1 1 1 1 60"},
		{soa: ". 300 SOA ns. host. 1 1 1 1 60", ttl: 1 << 31},
	} {
		answer := new(dns.Msg).SetRcode(new(dns.Msg).SetQuestion("app.", dns.TypeA), z.code)
		for _, text := range z.answers[dns.TypeA] {
			answer.Answer = append(answer.Answer, z.record(text))
		}
		if z.soa != "" {
			answer.Ns = append(answer.Ns, z.record(z.soa))
		}
		answer.Compress = true
		message, err := answer.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message)
		f.Add(message[:len(message)-3])
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) < 12 {
			return
		}
		query := append([]byte(nil), message...) // of which the header and the question are read
		binary.BigEndian.PutUint16(query[2:], 0)
		recorder := newTTLRecorder()
		recorder.record(query, message, false)
		found, missing := recorder.ttl(true), recorder.ttl(false)
		if found < noTTL || found > math.MaxInt32*time.Second || missing < noTTL || missing > math.MaxInt32*time.Second || found != noTTL && missing != noTTL {
			t.Errorf("found: %s, missing: %s", found, missing)
		}
		var whole dnsmessage.Message // of which the other reader asks for less
		var other dns.Msg
		if whole.Unpack(message) != nil || other.Unpack(message) != nil || len(other.Question) != 1 || !other.Response || len(message) > dns.MaxMsgSize {
			return
		}
		for i, record := range other.Ns { // which may be cut short, of which either reader makes something else
			if soa, ok := record.(*dns.SOA); ok && soa.Minttl != whole.Authorities[i].Body.(*dnsmessage.SOAResource).MinTTL {
				return
			}
		}
		if wantFound, wantMissing := expected(&other); found != wantFound || missing != wantMissing {
			t.Errorf("found: %s, missing: %s, want %s, %s of\n%s", found, missing, wantFound, wantMissing, strings.ReplaceAll(other.String(), "\n\n", "\n"))
		}
	})
}

// expected is what a message says.
func expected(m *dns.Msg) (found, missing time.Duration) {
	if m.Rcode&15 != dns.RcodeSuccess && m.Rcode&15 != dns.RcodeNameError {
		return noTTL, noTTL
	}
	ttl, addresses := noTTL, false
	for _, record := range m.Answer {
		switch record.Header().Rrtype {
		case dns.TypeA, dns.TypeAAAA:
			addresses = true
		case dns.TypeCNAME:
		default:
			continue
		}
		ttl = minTTL(ttl, recordTTL(record.Header().Ttl))
	}
	if addresses {
		return ttl, noTTL
	}
	for _, record := range m.Ns {
		if soa, ok := record.(*dns.SOA); ok {
			return noTTL, minTTL(ttl, min(recordTTL(soa.Hdr.Ttl), recordTTL(soa.Minttl)))
		}
	}
	return noTTL, ttl
}
