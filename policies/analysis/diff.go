package analysis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// Diff compares two sets of policies. Changes are all there are, for everything that is not an expression; an expression
// with the same text is taken to come to the same. What is refused either way, by 403, 404, 405, 501 or 400, is no change. That a host
// which folds case refuses letters that fold into ASCII is told by the option paths. Of paths that
// servers could take for another route's (Match.Divergence) only those are compared that neither side refuses for it.
func Diff(before, after *policies.Set) Report {
	r := Report{Changes: []Change{}, Expressions: []ExpressionChange{}, Options: []OptionChange{}, Incomplete: []string{}}
	names := append(before.Hosts(), after.Hosts()...)
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		example := exampleHost(name, names)
		d := &differ{report: &r, name: name, host: example, before: before.Lookup(example), after: after.Lookup(example), sides: map[[2]side][]*Change{}}
		d.run()
	}
	return r
}

// exampleHost is a host that a name of a policy stands for, and no other name does better.
func exampleHost(name string, names []string) request.Host {
	parent, wildcard := strings.CutPrefix(name, "*.")
	if !wildcard {
		return request.Host(name)
	}
	for i := 0; ; i++ {
		if host := fmt.Sprintf("any%d.%s", i, parent); !slices.Contains(names, host) {
			return request.Host(host)
		}
	}
}

func (d *differ) run() {
	d.hostOptions()
	d.newMethods = d.methodsOfOne()
	for _, class := range pathClasses(d.before, d.after) {
		for _, group := range d.methodGroups(class) {
			b, a := d.side(d.before, class.before, group.example), d.side(d.after, class.after, group.example)
			d.compare(class, group, b, a)
			d.ambiguityChanges(class, group, b, a)
			d.options(group, b.route, a.route)
		}
	}
}

// side is what decides about a method of a pattern.
func (d *differ) side(h *policies.HostPolicy, routes []*policies.Route, method string) side {
	if h == nil || !h.Implements(method) {
		return side{refused: true}
	}
	s := side{allPublic: len(routes) > 0}
	for _, r := range routes {
		if r.AllowsMethod(method) {
			return side{route: r}
		}
		s.allPublic = s.allPublic && r.Public()
	}
	return s
}

// methodGroups sorts the methods that some route of a class names or only one of the hosts knows, and one for all others.
func (d *differ) methodGroups(class *pathClass) (groups []methodGroup) {
	routes := append(slices.Clone(class.before), class.after...)
	var named []string
	for _, r := range routes {
		named = append(named, r.Methods()...)
	}
	named = append(named, d.newMethods...)
	slices.Sort(named)
	named = slices.Compact(named)
	index := map[string]int{}
	for _, method := range named {
		key := takingRoute(d.before, class.before, method) + "|" + takingRoute(d.after, class.after, method)
		if at, known := index[key]; known {
			groups[at].methods = append(groups[at].methods, method)
			continue
		}
		index[key] = len(groups)
		groups = append(groups, methodGroup{methods: []string{method}, example: method})
	}
	for i, group := range groups {
		if at := slices.IndexFunc(group.methods, func(method string) bool { return !request.IsSafe(method) }); at >= 0 {
			groups[i].unsafe = group.methods[at]
		}
	}
	if len(named) == 0 {
		return []methodGroup{{[]string{everyMethod}, "GET", "POST"}}
	}
	var other methodGroup
	for _, method := range request.Methods() {
		if slices.Contains(named, method) {
			continue
		}
		if other.example == "" {
			other.example = method
		}
		if other.unsafe == "" && !request.IsSafe(method) {
			other.unsafe = method
		}
	}
	if other.example == "" {
		return groups
	}
	return append(groups, other)
}

// methodsOfOne are the methods that only one of the hosts knows.
func (d *differ) methodsOfOne() (methods []string) {
	if d.before == nil || d.after == nil {
		return nil
	}
	for _, r := range append(slices.Clone(d.before.Routes()), d.after.Routes()...) {
		for _, method := range r.Methods() {
			if d.before.Implements(method) != d.after.Implements(method) && !slices.Contains(methods, method) {
				methods = append(methods, method)
			}
		}
	}
	return methods
}

