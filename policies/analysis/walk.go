package analysis

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A matchTrace is the segments of a path and the choices that were made for them, from the left.
type matchTrace struct {
	segments []string // decoded, without parameters, empty ones left out
	chosen   []string // for each: the word itself, ":" or "*"; shorter where no pattern goes on
	stopped  string   // where no pattern goes on, and what there would be
}

// traceMatch is the way of a request along the patterns.
func traceMatch(a policies.Answer) matchTrace {
	var w matchTrace
	at := a.Host.Start()
	for segment := range strings.SplitSeq(a.Facts.Path.String(), "/") {
		word := string(request.DecodeSegment(nil, segment))
		if word, _, _ = strings.Cut(word, ";"); word == "" {
			continue
		}
		w.segments = append(w.segments, word)
		switch {
		case at.Done():
		case slices.Contains(at.Literals(), word):
			w.chosen = append(w.chosen, word)
		case at.Param() != "":
			w.chosen = append(w.chosen, ":")
		case len(at.CatchAll()) > 0:
			w.chosen = append(w.chosen, "*")
		default:
			w.stopped = stoppedAt(w.segments, at.Literals())
		}
		at = at.Next(word)
	}
	if !at.Done() && len(at.End()) == 0 {
		w.stopped = "no pattern ends with /" + strings.Join(w.segments, "/") + ", though some go on from there"
	}
	return w
}

// stoppedAt says that no pattern goes on with the last of the segments.
func stoppedAt(segments, words []string) string {
	last := segments[len(segments)-1]
	text := fmt.Sprintf("no pattern goes on from /%s with %q", strings.Join(segments[:len(segments)-1], "/"), last)
	if near := strictyaml.Nearest(last, words); near != "" {
		return text + fmt.Sprintf(", but one does with %q", near)
	}
	return text
}

// lossReason says why a route did not decide; "" where its pattern is another.
func (w matchTrace) lossReason(r *policies.Route, a policies.Answer) string {
	if !w.matches(r) {
		return ""
	}
	for i, segment := range r.Segments() {
		if i >= len(w.chosen) {
			break
		}
		kind := segment
		if segment[0] == ':' || segment[0] == '*' {
			kind = segment[:1]
		}
		if kind == w.chosen[i] {
			continue
		}
		return fmt.Sprintf("at segment %d, %s comes before %s, and no choice is taken back", i+1, named(w.chosen[i]), named(segment))
	}
	switch {
	case r.Shadow:
		return "it is in the shadow"
	case r.Pattern != a.Match.Pattern && len(r.Segments()) > len(w.segments):
		return "a pattern that ends with the path comes before one with a *rest"
	}
	return "it does not take " + a.Facts.Method
}

func named(segment string) string {
	switch segment[0] {
	case ':':
		return "a parameter"
	case '*':
		return "the rest"
	}
	return "the word " + segment
}

// matches reports whether the pattern of a route, all by itself, matches the path.
func (w matchTrace) matches(r *policies.Route) bool {
	segments := r.Segments()
	for i, segment := range segments {
		switch {
		case segment[0] == '*':
			return true
		case i >= len(w.segments):
			return false
		case segment[0] != ':' && segment != w.segments[i]:
			return false
		}
	}
	return len(segments) == len(w.segments)
}

// ago says how long ago something was.
func ago(f policies.Facts, then time.Time) string {
	if then.IsZero() {
		return "never, as far as is known"
	}
	return strictyaml.Duration(f.Now.Sub(then).Truncate(time.Second)).String() + " ago"
}
