package policies

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A File is a policy file that somebody has read.
type File struct {
	Name string // as errors name it
	Data []byte
}

// Compile compiles the files as one, and runs the tests in them; files of tests alone (*_test.yaml) are left out. It is all
// or nothing: the error is a strictyaml.Errors with everything that is wrong in any of them.
func Compile(files []File, o Options) (*Set, error) {
	c := &compiler{o: o}
	s := newSet(o)
	for _, f := range files {
		if IsTestFile(f.Name) {
			continue
		}
		h, tests := c.file(f)
		if h == nil {
			continue
		}
		c.addHost(s, h)
		for i := range tests {
			if r := tests[i].run(h); r.Failure != "" {
				c.errorf(r.Place, "the test failed: %s: %s", r.Name, r.Failure)
			}
		}
	}
	if err := c.errs.Sorted(); err != nil {
		return nil, err
	}
	return s, nil
}

// file compiles one file and its tests; nil where something is wrong with it.
func (c *compiler) file(f File) (*HostPolicy, []test) {
	var syntax fileSyntax
	if !c.decode(f, &syntax) {
		return nil, nil
	}
	before := len(c.errs)
	h := c.host(&syntax)
	var tests []test
	if len(c.errs) == before {
		tests = c.tests(h, syntax.Tests)
	}
	if len(c.errs) > before {
		return nil, nil
	}
	return h, tests
}

// maxFile bounds a policy file; 100,000 routes are about half of it.
const maxFile = 16 << 20

// decode reads the syntax of a file, and reports whether nothing is wrong with that.
func (c *compiler) decode(f File, into any) bool {
	err := strictyaml.Decode(f.Name, f.Data, into, strictyaml.WithMaxBytes(maxFile))
	if err == nil {
		return true
	}
	var errs strictyaml.Errors
	if !errors.As(err, &errs) {
		errs = strictyaml.Errors{{Place: strictyaml.Place{File: f.Name, Line: 1, Column: 1}, Msg: err.Error()}}
	}
	c.errs = append(c.errs, errs...)
	return false
}

func (c *compiler) host(f *fileSyntax) *HostPolicy {
	h := &HostPolicy{Upstream: f.Upstream.text, Place: f.Host.at, publicPort: c.o.PublicPort, Acknowledged: acknowledged(f.Acknowledge)}
	c.checkKnown(f.Upstream, "upstream", c.o.Upstreams)
	if h.paths = f.Paths.text; f.Paths.at.Line > 0 {
		c.checkKnown(f.Paths, "way to compare paths", []string{caseInsensitive, caseSensitive})
	}
	if f.CORS != nil && !f.CORS.none {
		h.CORS = c.cors(f.CORS)
	}
	if f.TLS != nil {
		h.TLS = c.tls(f.TLS)
	}
	if len(f.Routes) == 0 {
		c.errorf(f.Place, "there is no route: every path would be refused")
	}
	if f.Defaults != nil && f.Defaults.Bearer.is("only") {
		c.errorf(f.Defaults.Bearer.at, "bearer: only stands on a route; under defaults: it is pass or verify")
	}
	h.rules = c.compileRules(f.Rules)
	var cookie *Route // one of the routes that cannot do without
	for i := range f.Routes {
		r := c.route(h, &f.Routes[i], f.Defaults)
		if cookie == nil && r.requiresCookie() {
			cookie = r
		}
	}
	h.Host = c.hostName(f.Host, cookie)
	c.buildTrees(h)
	return h
}

// compileRules makes the rules of a file ready to be used, and compiles them all: one that nobody uses is to be right too.
func (c *compiler) compileRules(rules map[string]*conditionsSyntax) map[string]*Condition {
	compiled := map[string]*Condition{}
	c.rules = make(map[string]*namedRule, len(rules))
	for name, syntax := range rules {
		c.rules[name] = &namedRule{syntax: syntax}
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if !isName(strings.ReplaceAll(name, "-", "_")) {
			c.errorf(rules[name].Place, "the name of a rule is of letters, digits, - and _, found %q", name)
		}
		compiled[name] = c.namedRule(word{name, rules[name].Place})
	}
	return compiled
}