// takingRoute tells which of the routes takes a method; none where the host does not know it.
func takingRoute(h *policies.HostPolicy, routes []*policies.Route, method string) string {
	if h != nil && !h.Implements(method) {
		return "unknown"
	}
	return fmt.Sprint(slices.IndexFunc(routes, func(r *policies.Route) bool { return r.AllowsMethod(method) }))
}

// compare reports about whom two sides differ. What two routes differ about is the same wherever they meet.
func (d *differ) compare(class *pathClass, group methodGroup, b, a side) {
	key := [2]side{b, a}
	if sameDecision(b, a) {
		return
	}
	s := newSpace(b, a)
	differences, complete := s.compare(b, a)
	if !complete {
		d.report.Incomplete = append(d.report.Incomplete, d.name+" "+class.shapes[0].String())
	}
	for _, difference := range differences {
		c := d.change(class, group, key)
		c.Who, c.From, c.To = s.describe(difference.who), difference.from.String(), difference.to.String()
		c.space, c.difference = s, difference
		d.finish(c, class.shapes[0].example(d.before, d.after), group.example, s.example(difference.who))
	}
	d.crossSiteChanges(class, group, b, a)
	d.expressionChanges(group, b.route, a.route)
}

// crossSiteChanges reports about whom two sides differ where a request is cross-site (CSRF). A public route takes it as nobody's, and every
// other refuses what it would allow.
func (d *differ) crossSiteChanges(class *pathClass, group methodGroup, b, a side) {
	if b.route == nil || a.route == nil || b.route.Public() == a.route.Public() || group.unsafe == "" {
		return
	}
	s := newSpace(b, a)
	s.addCrossSite()
	differences, complete := s.compare(b, a)
	if !complete {
		d.report.Incomplete = append(d.report.Incomplete, d.name+" "+class.shapes[0].String())
	}
	for _, difference := range differences {
		if difference.who[s.crossSiteVar] != 1 {
			continue // it is there already, whoever's the request is
		}
		c := d.change(class, group, [2]side{b, a})
		c.Methods = slices.DeleteFunc(slices.Clone(c.Methods), request.IsSafe)
		c.Who, c.From, c.To = s.describe(difference.who), difference.from.String(), difference.to.String()
		c.space, c.difference = s, difference
		d.finish(c, class.shapes[0].example(d.before, d.after), group.unsafe, s.example(difference.who))
	}
}

// sameDecision reports whether two sides are written alike, as most are.
func sameDecision(b, a side) bool {
	if b.route == nil || a.route == nil {
		return b == a
	}
	return b.route.Public() == a.route.Public() && b.route.DeniesAll() == a.route.DeniesAll() && b.route.Optional == a.route.Optional &&
		equalConditions(b.route.Condition(), a.route.Condition(), b.route, a.route)
}

// equalConditions reports whether two conditions, of these routes, ask the same in the same words.
func equalConditions(b, a *policies.Condition, was, is *policies.Route) bool {
	if b == nil || a == nil {
		return b == a
	}
	return b.Kind == a.Kind && b.Claim == a.Claim && b.Age == a.Age && meaning(b, was) == meaning(a, is) && slices.Equal(b.Words, a.Words) &&
		slices.Equal(b.Values, a.Values) && slices.Equal(b.Networks, a.Networks) &&
		slices.EqualFunc(b.Of, a.Of, func(b, a *policies.Condition) bool { return equalConditions(b, a, was, is) })
}

func (d *differ) change(class *pathClass, group methodGroup, sides [2]side) *Change {
	c := &Change{Host: d.name, More: class.more, Methods: group.methods, before: d.before, after: d.after, sides: sides}
	for _, s := range class.shapes {
		c.Paths = append(c.Paths, s.String())
	}
	if sides[0].route != nil {
		c.Before = sides[0].route.Place.String()
	}
	if sides[1].route != nil {
		c.After = sides[1].route.Place.String()
	}
	return c
}

