package analysis

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Check looks for what can never happen, and for what is dangerous, in policies that compile. The findings are in the order
// of their places; those that a file acknowledges are left out.
func Check(set *policies.Set) []Finding {
	var all []Finding
	for _, name := range set.Hosts() {
		var c checker
		h := set.Policy(name)
		c.host(h)
		c.acknowledge(h)
		all = append(all, c.findings...)
	}
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Place.File, b.Place.File), a.Place.Line-b.Place.Line, a.Place.Column-b.Place.Column)
	})
	return all
}

func (c *checker) host(h *policies.HostPolicy) {
	used := map[string]bool{}
	live := false
	for _, r := range h.Routes() {
		live = live || !r.Shadow
		c.route = r
		c.unsafePublic(r)
		markUsedRules(r.Condition(), used)
		if condition := r.Condition(); condition != nil {
			c.conditions(side{route: r}, r.Place, condition)
		}
	}
	c.route = nil
	if !live {
		c.add(h.Place, ShadowOnly, "every route is in the shadow: all requests of %s are refused", h.Host)
	}
	c.reachability(h)
	c.caseVariants(h)
	c.hiddenPaths(h)
	for _, name := range sortedKeys(h.Rules()) {
		rule := h.Rules()[name]
		if !used[name] {
			c.add(rule.Place, UnusedRule, "no route uses the rule %s", name)
		}
		c.conditions(side{instead: rule}, rule.Place, rule)
	}
}

// reachability looks for routes that no request reaches, or fewer than they say. Of a live route that has to be so beside the
// routes in the shadow and without them; one in the shadow is looked for where it is live.
func (c *checker) reachability(h *policies.HostPolicy) {
	if h.Shadow == nil {
		c.unreachablePatterns(h.Start(), h)
		return
	}
	var live, shadow checker
	live.unreachablePatterns(h.Start(), h)
	shadow.unreachablePatterns(h.Shadow.Start(), h.Shadow)
	for _, f := range shadow.findings {
		if f.route.Shadow || slices.ContainsFunc(live.findings, func(l Finding) bool { return l.route == f.route && l.Kind == f.Kind }) {
			c.findings = append(c.findings, f)
		}
	}
}

// markUsedRules notes the rules that a condition is made of.
func markUsedRules(condition *policies.Condition, used map[string]bool) {
	if condition == nil {
		return
	}
	if condition.Rule != "" {
		used[condition.Rule] = true
	}
	for _, of := range condition.Of {
		markUsedRules(of, used)
	}
}

func (c *checker) unsafePublic(r *policies.Route) {
	if !r.Public() {
		return
	}
	unsafe := slices.DeleteFunc(slices.Clone(r.Methods()), request.IsSafe)
	switch {
	case r.Methods() == nil:
		c.add(r.Place, UnsafePublic, "%s is public for every method, those that change something too; list the methods", r.Pattern)
	case len(unsafe) > 0:
		c.add(r.Place, UnsafePublic, "%s is public for %s, with which anybody may change something", r.Pattern, strings.Join(unsafe, ", "))
	}
}

// unreachablePatterns looks for routes behind a *rest that a parameter beside it takes everything from: no choice is taken back.
func (c *checker) unreachablePatterns(at policies.Position, h *policies.HostPolicy) {
	if at.Done() {
		return
	}
	if rest, param := at.CatchAll(), at.Param(); len(rest) > 0 && param != "" {
		for _, r := range rest {
			prefix := strings.TrimSuffix(r.Pattern[:strings.LastIndexByte(r.Pattern, '*')], "/")
			if len(at.End()) > 0 && at.End()[0] != rest[0] {
				c.add(r.Place, UnreachableRoute, "no request reaches %s: %s is a route of its own, and what lies below it is taken by the parameter %s of other patterns",
					r.Pattern, cmp.Or(prefix, "/"), param).route = r
				continue
			}
			c.add(r.Place, NarrowedRoute, "%s matches %s alone: what lies below it is taken by the parameter %s of other patterns",
				r.Pattern, cmp.Or(prefix, "/"), param).route = r
		}
	}
	words := at.Literals()
	for _, word := range words {
		c.unreachablePatterns(at.Next(word), h)
	}
	if at.Param() != "" {
		c.unreachablePatterns(at.Next(anyWord(words)), h)
	}
}

