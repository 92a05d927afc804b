package policies

import (
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

var tlsVersions = map[string]uint16{"1.2": 0x0303, "1.3": 0x0304}

func (c *compiler) tls(s *tlsSyntax) *TLS {
	t := &TLS{MinVersion: tlsVersions[s.MinVersion.text], ClientCA: s.ClientCA.text, Place: s.Place}
	if s.MinVersion.text != "" && t.MinVersion == 0 {
		c.errorf(s.MinVersion.at, `min_version is "1.2" or "1.3", found %q`, s.MinVersion.text)
	}
	if s.ClientCA.at.Line > 0 {
		t.Place = s.ClientCA.at
	}
	if t.ClientCA == "" && s.ClientCA.at.Line > 0 {
		c.errorf(s.ClientCA.at, "client_ca is the name of a file, and this is empty")
	}
	return t
}

// options compiles what a route says beside who may, with the defaults of its file.
func (c *compiler) options(r *Route, o optionsSyntax) {
	r.WebSocket, r.OnStaleAllow, r.MethodOverridePass = isTrue(o.WebSocket), isTrue(o.OnStale), isTrue(o.MethodOverride)
	r.permittedAmbiguities, r.ConnectionAuth = o.permittedAmbiguities(), isTrue(o.ConnectionAuth)
	r.KeepStreams, r.StreamBodies = isTrue(o.Streams), isTrue(o.Stream)
	if r.BearerPass = o.Bearer.is("pass"); r.BearerPass && r.BearerOnly {
		c.errorf(o.Bearer.at, "bearer: pass is for requests with a cookie, and on the route at %s a cookie is never enough (bearer: only); choose one of them", r.Place)
	}
	if o.Rate != nil && !o.Rate.none {
		r.Rate = &o.Rate.rate
		if r.Rate.By == PerUser && r.Public() {
			c.errorf(o.Rate.at, "on a public route nobody is asked who they are; write per ip or per route")
		}
	}
	if o.MaxBody != nil {
		r.MaxBody = int64(o.MaxBody.size)
	}
	if o.Timeout != nil {
		r.Timeout = o.Timeout.timeout.Std()
	}
	if o.StripPrefix != nil && o.StripPrefix.text != "none" {
		r.StripPrefix, r.stripSegments = c.stripPrefix(r, *o.StripPrefix)
		if r.StripPrefix != "" {
			if p, err := request.ParsePath(r.StripPrefix); err == nil { // else the pattern is none either
				r.ForwardedPrefix = p.String()
			}
		}
	}
	if o.RewriteHost != nil && o.RewriteHost.text != "none" {
		r.RewriteHost = c.rewriteHost(*o.RewriteHost)
	}
	if o.Headers != nil {
		r.Headers = c.headers(o.Headers)
	}
	if o.CSRF != nil {
		r.CSRFExempt = c.csrfExempt(o.CSRF)
	}
	if o.DefaultCacheControl != nil {
		r.DefaultCacheControl = o.DefaultCacheControl.text
		c.checkKnown(*o.DefaultCacheControl, "value of default_cache_control", []string{"private", "none"})
	}
	if o.Mode != nil {
		if r.Shadow = o.Mode.text == "shadow"; !r.Shadow && o.Mode.text != "enforce" {
			c.checkKnown(*o.Mode, "mode", []string{"shadow", "enforce"})
		}
	}
}

// stripPrefix checks that the pattern begins with the prefix, word by word, and counts its segments: the path may spell
// them in more than one way.
func (c *compiler) stripPrefix(r *Route, w word) (prefix string, segments int) {
	fail := func(format string, a ...any) (string, int) {
		c.errorf(w.at, format, a...)
		return "", 0
	}
	prefix = strings.TrimSuffix(w.text, "/")
	switch rest, ok := strings.CutPrefix(r.Pattern, prefix); {
	case !strings.HasPrefix(w.text, "/"):
		return fail("strip_prefix begins with /, found %q", w.text)
	case strings.Contains(prefix, "/:") || strings.Contains(prefix, "/*"):
		return fail("%q: a prefix that is stripped is of words alone, without parameters", w.text)
	case !ok || rest != "" && rest[0] != '/':
		return fail("the pattern %q does not begin with the prefix %q that is to be stripped", r.Pattern, w.text)
	}
	return prefix, strings.Count(prefix, "/")
}

// ForwardPath is the path that the backend is asked for: the canonical one, without the prefix that the route strips. What
// matching leaves out, an empty segment or one of parameters alone, is no segment of the prefix either: else one too few
// would be stripped, and the backend asked for what another route is for. It allocates nothing.
func (r *Route) ForwardPath(p request.Path) string {
	rest := p.String()
	for left := r.stripSegments; left > 0; {
		end := strings.IndexByte(rest[1:], '/') + 1
		if end == 0 {
			return "/"
		}
		if cutPathParameters(rest[1:end]) != "" {
			left--
		}
		rest = rest[end:]
	}
	if r.stripSegments == 0 {
		return rest
	}
	for strings.HasPrefix(rest, "//") { // it would name another host to whoever reads it as a reference
		rest = rest[1:]
	}
	return rest
}

// rewriteHost checks a host that may have a port.
func (c *compiler) rewriteHost(w word) string {
	host, port, err := request.ParseAuthority(w.text)
	switch {
	case strings.Contains(w.text, "/"):
		c.errorf(w.at, "rewrite_host stands without scheme and path, found %q", w.text)
	case err != nil:
		c.errorf(w.at, "rewrite_host is a host, with a port or without one: %v, found %q", err, w.text)
	case port != "":
		return string(host) + ":" + port
	}
	return string(host)
}

// csrfExempt are the origins whose forms may be posted with a cookie.
func (c *compiler) csrfExempt(s *csrfSyntax) []request.Origin {
	var origins []request.Origin
	for _, w := range s.Exempt {
		origin, err := request.ParseOrigin(w.text, c.o.PublicPort)
		switch {
		case strings.Contains(w.text, "*"):
			c.errorf(w.at, "%q: origins that may post with somebody's cookie are listed one by one, without *", w.text)
		case err != nil:
			c.errorf(w.at, "%v", err)
		case slices.Contains(origins, origin):
			c.errorf(w.at, "the origin %s stands in the list twice", origin)
		}
		origins = append(origins, origin)
	}
	return origins
}