func (d *differ) finish(c *Change, path, method string, p *person) {
	c.Example = Example{Method: method, URL: "https://" + string(d.host) + path, Request: policies.Request{
		Method: method, Host: string(d.host), Target: path, Client: p.client, Now: p.now, Identity: p.identity(),
		Header: policies.Fields{"Sec-Fetch-Site": {"same-origin"}},
	}}
	if p.crossSite {
		c.Example.Origin = "https://elsewhere.invalid"
		c.Example.Request.Header = policies.Fields{"Sec-Fetch-Site": {"cross-site"}, "Origin": {c.Example.Origin}}
	}
	if p.client.IsValid() {
		c.Example.IP = p.client.String()
	}
	for _, text := range sortedKeys(p.expressions) {
		c.Example.Given = append(c.Example.Given, text+map[policies.Truth]string{
			policies.True: " is true", policies.False: " is not true", policies.Unknown: " has no answer",
		}[p.expressions[text]])
	}
	c.Example.As = describeIdentity(p)
	d.report.Changes = append(d.report.Changes, *c)
}

// ambiguityChanges reports ambiguous spellings of the path that one side permits and the other refuses.
func (d *differ) ambiguityChanges(class *pathClass, group methodGroup, b, a side) {
	if d.before == nil || d.after == nil {
		return
	}
	permits := func(s side) request.Ambiguity {
		if s.route == nil {
			return 0
		}
		return s.route.PermittedAmbiguities()
	}
	refused := side{refused: true}
	for ambiguity := request.Ambiguity(1); ambiguity <= request.AllAmbiguities; ambiguity <<= 1 {
		was, is := permits(b)&ambiguity != 0, permits(a)&ambiguity != 0
		if was == is {
			continue
		}
		from, to := b, refused
		taken := func(p request.Path) bool { return takes(d.before, b.route, p, group.example) }
		if is {
			from, to = refused, a
			taken = func(p request.Path) bool { return takes(d.after, a.route, p, group.example) }
		}
		path := class.ambiguousExample(d.before, d.after, ambiguity, taken)
		if path == "" {
			continue
		}
		s := newSpace(from, to)
		differences, _ := s.compare(from, to)
		for _, difference := range differences {
			c := d.change(class, group, [2]side{b, a})
			c.space, c.difference, c.ambiguity = s, difference, ambiguity
			c.Who = s.describe(difference.who) + ", where the path has " + ambiguityNames[ambiguity]
			if c.From, c.To = refusalOf(b), difference.to.String(); was {
				c.From, c.To = difference.from.String(), refusalOf(a)
			}
			d.finish(c, path, group.example, s.example(difference.who))
		}
	}
}

// takes reports whether a route of a host takes a path as it is spelt.
func takes(h *policies.HostPolicy, r *policies.Route, p request.Path, method string) bool {
	m := h.Match(p, method)
	return m.Route == r && m.Ambiguities == 0 && m.Divergence == ""
}

// refusalOf is what becomes of a path whose spelling a side does not permit.
func refusalOf(s side) string {
	if s.refused {
		return policies.Deny.String()
	}
	return policies.BadRequest.String()
}

var ambiguityNames = map[request.Ambiguity]string{
	request.EncodedSlash: "an encoded slash", request.DoubleSlash: "a double slash", request.Semicolon: "a semicolon",
	request.EncodedHash: "an encoded #", request.DoubleEncoding: "double encoding", request.EncodedBackslash: "an encoded backslash",
}

// expressionChanges reports expressions that are on one side only.
func (d *differ) expressionChanges(group methodGroup, b, a *policies.Route) {
	if b == nil || a == nil {
		return
	}
	was, is := expressionsOf(b), expressionsOf(a)
	w := ExpressionChange{Host: d.name, Pattern: a.Pattern, Methods: group.methods, Place: a.Place.String()}
	w.Removed, w.Added = removedExpressions(was, is), removedExpressions(is, was)
	if len(w.Removed)+len(w.Added) > 0 {
		d.report.Expressions = append(d.report.Expressions, w)
	}
}

// expressionsOf are the expressions of a route by their meaning, each with its text.
func expressionsOf(r *policies.Route) map[string]string {
	texts := map[string]string{}
	eachLeaf(r.Condition(), func(c *policies.Condition) {
		if c.Kind == policies.Expression {
			texts[meaning(c, r)] = c.When
		}
	})
	return texts
}

// removedExpressions are the expressions that others do not have; with their meaning, where the text alone does not tell.
func removedExpressions(expressions, others map[string]string) (texts []string) {
	for _, means := range sortedKeys(expressions) {
		if _, there := others[means]; there {
			continue
		}
		text := expressions[means]
		for _, other := range others {
			if other == text {
				text = means
			}
		}
		texts = append(texts, text)
	}
	return texts
}
