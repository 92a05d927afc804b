package analysis

import (
	"fmt"
	"strings"

	"github.com/viloforge/vilogate/policies"
	"github.com/viloforge/vilogate/policies/request"
)

// caseVariants looks for a route beside a wider one that admits more, where only the case of a letter leads from the one to
// the other: a server that folds case serves behind the wider rule what the stricter is for. Once a host, with the request
// that proves it, unless the host says how paths are compared.
func (c *checker) caseVariants(h *policies.HostPolicy) {
	if h.Paths() != "" {
		return
	}
	for _, r := range h.Routes() {
		method := "GET"
		if methods := r.Methods(); len(methods) > 0 {
			method = methods[0]
		}
		if r.Shadow || matched(h, pathOf(r.Segments()), method) != r {
			continue
		}
		for i, segment := range r.Segments() {
			variant := otherCaseOf(segment)
			if segment[0] == ':' || segment[0] == '*' || variant == segment {
				continue
			}
			segments := append(append(append([]string{}, r.Segments()[:i]...), variant), r.Segments()[i+1:]...)
			wider := matched(h, pathOf(segments), method)
			if wider == nil || wider == r {
				continue
			}
			if who, ok := admittedBy(side{route: wider}, side{route: r}); ok {
				c.add(r.Place, CaseVariant, "%s %s as %s is allowed by %s (%s), and not by %s, which a server that folds case (Express, IIS, Windows) serves: "+
					"write paths: case-insensitive for the host where the one behind does, else paths: case-sensitive",
					method, pathOf(segments), who, wider.Pattern, wider.Place, r.Pattern).route = r
				return
			}
		}
	}
}

// admittedBy is somebody whom the one side allows what the other does not.
func admittedBy(wider, stricter side) (string, bool) {
	s := newSpace(stricter, wider)
	differences, _ := s.compare(stricter, wider)
	for _, d := range differences {
		if d.to == policies.Allow {
			if who := describeIdentity(s.example(d.who)); who != nil {
				return fmt.Sprint(who), true
			}
			return "nobody", true
		}
	}
	return "", false
}

// matched is the route of a path and a method; nil for none.
func matched(h *policies.HostPolicy, path, method string) *policies.Route {
	p, err := request.ParsePath(path)
	if err != nil {
		return nil
	}
	return h.Match(p, method).Route
}

// pathOf is a path that a pattern stands for.
func pathOf(segments []string) string {
	var b strings.Builder
	for _, segment := range segments {
		switch segment[0] {
		case ':':
			b.WriteString("/x")
		case '*':
		default:
			b.WriteString("/" + escapeSegment(segment))
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
