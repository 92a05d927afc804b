package policies

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A File is a policy file that somebody has read.
type File struct {
	Name string // as errors name it
	Data []byte
}

// Options are what a policy may name, and must agree with.
type Options struct {
	Domain     string   // parent domain of the SSO cookie
	LoginHost  string   // of the built-in login; "" where there is none
	PublicPort int      // of origins that name none
	Upstreams  []string // names
	Issuers    []string // names; our own is "vilogate"

	// Standalone means that the configuration is not known: any name of an upstream or issuer will do, and any host. It is for
	// tools that look at a folder of policies by itself.
	Standalone bool
}

// A Set is all policies, compiled and tested. It is never written again, and safe for concurrent use.
type Set struct {
	publicPort int
	exact      map[string]*HostPolicy
	wildcard   map[string]*HostPolicy // by what follows "*."
	loginHost  string                 // which no policy is asked about
}

func newSet(o Options) *Set {
	return &Set{exact: map[string]*HostPolicy{}, wildcard: map[string]*HostPolicy{}, loginHost: o.LoginHost, publicPort: o.PublicPort}
}

// A HostPolicy is the policy of one host, or of all hosts that a pattern names.
type HostPolicy struct {
	Host     string // as the file names it, "*.preview.viloforge.com" too
	Upstream string
	Place    strictyaml.Place
	CORS     *CORS // nil where the file has none
	TLS      *TLS  // nil where the file asks for nothing

	// Shadow is the policy of this host as it would be were its routes with mode: shadow live: nil where there are none.
	Shadow *HostPolicy

	publicPort int
	paths      string // "", caseSensitive or caseInsensitive
	root       node
	routes     []*Route // in the order of the file, those of the shadow too
	extensions []string // methods of routes that not every host takes
	rules      map[string]*Condition
}

// The values of paths:.
const (
	caseSensitive   = "case-sensitive"
	caseInsensitive = "case-insensitive"
)

// FoldsCase reports whether paths are compared without regard to case.
func (h *HostPolicy) FoldsCase() bool { return h.paths == caseInsensitive }

// Paths is what the file says under paths:, or "".
func (h *HostPolicy) Paths() string { return h.paths }

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

// Lookup is the policy of a host: that of its very name, else that of all names beside it; nil where there is none, and
// for the login host.
func (s *Set) Lookup(h request.Host) *HostPolicy {
	if string(h) == s.loginHost && h != "" {
		return nil
	}
	if p := s.exact[string(h)]; p != nil {
		return p
	}
	_, parent, _ := strings.Cut(string(h), ".")
	return s.wildcard[parent]
}

// Policy is the policy that stands under a name of Hosts; nil where there is none.
func (s *Set) Policy(name string) *HostPolicy {
	if parent, ok := strings.CutPrefix(name, "*."); ok {
		return s.wildcard[parent]
	}
	return s.exact[name]
}

// Hosts are the hosts that have a policy, as the files name them, sorted.
func (s *Set) Hosts() []string {
	hosts := slices.Collect(maps.Keys(s.exact))
	for parent := range s.wildcard {
		hosts = append(hosts, "*."+parent)
	}
	slices.Sort(hosts)
	return hosts
}

// A compiler collects what is wrong.
type compiler struct {
	o    Options
	errs strictyaml.Errors

	env   *cel.Env              // made for the first expression
	rules map[string]*namedRule // of the file
}

func (c *compiler) errorf(at strictyaml.Place, format string, a ...any) {
	c.errs = append(c.errs, &strictyaml.Error{Place: at, Msg: fmt.Sprintf(format, a...)})
}

// checkKnown checks that a word is one of those that the configuration names.
func (c *compiler) checkKnown(w word, kind string, names []string) {
	near := strictyaml.Nearest(w.text, names)
	switch {
	case slices.Contains(names, w.text), c.o.Standalone && (kind == "upstream" || kind == "issuer"):
	case near != "":
		c.errorf(w.at, "unknown %s %q, did you mean %q?", kind, w.text, near)
	case len(names) == 0:
		c.errorf(w.at, "unknown %s %q: the configuration names none", kind, w.text)
	default:
		c.errorf(w.at, "unknown %s %q, expected one of: %s", kind, w.text, strings.Join(slices.Sorted(slices.Values(names)), ", "))
	}
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
	h := &HostPolicy{Upstream: f.Upstream.text, Place: f.Host.at, publicPort: c.o.PublicPort}
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
