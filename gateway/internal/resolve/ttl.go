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

// noTTL is the time to live of what came with none, as from a hosts file.
const noTTL = time.Duration(-1)

// ttlRecorder records what DNS servers said in one lookup about the time to live. Safe for concurrent use.
type ttlRecorder struct {
	mu       sync.Mutex
	positive time.Duration // the least of records that lead to addresses; guarded by mu
	negative time.Duration // the least for which it may be remembered that there are none (RFC 2308); guarded by mu
}

func newTTLRecorder() *ttlRecorder { return &ttlRecorder{positive: noTTL, negative: noTTL} }

// ttl is the time to live of addresses that were found, or of their absence.
func (r *ttlRecorder) ttl(found bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found {
		return r.positive
	}
	return r.negative
}

// wrap returns the connection, to a DNS server, on which what is asked and answered is recorded.
func (r *ttlRecorder) wrap(conn net.Conn) net.Conn {
	if udp, ok := conn.(*net.UDPConn); ok {
		return &udpConn{UDPConn: udp, recorder: r}
	}
	return &tcpConn{Conn: conn, recorder: r}
}

// udpConn is a connection whose messages are packets; net knows it by its being a net.PacketConn.
type udpConn struct {
	*net.UDPConn
	recorder *ttlRecorder
	query    []byte
}

func (c *udpConn) Write(query []byte) (int, error) {
	c.query = query
	return c.UDPConn.Write(query)
}

func (c *udpConn) Read(b []byte) (int, error) {
	n, err := c.UDPConn.Read(b)
	c.recorder.record(c.query, b[:n], true)
	return n, err
}

// tcpConn is a connection on which the length of a message precedes it (RFC 7766). There is one question, and one answer.
type tcpConn struct {
	net.Conn
	recorder      *ttlRecorder
	query, answer []byte
}

func (c *tcpConn) Write(query []byte) (int, error) {
	c.query = query
	return c.Conn.Write(query)
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.answer = append(c.answer, b[:n]...); n > 0 && len(c.answer) > 2 && len(c.query) > 2 && len(c.answer)-2 == int(binary.BigEndian.Uint16(c.answer)) {
		c.recorder.record(c.query[2:], c.answer[2:], false)
	}
	return n, err
}

// record notes what an answer says, if it is one to the query, as net decides it. Of one that cannot be read to its end what was read
// counts: net takes its addresses, too.
func (r *ttlRecorder) record(query, message []byte, packet bool) {
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
	found, ttl := false, noTTL
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
		ttl = minTTL(ttl, recordTTL(record.TTL))
	}
	if !found {
		ttl = minTTL(ttl, negativeTTL(&p))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if found {
		r.positive = minTTL(r.positive, ttl)
	} else {
		r.negative = minTTL(r.negative, ttl)
	}
}

// negativeTTL is for how long it may be remembered that there is nothing: what the zone's SOA record says, or its own time to live, where
// that is less (RFC 2308, section 5).
func negativeTTL(p *dnsmessage.Parser) time.Duration {
	if p.SkipAllAnswers() != nil {
		return noTTL
	}
	for {
		record, err := p.AuthorityHeader()
		if err != nil {
			return noTTL
		}
		if record.Type == dnsmessage.TypeSOA {
			soa, err := p.SOAResource()
			if err != nil {
				return noTTL
			}
			return min(recordTTL(record.TTL), recordTTL(soa.MinTTL))
		}
		if p.SkipAuthority() != nil {
			return noTTL
		}
	}
}

// recordTTL is what a record's time to live means: beyond 31 bits it is zero (RFC 2181, section 8).
func recordTTL(ttl uint32) time.Duration {
	if ttl > math.MaxInt32 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// minTTL is the lesser of two times to live; noTTL is more than any.
func minTTL(a, b time.Duration) time.Duration {
	if a == noTTL || b == noTTL {
		return max(a, b)
	}
	return min(a, b)
}
