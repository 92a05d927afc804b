package analysis

import (
	"strings"

	"github.com/viloforge/vilogate/policies"
)

// hiddenPaths looks for paths that a pattern with a parameter or the rest would take, and that are denied because a word of
// other patterns comes first, below which no route lists them: no choice is taken back. One for each such word, with the
// request that proves it. What lies below a path that is listed and has nothing else below it is hardly anybody's to ask for.
func (c *checker) hiddenPaths(h *policies.HostPolicy) {
	reported := map[string]bool{} // by the path down to the word
	for _, wide := range h.Routes() {
		if wide.Shadow || wide.DeniesAll() {
			continue
		}
		who, ok := "", false
		w := way{at: h.Start()}
		for i, segment := range wide.Segments() {
			if !isWild(segment) {
				w = w.next(segment)
				continue
			}
			for _, word := range w.at.Literals() {
				below := w.next(word)
				hidden := below.hidden(wide.Segments()[i:])
				if hidden == "" || reported[below.path] {
					continue
				}
				by := hidingRoute(h, wide.Segments()[:i], word)
				if by == nil {
					continue
				}
				if who == "" { // asked for once, as it is dear
					if who, ok = admittedBy(side{route: wide}, side{refused: true}); !ok {
						break
					}
				}
				reported[below.path] = true
				c.add(by.Place, HiddenPaths, "%s %s as %s is denied, which %s (%s) would allow: what begins with %s is for the routes that do, "+
					"and none lists it; a route %s/*rest would", methodOf(wide), hidden, who, wide.Pattern, wide.Place, below.path, below.path).route = by
			}
			w = w.next(anyWord(w.at.Literals()))
		}
	}
}

// A way is a position, and a path that leads there.
type way struct {
	at   policies.Position
	path string
}

func (w way) next(segment string) way {
	return way{w.at.Next(segment), w.path + "/" + escapeSegment(segment)}
}

// hidden is a path below, at a word, that a pattern would match which goes on with the segments, of which the word is the
// first, and that no route lists; "" for none.
func (w way) hidden(segments []string) string {
	if segments[0][0] == ':' {
		segments = segments[1:]
	}
	for i, segment := range segments {
		switch segment[0] {
		case '*':
			if w.at.Done() && i > 0 {
				break
			}
			return w.hiddenBelow()
		case ':':
			w = w.next(anyWord(w.at.Literals()))
		default:
			w = w.next(segment)
		}
	}
	if len(w.at.End()) == 0 {
		return w.path
	}
	return ""
}

// hiddenBelow is a path at or right below a position that no route lists, where other paths below are listed.
func (w way) hiddenBelow() string {
	words := w.at.Literals()
	if len(w.at.CatchAll()) > 0 || len(words) == 0 && w.at.Param() == "" {
		return ""
	}
	if other := w.next(anyWord(words)); len(other.at.End()) == 0 {
		return other.path
	}
	if len(w.at.End()) == 0 {
		return w.path
	}
	return ""
}

// hidingRoute is the first route of which a word stands where these segments end.
func hidingRoute(h *policies.HostPolicy, before []string, word string) *policies.Route {
	for _, r := range h.Routes() {
		segments := r.Segments()
		if r.Shadow || len(segments) <= len(before) || segments[len(before)] != word {
			continue
		}
		same := true
		for i, segment := range before {
			same = same && (segment == segments[i] || segment[0] == ':' && segments[i][0] == ':')
		}
		if same {
			return r
		}
	}
	return nil
}

func isWild(segment string) bool { return strings.IndexByte(":*", segment[0]) >= 0 }

// methodOf is a method that the route takes, GET where it may be.
func methodOf(r *policies.Route) string {
	if methods := r.Methods(); len(methods) > 0 {
		return methods[0]
	}
	return "GET"
}
