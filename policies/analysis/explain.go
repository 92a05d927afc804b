package analysis

import (
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
)

// An Explanation is how a request is decided, and why not otherwise.
type Explanation struct {
	Request    string      `json:"request"`
	Outcome    string      `json:"outcome"`
	Reason     string      `json:"reason"`
	Route      string      `json:"route,omitempty"` // the pattern; "" where none decided
	Place      string      `json:"place,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
	Needed     []string    `json:"needed,omitempty"`   // what would have to be otherwise for the request to be admitted
	Limit      string      `json:"limit,omitempty"`    // the rate that it counts against
	Stopped    string      `json:"stopped,omitempty"`  // where the patterns end, when none matches the path
	Caches     string      `json:"caches,omitempty"`   // what caches are told of the answer, where the backend says nothing
	Upstream   string      `json:"upstream,omitempty"` // where it goes, when it is admitted
	Streams    string      `json:"streams,omitempty"`  // keep, where what is under way outlives the sign-in
	Stream     bool        `json:"stream,omitempty"`   // bodies are never held
	Lost       []Lost      `json:"lost,omitempty"`
	Others     int         `json:"others"`           // routes whose pattern the path does not match at all
	Shadow     string      `json:"shadow,omitempty"` // what would be decided were the routes in the shadow live, where that differs

	answer policies.Answer
}

// A Condition is one that was asked, with what it found.
type Condition struct {
	Text  string      `json:"text"`
	Value string      `json:"value,omitempty"`
	Truth string      `json:"truth"` // yes, no, no answer
	Place string      `json:"place"`
	Of    []Condition `json:"of,omitempty"`
}

// Lost is a route that did not decide.
type Lost struct {
	Pattern string   `json:"pattern"`
	Methods []string `json:"methods,omitempty"`
	Place   string   `json:"place"`
	Reason  string   `json:"reason"`
}

// Explain says how a request is decided, by the very decision that the gateway makes.
func Explain(set *policies.Set, q policies.Request) Explanation {
	a, _ := set.Decide(&q) // who asks is known beforehand, so that there is no error
	e := Explanation{
		Request: q.Method + " https://" + q.Host + q.Target + " as " + nameOf(q.Identity),
		Outcome: a.Outcome.String(), Reason: a.Reason, answer: a,
	}
	if a.Place.Line > 0 {
		e.Place = a.Place.String()
	}
	r := a.Decision.Route
	if a.Kind == policies.Routed && a.Outcome == policies.Allow {
		e.Upstream = a.Host.Upstream
	}
	if r != nil {
		e.Route = r.Pattern
		if r.Rate != nil {
			e.Limit = r.Rate.String()
		}
		if a.Kind == policies.Routed && a.Outcome == policies.Allow && r.PrivateByDefault(q.Identity != nil) {
			e.Caches = "Cache-Control: private"
		}
		if a.Kind == policies.Routed && a.Outcome == policies.Allow && r.KeepStreams {
			e.Streams = "keep"
		}
		e.Stream = a.Kind == policies.Routed && a.Outcome == policies.Allow && r.StreamBodies
		if c := r.Condition(); c != nil && a.Kind == policies.Routed && a.Outcome != policies.BadRequest {
			e.Conditions = explainParts(r, c, a, q)
		}
	}
	e.Needed = needed(a, q)
	if a.Kind == policies.Routed || a.Kind == policies.CORSPreflight {
		way := traceMatch(a)
		if e.Lost, e.Others = lost(way, a); a.Match.Pattern == "" {
			e.Stopped = way.stopped
		}
		if s := a.Host.Shadow; s != nil {
			if other, _ := s.Decide(&q); other.Outcome.Word() != a.Outcome.Word() {
				e.Shadow = fmt.Sprintf("%s: %s (%s)", other.Outcome, other.Reason, other.Place)
			}
		}
	}
	return e
}

func nameOf(id *policies.Identity) string {
	switch {
	case id == nil:
		return "nobody"
	case id.User == "":
		return "somebody"
	}
	return id.User
}

// explainParts are the conditions of a map, or the only one.
func explainParts(r *policies.Route, c *policies.Condition, a policies.Answer, q policies.Request) []Condition {
	if c.Kind == policies.All && c.Rule == "" {
		var all []Condition
		for _, of := range c.Of {
			all = append(all, explainCondition(r, of, a, q))
		}
		return all
	}
	return []Condition{explainCondition(r, c, a, q)}
}

func explainCondition(r *policies.Route, c *policies.Condition, a policies.Answer, q policies.Request) Condition {
	truth, err := r.Truth(c, a.Facts, q.Identity)
	e := Condition{Text: c.Text, Place: c.Place.String(), Truth: map[policies.Truth]string{
		policies.True: "yes", policies.False: "no", policies.Unknown: "no answer",
	}[truth]}
	switch {
	case err != nil:
		e.Value = err.Error()
	case len(c.Of) == 0:
		e.Value = valueOf(c, a.Facts, q.Identity)
	}
	for _, of := range c.Of {
		e.Of = append(e.Of, explainCondition(r, of, a, q))
	}
	return e
}

// valueOf is what a condition found.
func valueOf(c *policies.Condition, f policies.Facts, id *policies.Identity) string {
	switch {
	case c.Kind == policies.Networks && !f.Client.IsValid():
		return "the address is not known"
	case c.Kind == policies.Networks:
		return f.Client.String()
	case c.Kind == policies.Expression:
		return ""
	case id == nil:
		return "nobody is signed in"
	}
	switch c.Kind {
	case policies.Roles:
		return joinOrNone(id.Roles, "no roles")
	case policies.Users:
		return id.User
	case policies.Issuers:
		return id.Issuer
	case policies.EmailDomains:
		if id.Email != "" && !id.EmailVerified {
			return id.Email + ", which is not verified"
		}
		return textOrNone(id.Email)
	case policies.HasClaim:
		if id.Claims != nil {
			if value, ok := id.Claims.Claim(c.Claim); ok {
				return fmt.Sprintf("%v", value)
			}
		}
		return "no such claim"
	case policies.AMR:
		return joinOrNone(id.AMR, "not known")
	case policies.MFA:
		return ago(f, id.SecondFactor())
	case policies.MaxAge:
		return ago(f, id.AuthTime)
	}
	if id.Bearer {
		return "a Bearer token"
	}
	return "a cookie"
}

func joinOrNone(words []string, none string) string {
	if len(words) == 0 {
		return none
	}
	return strings.Join(words, ", ")
}

// needed is what would have to be otherwise.
func needed(a policies.Answer, q policies.Request) []string {
	switch {
	case a.Outcome == policies.Allow:
		return nil
	case a.CrossSite:
		return []string{"a request from this origin or one that cors or csrf: exempt lists, or one with a Bearer token"}
	case a.ForeignBearer && a.Reason == policies.ReasonForeignBearer:
		return []string{"a request without this Bearer token, or bearer: pass on the route"}
	case a.Kind == policies.UnknownHost:
		return []string{"a policy for this host"}
	case a.Kind == policies.OwnPath && a.Outcome == policies.Login:
		return []string{"to be signed in"}
	case a.Kind != policies.Routed && a.Kind != policies.CORSPreflight:
		return []string{"another request: " + a.Reason}
	case a.Outcome == policies.MethodNotAllowed:
		return []string{"one of the methods " + strings.Join(a.Allow, ", ")}
	case a.Outcome == policies.BadRequest || a.Kind == policies.CORSPreflight:
		return []string{"another request: " + a.Reason}
	case a.Route == nil:
		return []string{"a route for this path and method"}
	case a.Route.DeniesAll():
		return []string{"another rule: this one admits nobody"}
	}
	var all []string
	if q.Identity == nil {
		all = append(all, "to be signed in")
	}
	if c := a.Route.Condition(); c != nil {
		all = append(all, requirements(a.Route, c, a, q, true)...)
	}
	return all
}

// requirements are what would have to be otherwise for a condition to hold, or not to.
func requirements(r *policies.Route, c *policies.Condition, a policies.Answer, q policies.Request, hold bool) []string {
	truth, _ := r.Truth(c, a.Facts, q.Identity)
	if hold == (truth == policies.True) && (hold || truth == policies.False) {
		return nil
	}
	switch every := c.Kind == policies.All == hold; {
	case c.Kind == policies.Not:
		return requirements(r, c.Of[0], a, q, !hold)
	case len(c.Of) == 0:
		return []string{describeRequirement(c, hold)}
	case every:
		var all []string
		for _, of := range c.Of {
			all = append(all, requirements(r, of, a, q, hold)...)
		}
		return all
	}
	var ways []string
	for _, of := range c.Of {
		ways = append(ways, strings.Join(requirements(r, of, a, q, hold), " and "))
	}
	return []string{"either " + strings.Join(ways, ", or ")}
}

// describeRequirement is what a condition asks for.
func describeRequirement(c *policies.Condition, hold bool) string {
	words := strings.Join(c.Words, ", ")
	if !hold {
		return "not " + c.Text
	}
	switch c.Kind {
	case policies.Roles:
		return "one of the roles " + words
	case policies.Users:
		return "to be one of the users " + words
	case policies.Issuers:
		return "a token of one of the issuers " + words
	case policies.EmailDomains:
		return "a verified e-mail address of " + words
	case policies.AMR:
		return "a login by one of " + words
	case policies.MFA:
		return "a second factor" + strings.Replace(c.Text, "mfa:", " within", 1)
	case policies.MaxAge:
		return "a login" + strings.Replace(c.Text, "max_age:", " within", 1)
	case policies.Networks:
		return "an address in" + strings.TrimPrefix(c.Text, "networks:")
	case policies.Bearer:
		return "a Bearer token"
	}
	return c.Text
}

// Text is the explanation for people.
func (e Explanation) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s: %s\n", e.Request, e.Outcome, e.Reason)
	switch {
	case e.Route != "":
		fmt.Fprintf(&b, "  by the route %s, %s\n", e.Route, e.Place)
	case e.Place != "":
		fmt.Fprintf(&b, "  by no route, %s\n", e.Place)
	}
	if e.Stopped != "" {
		fmt.Fprintf(&b, "  %s\n", e.Stopped)
	}
	if e.Upstream != "" {
		fmt.Fprintf(&b, "  to the upstream %s\n", e.Upstream)
	}
	if e.Limit != "" {
		fmt.Fprintf(&b, "  as long as it is not more often than %s\n", e.Limit)
	}
	if e.Caches != "" {
		fmt.Fprintf(&b, "  with %s, where the backend says nothing to caches\n", e.Caches)
	}
	if e.Streams != "" {
		b.WriteString("  and goes on when the sign-in ends or policies change, while it is under way (streams: keep)\n")
	}
	if e.Stream {
		b.WriteString("  and its bodies pass as they come, none is held (stream: true)\n")
	}
	if e.Shadow != "" {
		fmt.Fprintf(&b, "  in the shadow it would be %s\n", e.Shadow)
	}
	if len(e.Conditions) > 0 {
		b.WriteString("conditions\n")
		for _, c := range e.Conditions {
			c.write(&b, "  ")
		}
	}
	section(&b, "to be admitted it takes", e.Needed)
	var lost []string
	for _, l := range e.Lost {
		lost = append(lost, fmt.Sprintf("%s%s, %s: %s", l.Pattern, forMethods(l.Methods), l.Place, l.Reason))
	}
	section(&b, "routes that did not decide", lost)
	if e.Others > 0 {
		fmt.Fprintf(&b, "and %d whose patterns the path does not match\n", e.Others)
	}
	return b.String()
}

func section(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString(title + "\n")
	for _, line := range lines {
		b.WriteString("  " + line + "\n")
	}
}

func (c Condition) write(b *strings.Builder, indent string) {
	value := ""
	if c.Value != "" {
		value = "  (" + c.Value + ")"
	}
	fmt.Fprintf(b, "%s%-3s %s%s  %s\n", indent, c.Truth, c.Text, value, c.Place)
	for _, of := range c.Of {
		of.write(b, indent+"    ")
	}
}

func forMethods(methods []string) string {
	if methods == nil {
		return ""
	}
	return " for " + strings.Join(methods, ", ")
}

// lost are the routes that would match the path by themselves, or that are nearest where none does, and how many others
// there are.
func lost(trace matchTrace, a policies.Answer) (all []Lost, others int) {
	for _, r := range a.Host.Routes() {
		if r == a.Route {
			continue
		}
		reason := trace.lossReason(r, a)
		if reason == "" {
			others++
			continue
		}
		all = append(all, Lost{Pattern: r.Pattern, Methods: r.Methods(), Place: r.Place.String(), Reason: reason})
	}
	slices.SortStableFunc(all, func(x, y Lost) int { return strings.Compare(x.Pattern, y.Pattern) })
	return all, others
}
