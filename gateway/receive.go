package gateway

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
)

// received is what is known of a request when it arrives.
type received struct {
	g         *Gateway
	gen       *Generation   // nil before the first one
	r         *http.Request // as received; prepare changes its header
	start     time.Time
	client    netip.Addr // who asks, as far as trusted proxies can be believed
	requestID string
	hsts      []string // as the edge has set it

	record record
	reply  reply
}

// receive notes when the request began, who asks, and under which id.
func (x *exchange) receive(g *Gateway, w http.ResponseWriter, r *http.Request) {
	x.received = received{
		g: g, gen: g.generation.Load(), r: r, start: g.opts.Now(), client: parseAddr(r.RemoteAddr),
		hsts: w.Header()["Strict-Transport-Security"],
	}
	if x.gen != nil && len(x.gen.TrustedProxies) > 0 && x.gen.trusted(x.client) {
		if id := r.Header["X-Request-Id"]; len(id) == 1 && validRequestID(id[0]) {
			x.requestID = id[0]
		}
		x.client = x.gen.clientBehind(x.client, r.Header["X-Forwarded-For"])
	}
	if x.requestID == "" {
		x.requestID = rand.Text()
	}
	x.reply.responseWriter = responseWriter{ResponseWriter: w}
	x.reply.requestID = x.requestID
	x.join()
}

// join has each stage know the one before it, and states the request as policies
// take it.
func (x *exchange) join() {
	x.located.received, x.decided.located, x.forwarding.decided = &x.received, &x.located, &x.decided
	x.request = policies.Request{
		Method: x.r.Method, Host: x.r.Host, Target: x.r.RequestURI, Client: x.client, Header: policies.Fields(x.r.Header), Now: x.start,
		Authenticator: x,
	}
}

// clientBehind walks X-Forwarded-For from its end, over trusted proxies, to the
// first address that is not one of them.
func (gen *Generation) clientBehind(peer netip.Addr, lines []string) netip.Addr {
	client := peer
	rest := strings.Join(lines, ",")
	for rest != "" && gen.trusted(client) {
		last := rest
		if i := strings.LastIndexByte(rest, ','); i >= 0 {
			rest, last = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		addr := parseAddr(strings.TrimSpace(last))
		if !addr.IsValid() {
			break
		}
		client = addr
	}
	return client
}

// validRequestID reports whether s is [A-Za-z0-9._-]{1,128}.
func validRequestID(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlphanumeric(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 128
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// isNavigation reports whether a person looks at the answer: a GET or HEAD of a
// document that is not a prefetch; without Fetch Metadata, one whose Accept
// prefers HTML.
func (q *received) isNavigation() bool {
	if q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return false
	}
	return wantsDocument(q.r.Header)
}
