package policies

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// optionsSyntax is what stands on a route, or under defaults: for every route that does not say otherwise.
type optionsSyntax struct {
	Bearer         *bearerSyntax  `yaml:"bearer"`          // only: a cookie does not count, only a Bearer token (on a route); pass: beside a good cookie, one of nobody's known goes on to the backend; verify for the ordinary
	CSRF           *csrfSyntax    `yaml:"csrf"`            // origins whose forms may be posted with a cookie
	Rate           *rateSyntax    `yaml:"rate"`            // how often: 10/m per user, per ip or per route; none for no limit
	MaxBody        *sizeSyntax    `yaml:"max_body"`        // the longest body, 1MiB; none for no limit of the route's own
	Timeout        *timeoutSyntax `yaml:"timeout"`         // how long the answer's header may take, 10s; none for the upstream's own
	StripPrefix    *word          `yaml:"strip_prefix"`    // the first segments of the pattern, which the backend does not see
	RewriteHost    *word          `yaml:"rewrite_host"`    // the host that the backend is asked for; none for the public one
	Headers        *headersSyntax `yaml:"headers"`         // headers to set or remove, on the way in and out
	WebSocket      *bool          `yaml:"websocket"`       // a WebSocket handshake is forwarded
	Mode           *word          `yaml:"mode"`            // shadow: the route decides nothing, and what it would decide is recorded
	OnStale        *allowed       `yaml:"on_stale"`        // allow: served even while revocations cannot be learnt
	MethodOverride *passed        `yaml:"method_override"` // pass: X-HTTP-Method-Override and its like reach the backend
	EncodedSlash   *allowed       `yaml:"encoded_slash"`   // allow: the path may hold %2F inside a segment
	DoubleSlash    *allowed       `yaml:"double_slash"`    // allow: the path may hold several slashes in a row
	Semicolon      *allowed       `yaml:"semicolon"`       // allow: the path may hold parameters behind a semicolon
	EncodedHash    *allowed       `yaml:"encoded_hash"`    // allow: the path may hold %23 inside a segment
	DoubleEncoding *allowed       `yaml:"double_encoding"` // allow: the path may hold %252F, %255C or %2523, which decoded twice are a slash, a backslash or #

	EncodedBackslash    *allowed `yaml:"encoded_backslash"`     // allow: the path may hold %5C inside a segment
	DefaultCacheControl *word    `yaml:"default_cache_control"` // private: added where the backend sends neither Cache-Control nor Expires; none; default: private for whoever is signed in, but on public routes
	ConnectionAuth      *allowed `yaml:"connection_auth"`       // allow: Authorization by Negotiate, NTLM or CredSSP may log in a connection to the backend, which is then this client's alone
	Streams             *kept    `yaml:"streams"`               // keep: neither a sign-out nor a reload ends a WebSocket or another request under way; end for the ordinary
	Stream              *bool    `yaml:"stream"`                // no body is held or read ahead, either way, whatever the upstream's buffer says
}

var optionKeys = []string{
	"bearer", "csrf", "rate", "max_body", "timeout", "strip_prefix", "rewrite_host", "headers", "websocket", "mode", "on_stale",
	"method_override", "encoded_slash", "double_slash", "semicolon", "encoded_hash", "double_encoding", "encoded_backslash", "default_cache_control", "connection_auth",
	"streams", "stream",
}

type (
	bearerSyntax struct {
		at   strictyaml.Place
		word string // only, pass or verify
	}

	csrfSyntax struct {
		Place  strictyaml.Place
		Exempt []word `yaml:"exempt,required"` // origins, listed one by one
	}

	rateSyntax struct {
		at   strictyaml.Place
		none bool
		rate Rate
	}

	sizeSyntax struct {
		at   strictyaml.Place
		none bool
		size strictyaml.Size
	}

	timeoutSyntax struct {
		at      strictyaml.Place
		none    bool
		timeout strictyaml.Duration
	}

	headersSyntax struct {
		Place    strictyaml.Place
		Request  *editsSyntax `yaml:"request"`  // of the request to the backend
		Response *editsSyntax `yaml:"response"` // of the answer to the client
	}

	editsSyntax struct {
		Place  strictyaml.Place
		Set    *settingsSyntax `yaml:"set"`    // names and values, in place of what was there
		Remove []word          `yaml:"remove"` // names; removed first
	}

	// settingsSyntax are header fields in the order of the file.
	settingsSyntax []settingSyntax

	settingSyntax struct{ name, value word }
)

// withDefaults puts the options of a route over those of its file.
func (o optionsSyntax) withDefaults(defaults *optionsSyntax) optionsSyntax {
	if defaults == nil {
		return o
	}
	return optionsSyntax{
		Bearer: orDefault(o.Bearer, defaults.Bearer), CSRF: orDefault(o.CSRF, defaults.CSRF), Rate: orDefault(o.Rate, defaults.Rate),
		MaxBody: orDefault(o.MaxBody, defaults.MaxBody), Timeout: orDefault(o.Timeout, defaults.Timeout),
		StripPrefix: orDefault(o.StripPrefix, defaults.StripPrefix), RewriteHost: orDefault(o.RewriteHost, defaults.RewriteHost),
		Headers: orDefault(o.Headers, defaults.Headers), WebSocket: orDefault(o.WebSocket, defaults.WebSocket),
		Mode: orDefault(o.Mode, defaults.Mode), OnStale: orDefault(o.OnStale, defaults.OnStale),
		MethodOverride: orDefault(o.MethodOverride, defaults.MethodOverride),
		EncodedSlash:   orDefault(o.EncodedSlash, defaults.EncodedSlash),
		DoubleSlash:    orDefault(o.DoubleSlash, defaults.DoubleSlash), Semicolon: orDefault(o.Semicolon, defaults.Semicolon),
		EncodedHash:    orDefault(o.EncodedHash, defaults.EncodedHash),
		DoubleEncoding: orDefault(o.DoubleEncoding, defaults.DoubleEncoding), EncodedBackslash: orDefault(o.EncodedBackslash, defaults.EncodedBackslash),
		DefaultCacheControl: orDefault(o.DefaultCacheControl, defaults.DefaultCacheControl),
		ConnectionAuth:      orDefault(o.ConnectionAuth, defaults.ConnectionAuth),
		Streams:             orDefault(o.Streams, defaults.Streams),
		Stream:              orDefault(o.Stream, defaults.Stream),
	}
}

