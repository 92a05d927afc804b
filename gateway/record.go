package gateway

import (
	"net/netip"
	"time"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Record is what is known of a request when it has ended. It never holds a
// token, a cookie, a password or a query value.
type Record struct {
	RequestID string
	Client    netip.Addr
	Method    string
	Protocol  string // HTTP/1.1, HTTP/2 or HTTP/3; "HTTP/1.0" too
	WebSocket bool   // it has opened one
	Host      string // canonical; "" when it could not be made so, or is not served
	Path      string // canonical, without the query
	Route     string // the route's pattern
	Decision  string // allow, deny, login, …
	Reason    string
	Rule      strictyaml.Place // of the rule that decided; zero when there was none
	Subject   string
	Session   string
	Upstream  string
	Status    int           // of a call of gRPC that was refused: what its status stands for
	Bytes     int64         // of the body that was sent, or through a WebSocket to the client
	Duration  time.Duration // of the whole request
	Wait      time.Duration // until the upstream's header; zero when there was none

	UpstreamError bool // the request to the upstream failed or timed out
	OddHeaders    int  // headers with odd names
	Shadow        []ShadowDecision
	Aborted       bool // the answer was cut off
	// StreamEnd is why it was ended before its time: revoked, session_over, policy or drain; "" where it was not.
	StreamEnd string

	// GRPCStatus is the status with which a call of gRPC has ended; "" of anything else.
	GRPCStatus string

	// ForwardAuth is how a proxy asked that holds the request (forward auth): x-forwarded, x-original, envoy-http or envoy-grpc; ""
	// for requests of the gateway's own.
	ForwardAuth string

	Renewed  bool  // the answer carries a successor of the access token
	Kept     int64 // bytes of a form that was kept until its sender has signed in
	KeptSent int64 // bytes of a form that was kept, and was sent now

	RefusedCookies []RefusedCookie // SSO cookies that did not count
	// DroppedHeaders are the names of headers that were not passed on because they say
	// what only the gateway says, sorted: at most 16 of Dropped, each cut at 64 bytes.
	DroppedHeaders []string
	Dropped        int
}

// record is what the steps note for the one access record of the request.
type record struct {
	decision      string
	reason        string
	upstream      string
	upstreamTime  time.Duration
	upstreamError bool
	oddHeaders    int
	droppedNames  []string // at most maxDroppedNames of dropped
	dropped       int
	status        int              // where nothing was sent, or a status of gRPC in its place
	grpcStatus    string           // with which a call of gRPC has ended
	refusedCall   bool             // it was the gateway's
	shadows       []ShadowDecision // of other policies, where they differ
	audited       bool             // it is in the audit log
	renewed       bool             // the answer carries a successor of the access token
	kept          int64            // bytes of the body that was kept
	keptSent      int64            // bytes of the kept body that took the place of the request's own
	webSocket     bool             // it has opened one
	streamEnd     string           // why it was ended before its time

	refusedCookies []RefusedCookie
}

// What a record keeps of the names of dropped headers, which a client chooses.
const (
	maxDroppedNames  = 16
	maxDroppedLength = 64 // bytes of a name
)

// drop notes that the header of that name was not passed on.
func (r *record) drop(name string) {
	if r.dropped++; r.dropped <= maxDroppedNames {
		r.droppedNames = append(r.droppedNames, name[:min(len(name), maxDroppedLength)])
	}
}

// formatPlace is file:line:column of a rule, or "".
func formatPlace(p strictyaml.Place) string {
	if p == (strictyaml.Place{}) {
		return ""
	}
	return p.String()
}

// ShadowDecision is what other policies would have decided, where that differs
// from what was decided.
type ShadowDecision struct {
	Folder   bool // a whole folder beside the live one; else routes with mode: shadow
	Decision string
	Reason   string
	Rule     strictyaml.Place // zero when there was none
}

// RefusedCookie is an SSO cookie that did not count.
type RefusedCookie struct {
	Name   string
	Issuer string // whose tokens it carries
	Reason string // token.Reason, or "conflict"
}
