// Package field has the fields of HTTP messages (RFC 9110, section 5): lists in the order and with the spelling in which they were
// sent, for whoever judges, edits and passes on what others wrote. Names have no case.
package field

import (
	"iter"
	"slices"
	"strings"
)

// Field is one line of a header or a trailer section.
type Field struct{ Name, Value string }

// List is a section. Methods with a pointer change it in place.
type List []Field

// Same reports whether two names, or other tokens that have no case, are the same. A letter beyond ASCII is in none, also where Unicode
// folds it into one of ASCII: it is longer.
func Same(a, b string) bool { return len(a) == len(b) && (a == b || strings.EqualFold(a, b)) }

// Has reports whether there is a field of that name.
func (l List) Has(name string) bool { return l.index(name) >= 0 }

func (l List) index(name string) int {
	for i := range l {
		if Same(l[i].Name, name) {
			return i
		}
	}
	return -1
}

// Get is the value of the first field of that name; "" where there is none.
func (l List) Get(name string) string {
	if i := l.index(name); i >= 0 {
		return l[i].Value
	}
	return ""
}

// Values are the values of the fields of that name.
func (l List) Values(name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range l {
			if Same(l[i].Name, name) && !yield(l[i].Value) {
				return
			}
		}
	}
}

// HasToken reports whether the list that the fields of that name are has the token, without regard to case.
func (l List) HasToken(name, token string) bool {
	for i := range l {
		if Same(l[i].Name, name) && IsListed(l[i].Value, token) {
			return true
		}
	}
	return false
}

// IsListed reports whether a token is an element of a list (RFC 9110, section 5.6.1), without regard to case.
func IsListed(list, token string) bool {
	for element := range strings.SplitSeq(list, ",") {
		if Same(strings.Trim(element, " \t"), token) {
			return true
		}
	}
	return false
}

// Count is how many fields of that name there are.
func (l List) Count(name string) (n int) {
	for i := range l {
		if Same(l[i].Name, name) {
			n++
		}
	}
	return n
}

// Add adds a field.
func (l *List) Add(name, value string) { *l = append(*l, Field{name, value}) }

// Set has one field of that name, in the place of the first one.
func (l *List) Set(name, value string) {
	first := l.index(name)
	if first < 0 {
		l.Add(name, value)
		return
	}
	(*l)[first] = Field{name, value}
	behind := (*l)[first+1:]
	behind.Del(name)
	*l = (*l)[:first+1+len(behind)]
}

// Del removes the fields of that name.
func (l *List) Del(name string) {
	if l.Has(name) {
		l.DelFunc(func(other string) bool { return Same(other, name) })
	}
}

// DelFunc removes the fields whose names are so.
func (l *List) DelFunc(del func(name string) bool) {
	*l = slices.DeleteFunc(*l, func(f Field) bool { return del(f.Name) })
}

// IsConnectionSpecific reports whether a name, in lower case, is that of a field of HTTP/1.1's connections, of which HTTP/2 has none
// (RFC 9113, section 8.2.2).
func IsConnectionSpecific(name string) bool {
	switch name {
	case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// AllowsContent reports whether an answer of that status may have content (RFC 9110, section 6.4.1).
func AllowsContent(status int) bool {
	return status >= 200 && status != 204 && status != 304
}

// FramesMessage reports whether a field says how a message is framed, so that it never stands behind the body (RFC 9110, section
// 6.5.1).
func FramesMessage(name string) bool {
	return Same(name, "Content-Length") || Same(name, "Transfer-Encoding") || Same(name, "Trailer")
}
