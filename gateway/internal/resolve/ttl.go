package resolve

import (
	"encoding/binary"
	"math"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// untold is the time to live of what came with none, as from a hosts file.
const untold = time.Duration(-1)

// heard is what DNS servers said in one lookup about the time to live. Safe for concurrent use.
type heard struct {
	mu      sync.Mutex
	found   time.Duration // the least of records that lead to addresses; guarded by mu
	missing time.Duration // the least for which it may be remembered that there are none (RFC 2308); guarded by mu
}

func newHeard() *heard { return &heard{found: untold, missing: untold} }

// of is the time to live of addresses that were found, or of their absence.
func (h *heard) of(found bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if found {
		return h.found
	}
	return h.missing
}

// listen returns the connection, to a DNS server, on which what is asked and answered is heard.
func (h *heard) listen(conn net.Conn) net.Conn {
	if udp, ok := conn.(*net.UDPConn); ok {
		return &packets{UDPConn: udp, heard: h}
	}
	return &stream{Conn: conn, heard: h}
}

// packets is a connection whose messages are packets; net knows it by its being a net.PacketConn.
type packets struct {
	*net.UDPConn
	heard *heard
	query []byte
}

func (p *packets) Write(query []byte) (int, error) {
	p.query = query
	return p.UDPConn.Write(query)
}

func (p *packets) Read(b []byte) (int, error) {
	n, err := p.UDPConn.Read(b)
	p.heard.answer(p.query, b[:n], true)
	return n, err
}

// stream is a connection on which the length of a message precedes it (RFC 7766). There is one question, and one answer.
type stream struct {
	net.Conn
	heard         *heard
	query, answer []byte
}

func (s *stream) Write(query []byte) (int, error) {
	s.query = query
	return s.Conn.Write(query)
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if s.answer = append(s.answer, b[:n]...); n > 0 && len(s.answer) > 2 && len(s.query) > 2 && len(s.answer)-2 == int(binary.BigEndian.Uint16(s.answer)) {
		s.heard.answer(s.query[2:], s.answer[2:], false)
	}
	return n, err
}

// answer notes what an answer says, if it is one to the query; net judges likewise. Of one that cannot be read to its end what was read
// counts: net takes its addresses, too.
func (h *heard) answer(query, message []byte, packet bool) {
	var asked, p dnsmessage.Parser
	of, err := asked.Start(query)
	header, merr := p.Start(message)
	if err != nil || merr != nil || !header.Response || header.ID != of.ID || packet && header.Truncated { // which is asked for again
		return
	}
	question, err := asked.Question()
	repeated, merr := p.Question()
	if err != nil || merr != nil || question.Type != repeated.Type || question.Class != repeated.Class ||
		!strings.EqualFold(question.Name.String(), repeated.Name.String()) || p.SkipAllQuestions() != nil {
		return
	}
	if header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
		return
	}
	found, ttl := false, untold
	for {
		record, err := p.AnswerHeader()
		if err != nil || p.SkipAnswer() != nil {
			break
		}
		switch record.Type {
		case dnsmessage.TypeA, dnsmessage.TypeAAAA:
			found = true
		case dnsmessage.TypeCNAME:
		default:
			continue // as signatures, which are not asked for
		}
		ttl = least(ttl, lifetime(record.TTL))
	}
	if !found {
		ttl = least(ttl, negative(&p))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if found {
		h.found = least(h.found, ttl)
	} else {
		h.missing = least(h.missing, ttl)
	}
}

// negative is for how long it may be remembered that there is nothing: what the zone's SOA record says, or its own time to live, where
// that is less (RFC 2308, section 5).
func negative(p *dnsmessage.Parser) time.Duration {
	if p.SkipAllAnswers() != nil {
		return untold
	}
	for {
		record, err := p.AuthorityHeader()
		if err != nil {
			return untold
		}
		if record.Type == dnsmessage.TypeSOA {
			soa, err := p.SOAResource()
			if err != nil {
				return untold
			}
			return min(lifetime(record.TTL), lifetime(soa.MinTTL))
		}
		if p.SkipAuthority() != nil {
			return untold
		}
	}
}

// lifetime is what a record's time to live means: beyond 31 bits it is zero (RFC 2181, section 8).
func lifetime(ttl uint32) time.Duration {
	if ttl > math.MaxInt32 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// least is the lesser of two times to live; what is untold is more than any.
func least(a, b time.Duration) time.Duration {
	if a == untold || b == untold {
		return max(a, b)
	}
	return min(a, b)
}
