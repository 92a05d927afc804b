package policies

import (
	"strings"

	"github.com/viloforge/vilogate/policies/request"
	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Headers are the header fields that a route sets or removes. Names are canonical, as package net/http writes them.
type Headers struct {
	Request, Response HeaderEdits
}

// HeaderEdits are changes to a header: what is removed goes first, what is set replaces what was there.
type HeaderEdits struct {
	Remove []string
	Set    []HeaderField
}

// A HeaderField is one field of a header.
type HeaderField struct{ Name, Value string }

const maxHeaderValue = 8 << 10

// isOfConnection reports whether a header, folded, is about a connection or how a message is sent on it, which is the gateway's
// business on both sides.
func isOfConnection(folded string) bool {
	switch folded {
	case "content-length", "expect", "host":
		return true
	}
	return request.IsHopByHop(folded)
}

func (c *compiler) headers(s *headersSyntax) Headers {
	var h Headers
	if s.Request != nil {
		h.Request = c.edits(s.Request, requestHeader)
	}
	if s.Response != nil {
		h.Response = c.edits(s.Response, responseHeader)
	}
	return h
}

// requestHeader says why a request header is not a route's to change, or "".
func requestHeader(folded string, _ bool) string {
	switch {
	case request.IsReservedHeader(folded):
		return "only the gateway writes it"
	case folded == "cookie":
		return "the gateway takes out what is its own, and the rest belongs to the application"
	}
	return ""
}

// responseHeader says why a response header is not a route's to change, or "".
func responseHeader(folded string, set bool) string {
	switch {
	case strings.HasPrefix(folded, "access-control-"):
		return "write cors: instead"
	case folded == "x-request-id":
		return "only the gateway writes it"
	case folded == "set-cookie" && set:
		return "a cookie is the application's to set"
	}
	return ""
}

// edits compiles the changes of one header; why says which names are not a route's to change.
func (c *compiler) edits(s *editsSyntax, forbidden func(folded string, set bool) string) HeaderEdits {
	var e HeaderEdits
	seen := map[string]strictyaml.Place{}
	name := func(w word, set bool) string {
		canonical, ok := request.CanonicalHeader(w.text)
		folded := request.FoldHeader(w.text)
		first, duplicate := seen[folded]
		seen[folded] = w.at
		switch reason := forbidden(folded, set); {
		case reason != "":
			c.errorf(w.at, "a route cannot change %s: %s", w.text, reason)
		case isOfConnection(folded):
			c.errorf(w.at, "a route cannot change %s: it belongs to the connection", w.text)
		case !ok:
			c.errorf(w.at, "a header's name is of letters, digits and hyphens, found %q", w.text)
		case duplicate:
			c.errorf(w.at, "%s is changed twice, first at %s", canonical, first)
		}
		return canonical
	}
	for _, w := range s.Remove {
		e.Remove = append(e.Remove, name(w, false))
	}
	if s.Set != nil {
		for _, f := range *s.Set {
			e.Set = append(e.Set, HeaderField{name(f.name, true), f.value.text})
			c.checkHeaderValue(f.value)
		}
	}
	if len(e.Remove)+len(e.Set) == 0 {
		c.errorf(s.Place, "nothing is set or removed")
	}
	return e
}

// checkHeaderValue refuses what could not be sent, or would be two headers.
func (c *compiler) checkHeaderValue(w word) {
	switch {
	case strings.IndexFunc(w.text, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }) >= 0:
		c.errorf(w.at, "a header's value is printable ASCII, found %q", w.text)
	case strings.TrimSpace(w.text) != w.text:
		c.errorf(w.at, "a header's value has no spaces around it, found %q", w.text)
	case len(w.text) > maxHeaderValue:
		c.errorf(w.at, "a header's value is at most %d KiB", maxHeaderValue>>10)
	}
}
