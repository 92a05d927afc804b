package analysis

import (
	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// A Change is a class of requests about which two policies decide differently.
type Change struct {
	Host    string   `json:"host"`
	Paths   []string `json:"paths"`             // shapes of paths: words, :any for any other segment, * for whatever follows
	More    int      `json:"more_paths"`        // how many more shapes there are
	Methods []string `json:"methods,omitempty"` // "*" for every one, nil for those that no route names
	Who     string   `json:"who"`
	From    string   `json:"from"`
	To      string   `json:"to"`
	Before  string   `json:"before,omitempty"` // the place of the rule; "" for none
	After   string   `json:"after,omitempty"`
	Example Example  `json:"example"`

	before, after *policies.HostPolicy
	space         *space
	difference    difference
	sides         [2]side
	ambiguity     request.Ambiguity
}

// An Example is one request of a class.
type Example struct {
	Method  string           `json:"method"`
	URL     string           `json:"url"`
	As      *ExampleIdentity `json:"as,omitempty"` // nil if anonymous
	IP      string           `json:"ip,omitempty"`
	Origin  string           `json:"origin,omitempty"` // of the page that sends it, where that is of another site
	Given   []string         `json:"given,omitempty"`  // what expressions have to come to, which no example can be made for
	Request policies.Request `json:"-"`
}

// An ExampleIdentity is somebody as tests write them.
type ExampleIdentity struct {
	User    string         `json:"user"`
	Issuer  string         `json:"issuer"`
	Roles   []string       `json:"roles,omitempty"`
	Email   string         `json:"email,omitempty"`
	AMR     []string       `json:"amr,omitempty"`
	Claims  map[string]any `json:"claims,omitempty"`
	AuthAge string         `json:"auth_age,omitempty"`
	MFAAge  string         `json:"mfa_age,omitempty"`
	By      string         `json:"by"`
}

// An ExpressionChange is a route whose expressions are others than before: what they come to is not known before a request comes.
type ExpressionChange struct {
	Host    string   `json:"host"`
	Pattern string   `json:"pattern"`
	Methods []string `json:"methods,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Added   []string `json:"added,omitempty"`
	Place   string   `json:"place"`
}

// An OptionChange is something that a route, or a host, says beside who may.
type OptionChange struct {
	Host    string   `json:"host"`
	Pattern string   `json:"pattern,omitempty"` // "" where it is about the host
	Methods []string `json:"methods,omitempty"`
	Option  string   `json:"option"`
	From    string   `json:"from"`
	To      string   `json:"to"`
	Place   string   `json:"place"`
}

// A Report is how two sets of policies differ.
type Report struct {
	Changes     []Change           `json:"changes"`
	Expressions []ExpressionChange `json:"expressions"`
	Options     []OptionChange     `json:"options"`
	Incomplete  []string           `json:"incomplete"` // routes with too many cases to look at all of them
}

// A differ compares two policies of a host.
type differ struct {
	report        *Report
	name          string
	host          request.Host
	before, after *policies.HostPolicy
	newMethods    []string // that only one of them knows
	sides         map[[2]side][]*Change
}

// everyMethod stands in a list of methods where no route of a pattern names any.
const everyMethod = "*"

// A methodGroup is methods that the same routes take on both sides.
type methodGroup struct {
	methods []string // nil for those that no route names
	example string
	unsafe  string // one that may change something; "" for none
}
