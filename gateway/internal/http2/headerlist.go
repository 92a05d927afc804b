package http2

import (
	"golang.org/x/net/http2/hpack"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// headerList is what a header block says. It is filled by an HPACK decoder, and used again for the next block.
type headerList struct {
	method, scheme, authority, path string
	protocol                        string     // of an extended CONNECT (RFC 8441)
	pseudo                          int        // which pseudo-header fields there are
	fields                          field.List // their names in lower case
	size                            int        // as RFC 9113, section 10.5.1, counts
	tooLarge                        bool
	malformed                       string // what is wrong with it first; "" for nothing

	decoder             *hpack.Decoder
	maxBytes, maxFields int
}

const (
	hasMethod = 1 << iota
	hasScheme
	hasAuthority
	hasPath
	hasProtocol
)

func newHeaderList(l *Limits) *headerList {
	h := &headerList{maxBytes: l.HeaderBytes, maxFields: l.HeaderFields}
	h.decoder = hpack.NewDecoder(headerTable, h.add)
	return h
}

// decode decodes a whole header block. Of one that is too large, or malformed, the rest is decoded as far as HPACK's state
// needs, which both sides have in common. An error is one after which they do not.
func (h *headerList) decode(block []byte) error {
	clear(h.fields)
	*h = headerList{fields: h.fields[:0], decoder: h.decoder, maxBytes: h.maxBytes, maxFields: h.maxFields}
	h.decoder.SetEmitEnabled(true)
	if _, err := h.decoder.Write(block); err != nil {
		return &connectionError{compressionError, err.Error()}
	}
	if err := h.decoder.Close(); err != nil {
		return &connectionError{compressionError, err.Error()}
	}
	return nil
}

func (h *headerList) add(f hpack.HeaderField) {
	if h.size += len(f.Name) + len(f.Value) + 32; h.size > h.maxBytes || len(h.fields) == h.maxFields {
		h.tooLarge = true
		h.decoder.SetEmitEnabled(false)
		return
	}
	switch {
	case !field.IsValue(f.Value):
		h.refuse("a control character in a value")
	case f.Name != "" && f.Name[0] == ':':
		h.addPseudo(f.Name, f.Value)
	case !isLowerToken(f.Name):
		h.refuse("a name that is no token in lower case")
	case field.IsConnectionSpecific(f.Name):
		h.refuse("a field of HTTP/1.1's connections")
	case f.Name == "te" && f.Value != "trailers":
		h.refuse("TE other than trailers")
	default:
		f.Value = request.TrimOWS(f.Value) // which clients send, though RFC 9113, section 8.2.1, has it otherwise
		h.fields = append(h.fields, field.Field{Name: f.Name, Value: f.Value})
	}
}

// addPseudo adds a pseudo-header field of a request (RFC 9113, section 8.3, and RFC 8441, section 4).
func (h *headerList) addPseudo(name, value string) {
	var bit int
	var to *string
	switch name {
	case ":method":
		bit, to = hasMethod, &h.method
	case ":scheme":
		bit, to = hasScheme, &h.scheme
	case ":authority":
		bit, to = hasAuthority, &h.authority
	case ":path":
		bit, to = hasPath, &h.path
	case ":protocol":
		bit, to = hasProtocol, &h.protocol
	default:
		h.refuse("an unknown pseudo-header field")
		return
	}
	switch {
	case len(h.fields) > 0:
		h.refuse("a pseudo-header field behind another field")
	case h.pseudo&bit != 0:
		h.refuse("a pseudo-header field twice")
	default:
		*to = value
		h.pseudo |= bit
	}
}

// refuse notes what is wrong with the block, unless something was before.
func (h *headerList) refuse(reason string) {
	if h.malformed == "" {
		h.malformed = reason
	}
}