// always and never stand in for a condition that is left out, among all and among any.
var (
	always = &policies.Condition{Kind: policies.All}
	never  = &policies.Condition{Kind: policies.Any}
)

// conditions looks for parts of a condition that could as well not be there.
func (c *checker) conditions(whole side, place strictyaml.Place, root *policies.Condition) {
	if whole.route != nil {
		eachLeaf(root, c.networks)
	}
	s := newSpace(side{route: whole.route, instead: root})
	if !s.admits(whole) {
		c.add(place, UnreachableCondition, "nobody can ever be admitted: %s", root.Text).condition = root
		return
	}
	c.parts(s, whole, whole, place, root)
}

// networks looks for networks that lie in others of the same list.
func (c *checker) networks(leaf *policies.Condition) {
	if leaf.Kind != policies.Networks {
		return
	}
	for _, n := range leaf.Networks {
		for _, wider := range leaf.Networks {
			if wider.Bits() < n.Bits() && wider.Contains(n.Addr()) {
				text := fmt.Sprintf("%s lies in %s, which stands in the same list", n, wider)
				if !slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Place == leaf.Place && f.Msg == text }) {
					c.add(leaf.Place, IdleCondition, "%s", text)
				}
			}
		}
	}
}

// parts looks at the parts of a condition, the last first. What is idle makes no difference by itself, and none together with
// what was found to be idle before: of two that say the same, the first one stays. left is what is left of the whole.
func (c *checker) parts(s *space, whole, left side, place strictyaml.Place, parent *policies.Condition) side {
	for i := len(parent.Of) - 1; i >= 0; i-- {
		part := parent.Of[i]
		at := part.Place
		if part.Rule != "" {
			at = place // the rule may well make a difference elsewhere
		}
		if parent.Kind == policies.Not {
			if part.Rule == "" {
				left = c.parts(s, whole, left, place, part)
			}
			continue
		}
		if slices.Index(parent.Of, part) < i { // a rule, twice
			c.addIdle(s, parent, part, at)
			continue
		}
		stand := always
		if parent.Kind == policies.Any {
			stand = never
		}
		if len(parent.Of) > 1 && s.same(whole, whole.without(part, stand)) && s.same(left, left.without(part, stand)) {
			c.addIdle(s, parent, part, at)
			left = left.without(part, stand)
			continue
		}
		if part.Rule == "" {
			left = c.parts(s, whole, left, place, part)
		}
	}
	return left
}

// without is a side with something else in place of a part of its condition.
func (d side) without(part, stand *policies.Condition) side {
	d.instead = replace(d.condition(), part, stand)
	return d
}

func (c *checker) addIdle(s *space, parent, part *policies.Condition, at strictyaml.Place) {
	switch {
	case !s.admits(side{instead: part}):
		c.add(at, UnreachableCondition, "this can never be true: %s", part.Text).condition = part
	case parent.Kind == policies.Any:
		c.add(at, IdleCondition, "nothing would be decided differently without this alternative, whose work others do: %s", part.Text).condition = part
	default:
		c.add(at, IdleCondition, "nothing would be decided differently without this, which holds wherever the rest does: %s", part.Text).condition = part
	}
}

// admits reports whether there could be a request that a side allows, now or after a step-up.
func (s *space) admits(d side) bool {
	differences, complete := s.compare(d, side{refused: true})
	return !complete || slices.ContainsFunc(differences, func(d difference) bool {
		return d.from == policies.Allow || d.from == policies.StepUp
	})
}

// same reports whether two sides decide everything alike.
func (s *space) same(a, b side) bool {
	differences, complete := s.compare(a, b)
	return complete && len(differences) == 0
}

// replace is a condition with one part of it replaced. What does not hold the part stays the very same.
func replace(c, part, by *policies.Condition) *policies.Condition {
	if c == part {
		return by
	}
	for i, of := range c.Of {
		if changed := replace(of, part, by); changed != of {
			copied := *c
			copied.Of = slices.Clone(c.Of)
			copied.Of[i] = changed
			return replace(&copied, part, by) // it may stand there twice, as a rule does
		}
	}
	return c
}