func orDefault[T any](own, otherwise *T) *T {
	if own != nil {
		return own
	}
	return otherwise
}

// permittedAmbiguities are the ambiguous spellings that a route permits.
func (o *optionsSyntax) permittedAmbiguities() (permitted request.Ambiguity) {
	for _, permission := range []struct {
		allowed   *allowed
		ambiguity request.Ambiguity
	}{
		{o.EncodedSlash, request.EncodedSlash},
		{o.DoubleSlash, request.DoubleSlash},
		{o.Semicolon, request.Semicolon},
		{o.EncodedHash, request.EncodedHash},
		{o.DoubleEncoding, request.DoubleEncoding},
		{o.EncodedBackslash, request.EncodedBackslash},
	} {
		if isTrue(permission.allowed) {
			permitted |= permission.ambiguity
		}
	}
	return permitted
}

// isTrue reports whether a switch is given and on.
func isTrue[T ~bool](b *T) bool { return b != nil && bool(*b) }

// isNone reports whether the word none stands there, with which a route takes back a default.
func isNone(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Value == "none" }

// DecodeYAML takes the words only, pass and verify.
func (b *bearerSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	b.at = d.Place(n)
	switch {
	case n.Kind == yaml.ScalarNode && (n.Value == "only" || n.Value == "pass" || n.Value == "verify"):
		b.word = n.Value
	default:
		d.Errorf(n, "the values that can stand here are only, pass, and verify, which is the default")
	}
}

// is reports whether that word stands there.
func (b *bearerSyntax) is(word string) bool { return b != nil && b.word == word }

const maxRateEvents = 1_000_000

// DecodeYAML takes the text of a rate, "10/m per user".
func (r *rateSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	r.at = d.Place(n)
	if r.none = isNone(n); r.none {
		return
	}
	var text string
	if !d.Decode(n, &text) {
		return
	}
	amount, by, _ := strings.Cut(text, " per ")
	rate, err := gcra.ParseRate(amount)
	r.rate = Rate{Rate: rate, By: RateBy(by)}
	switch {
	case rate.Events > maxRateEvents:
		d.Errorf(n, "a rate counts at most %d, found %q", maxRateEvents, d.Written(n))
	case err != nil, by != string(PerUser) && by != string(PerIP) && by != string(PerRoute):
		d.Errorf(n, "a rate is written 10/m per user: a number, s, m, h or d, and per user, ip or route; found %q", d.Written(n))
	}
}

// DecodeYAML takes a size that is not nothing.
func (s *sizeSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	s.at = d.Place(n)
	if s.none = isNone(n); s.none {
		return
	}
	if d.Decode(n, &s.size) && s.size == 0 {
		d.Errorf(n, "no body at all would pass; choose methods that have none, or write none for no limit")
	}
}

// DecodeYAML takes a duration that is not nothing.
func (t *timeoutSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	t.at = d.Place(n)
	if t.none = isNone(n); t.none {
		return
	}
	if d.Decode(n, &t.timeout) && t.timeout == 0 {
		d.Errorf(n, "no backend answers in 0s; write none for no limit of the route's own")
	}
}

// DecodeYAML takes a map of names to values.
func (s *settingsSyntax) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	var values map[string]word
	if !d.Decode(n, &values) {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		*s = append(*s, settingSyntax{word{key.Value, d.Place(key)}, values[key.Value]})
	}
}

// Settings that are off unless one word stands there; a second word takes back a default.
type (
	allowed bool
	passed  bool
	kept    bool
	only    bool
)

// DecodeYAML takes the words allow and refuse.
func (a *allowed) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	*a = allowed(decodeSwitch(d, n, "allow", "refuse"))
}

// DecodeYAML takes the words pass and drop.
func (p *passed) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	*p = passed(decodeSwitch(d, n, "pass", "drop"))
}

// DecodeYAML takes the words keep and end.
func (k *kept) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	*k = kept(decodeSwitch(d, n, "keep", "end"))
}

// DecodeYAML takes the word only.
func (o *only) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	*o = only(decodeSwitch(d, n, "only", ""))
}

func decodeSwitch(d *strictyaml.Decoder, n *yaml.Node, on, off string) bool {
	switch {
	case n.Kind == yaml.ScalarNode && n.Value == on:
		return true
	case n.Kind == yaml.ScalarNode && n.Value == off && off != "":
	case off == "":
		d.Errorf(n, "the only value that can stand here is %s; leave the key out for the default", on)
	default:
		d.Errorf(n, "the values that can stand here are %s, and %s, which is the default", on, off)
	}
	return false
}
