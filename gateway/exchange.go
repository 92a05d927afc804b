package gateway

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/gateway/limits"
	"github.com/viloforge/vilogate/gateway/posts"
	"github.com/viloforge/vilogate/idp/revocation"
	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/policies"
)

// exchange is one request on its way, in stages. Each stage is made whole by one
// step, is read-only afterwards, and knows the stages before it and none that
// come later; what all may write to are the record and the reply. It is owned by
// the goroutine that serves the request.
type exchange struct {
	received              // receive: what arrived
	located    located    // locate: where it leads
	decided    decided    // decide: who asks, and what becomes of it
	forwarding forwarding // prepare: what the upstream is sent

	request       policies.Request // what the decision is made of
	authenticated bool             // decided.authentication and authErr are set
	authErr       error
	kept          kept   // the post that is kept of it, or that it asks to be sent
	finalRecord   Record // at the end
}

// kept is the post that a request is about: one that was kept of it, or one that it asks to be sent.
type kept struct {
	id   string
	post *posts.Post // that is to be sent in place of the request's own body

	taken bool // post was taken out of the store
}

// located is where a request leads: what policies.Locate finds out, before
// anybody is asked who they are.
type located struct {
	*received
	policies.Location
}

// decided is what becomes of a request, and who sent it.
type decided struct {
	*located
	authentication authentication
	answer         policies.Answer
	facts          *audit.Facts  // that the rule read, for the audit log
	rate           *rate         // that the request was counted for, or nil
	limited        limits.Result // of it
}

// route is the route that decided; nil on the login host.
func (d *decided) route() *policies.Route { return d.answer.Decision.Route }

// authentication is who sends a request, and what becomes of the credentials
// that say so.
type authentication struct {
	*located
	credentials   credentials
	claims        *token.Claims      // of the credential that counts
	principal     *principal         // nil: anonymous
	byCookie      bool               // the principal comes from a cookie, or from a header that counts as one
	byHeader      bool               // the principal comes from a header that a proxy before the gateway adds
	tokenHeader   bool               // such a header is the principal's too, and may be forwarded
	forwardBearer bool               // the Authorization header is the backend's business
	handle        handle             // of the principal's session; its successor goes with the answer. Zero: there is none
	forwardCookie cookiePair         // that is passed on, alone of its name; zero for none
	setCookies    []string           // Set-Cookie lines for the reply
	revocations   []revocation.Entry // with policies.Logout: what the cookies' sessions end with
	signedOut     []audit.Actor      // whose they are, one of each
}

// handle is a token of our own IdP in the SSO cookie that stands for its session: it has expired, or is about to.
type handle struct {
	value   string
	claims  *token.Claims // its own
	expired bool
}

// forwarding is what the upstream is sent.
type forwarding struct {
	*decided
	upstream       *upstream // nil on the login host
	own            *ownConn  // the connection to it that is this client's alone; nil for those that are shared
	attempts       attempts  // at its addresses
	out            outgoing
	assertion      string // the signed assertion, where there is a principal
	cleaned        bool   // the headers hold only what passes
	stream         stream // what may end it before its time
	affinityCookie string // that upstreams with this affinity choose an address by
	unsent         bool   // it failed, and no upstream can have got any of it
	callEnded      bool   // something else has ended the call, by a status
}

// received is what is known of a request when it arrives.
type received struct {
	g           *Gateway
	gen         *Generation   // nil before the first one
	r           *http.Request // as received; prepare removes fields of its header, or their values, and adds none
	fields      field.List    // of its header, as they were sent
	start       time.Time
	client      netip.Addr // who asks, as far as trusted proxies can be believed; the zero Addr where it is unknown
	clientBy    string     // the header that a trusted proxy says that in, where Settings.ClientIPHeaders has one that was there
	trusted     bool       // a trusted proxy sends this
	requestID   string
	carried     http.Header  // what every answer has, as the server has set it
	forwardAuth *forwardAuth // another proxy holds the request, and asks about it; nil of others

	record record
	reply  reply
}

// ruleDecided reports whether the rule of a route, or the lack of one, decided.
func (d *decided) ruleDecided() bool { return d.answer.Outcome != 0 && d.Kind == policies.Routed }

// routeName is the pattern of the request's route, or the own path.
func (d *decided) routeName() string {
	switch {
	case d.Match.Pattern != "":
		return d.Match.Pattern
	case d.Kind != policies.OwnPath:
		return ""
	case d.Endpoint != 0:
		return d.Target.Path.String()
	}
	return policies.OwnPrefix + "/*"
}
