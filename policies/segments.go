package policies

import (
	"strings"

	"github.com/viloforge/vilogate/policies/request"
)

// params are the parameters of a pattern as the path has them, decoded: whole segments, with what follows a semicolon
// in them, as the backend gets them. Segments that matching leaves out belong to none, but for those below a *rest.
func params(segments []string, p request.Path) map[string]string {
	values := map[string]string{}
	var rest strings.Builder
	var buffer []byte
	at, below := 0, false // a *rest
	for segment := range strings.SplitSeq(p.String(), "/") {
		if segment == "" || at >= len(segments) {
			continue
		}
		buffer = request.DecodeSegment(buffer[:0], segment)
		name := segments[at]
		if name[0] == '*' {
			if below {
				rest.WriteByte('/')
			}
			below = true
			rest.Write(buffer)
			continue // all of it
		}
		if cutPathParameters(segment) == "" {
			continue
		}
		if name[0] == ':' {
			values[name[1:]] = string(buffer)
		}
		at++
	}
	if last := len(segments) - 1; last >= 0 && segments[last][0] == '*' {
		values[segments[last][1:]] = rest.String()
	}
	return values
}

// cutPathParameters cuts a canonical segment at its first semicolon, raw or escaped.
func cutPathParameters(segment string) string {
	segment, _, _ = strings.Cut(segment, ";")
	if i := strings.Index(segment, "%3B"); i >= 0 {
		segment = segment[:i]
	}
	return segment
}