// hostName checks the name of the host. One outside the domain never gets the SSO cookie.
func (c *compiler) hostName(w word, cookie *Route) string {
	name, wildcard := strings.CutPrefix(w.text, "*.")
	parsed, err := request.ParseHost(name)
	name = string(parsed)
	switch {
	case strings.Contains(w.text, "://") || strings.ContainsAny(w.text, ":/"):
		c.errorf(w.at, "%q: a host stands without scheme, port and path", w.text)
	case strings.Contains(strings.TrimPrefix(w.text, "*."), "*"):
		c.errorf(w.at, `%q: a * stands for the whole first label only, as in "*.preview.viloforge.com"`, w.text)
	case err != nil:
		c.errorf(w.at, "%q: %v", w.text, err)
	case name == c.o.LoginHost && name != "" && !wildcard:
		c.errorf(w.at, "%s is the login host: it is built in, always public, and has no policy", name)
	case cookie != nil && !c.o.Standalone && name != c.o.Domain && !strings.HasSuffix(name, "."+c.o.Domain):
		c.errorf(w.at, "%s does not lie under %s, so that the sign-in cookie never arrives; the route at %s needs it: "+
			"make every route public, or write bearer: only", w.text, c.o.Domain, cookie.Place)
	}
	if wildcard {
		return "*." + name
	}
	return name
}

// addHost puts a host into the set, once.
func (c *compiler) addHost(s *Set, h *HostPolicy) {
	hosts, name := s.exact, h.Host
	if parent, ok := strings.CutPrefix(h.Host, "*."); ok {
		hosts, name = s.wildcard, parent
	}
	if other := hosts[name]; other != nil {
		c.errorf(h.Place, "%s has a policy already, at %s; a host has one file", h.Host, other.Place)
		return
	}
	hosts[name] = h
}

// buildTrees puts the routes into the trees: the live one, and where a route is in the shadow, the one as it would be.
func (c *compiler) buildTrees(h *HostPolicy) {
	shadow := *h
	for _, r := range h.routes {
		if r.Shadow {
			c.addToTree(&shadow.root, r)
			h.Shadow = &shadow
		} else {
			c.addToTree(&h.root, r)
			h.extensions = appendExtensions(h.extensions, r)
		}
		shadow.extensions = appendExtensions(shadow.extensions, r)
	}
	h.root.checkOverrides(c)
	if h.Shadow == nil {
		return
	}
	for _, r := range h.routes { // behind those of the shadow, whose methods they lose
		if r.Shadow || r.segments == nil {
			continue
		}
		if l := shadow.root.leaf(r.segments); !l.coversMethodsOf(r) {
			l.add(r)
		}
	}
	shadow.root.checkOverrides(c)
}

// appendExtensions adds the methods of a route that not every host takes.
func appendExtensions(methods []string, r *Route) []string {
	for _, method := range r.methods {
		if !request.IsKnownMethod(method) && !slices.Contains(methods, method) {
			methods = append(methods, method)
		}
	}
	return methods
}

// checkOverrides refuses method_override: pass where the method matters, to the route or to others of its pattern: a header
// would choose behind the gateway what the gateway refuses or another route decides.
func (n *node) checkOverrides(c *compiler) {
	for _, l := range []*leaf{n.terminal, n.catchAll} {
		if l == nil {
			continue
		}
		for _, r := range l.routes {
			switch {
			case !r.MethodOverridePass:
			case r.methods != nil:
				at := strictyaml.Error{Place: r.Place, Msg: "method_override: pass would let a header ask for methods that the route does not take; leave out methods, or method_override"}
				if !slices.ContainsFunc(c.errs, func(e *strictyaml.Error) bool { return *e == at }) { // the shadow has it too
					c.errs = append(c.errs, &at)
				}
			case len(l.routes) > 1:
				c.errorf(r.Place, "method_override: pass would let a header choose among the routes of %q, which differ by method", r.Pattern)
			}
		}
	}
	for _, next := range n.literals {
		next.checkOverrides(c)
	}
	if n.param != nil {
		n.param.checkOverrides(c)
	}
}

// testSuffix ends the names of files of tests, which stand beside the policy file of the same name.
const testSuffix = "_test.yaml"

// IsTestFile reports whether a file holds tests alone. They are run by Test, and no part of what goes live.
func IsTestFile(name string) bool { return strings.HasSuffix(name, testSuffix) }
