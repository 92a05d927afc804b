package extauthz

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// A Request is the HTTP request that Envoy holds, as a CheckRequest has it: nothing of it has been judged.
type Request struct {
	Method, Host, Path, Scheme string
	// Source is the address of who sent it, as Envoy takes it; "" where it is no address of IP.
	Source string
	// Fields are its header, without pseudo-headers. Names are in lower case. Lines of one name are joined by Envoy with commas, unless
	// it has encode_raw_headers.
	Fields field.List
}

var (
	errMalformed = errors.New("extauthz: malformed message")
	errNoRequest = errors.New("extauthz: no HTTP request")
	errTwice     = errors.New("extauthz: the header is there in two ways")
)

// ParseRequest reads a CheckRequest. The request that it returns shares nothing with message.
func ParseRequest(message []byte) (Request, error) {
	var r Request
	p := parser{request: &r}
	err := fields(message, func(number protowire.Number, value []byte) error {
		if number == 1 {
			return p.attributes(value)
		}
		return nil
	})
	switch {
	case err != nil:
		return Request{}, err
	case !p.http:
		return Request{}, errNoRequest
	}
	return r, p.settle()
}

// parser gathers what a CheckRequest says.
type parser struct {
	request *Request
	http    bool
	raw     bool       // the header came as a list
	joined  bool       // the header came as a map
	pseudo  field.List // the pseudo-headers, as the header has them
}

// attributes reads an AttributeContext: source = 1, request = 4.
func (p *parser) attributes(message []byte) error {
	return fields(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			return p.peer(value)
		case 4:
			return fields(value, func(number protowire.Number, value []byte) error {
				if number == 2 { // Request.http
					return p.httpRequest(value)
				}
				return nil
			})
		}
		return nil
	})
}

// peer reads a Peer: address = 1, of it socket_address = 1, of it address = 2.
func (p *parser) peer(message []byte) error {
	return fields(message, only(1, func(value []byte) error {
		return fields(value, only(1, func(value []byte) error {
			return fields(value, only(2, func(value []byte) error {
				p.request.Source = string(value)
				return nil
			}))
		}))
	}))
}

// only calls f for the fields of one number.
func only(number protowire.Number, f func([]byte) error) func(protowire.Number, []byte) error {
	return func(n protowire.Number, value []byte) error {
		if n != number {
			return nil
		}
		return f(value)
	}
}

// httpRequest reads an HttpRequest: method = 2, headers = 3, path = 4, host = 5, scheme = 6, header_map = 13.
func (p *parser) httpRequest(message []byte) error {
	if p.http {
		return errMalformed // protobuf would merge the two
	}
	p.http = true
	return fields(message, func(number protowire.Number, value []byte) error {
		switch number {
		case 2:
			p.request.Method = string(value)
		case 3:
			p.joined = true
			return p.field(value, 2, 0)
		case 4:
			p.request.Path = string(value)
		case 5:
			p.request.Host = string(value)
		case 6:
			p.request.Scheme = string(value)
		case 13:
			p.raw = true
			return fields(value, only(1, func(value []byte) error { return p.field(value, 2, 3) }))
		}
		return nil
	})
}

// field reads an entry of a map of strings, or a HeaderValue: the key is 1, and its value has the number text, or raw.
func (p *parser) field(message []byte, text, raw protowire.Number) error {
	var name, value string
	err := fields(message, func(number protowire.Number, v []byte) error {
		switch {
		case number == 1:
			name = string(v)
		case number == text, raw != 0 && number == raw:
			if value != "" && len(v) > 0 {
				return errTwice
			}
			value += string(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if strings.HasPrefix(name, ":") {
		p.pseudo.Add(name, value)
		return nil
	}
	if !request.IsToken(name) || !field.IsValue(value) {
		return fmt.Errorf("%w: a field that is none of HTTP", errMalformed)
	}
	p.request.Fields.Add(strings.ToLower(name), value)
	return nil
}

// settle refuses a header that is there twice, and pseudo-headers that say something else than the request.
func (p *parser) settle() error {
	if p.raw && p.joined {
		return errTwice
	}
	for _, f := range p.pseudo {
		said := f.Value
		switch f.Name {
		case ":method":
			said = p.request.Method
		case ":path":
			said = p.request.Path
		case ":authority":
			said = p.request.Host
		}
		if said != f.Value {
			return fmt.Errorf("extauthz: %s and the attribute of that name contradict each other", f.Name)
		}
	}
	return nil
}

// fields calls text for each field of a message that has a length.
func fields(message []byte, text func(protowire.Number, []byte) error) error {
	for len(message) > 0 {
		num, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errMalformed
		}
		message = message[n:]
		switch kind {
		case protowire.BytesType:
			value, n := protowire.ConsumeBytes(message)
			if n < 0 {
				return errMalformed
			}
			message = message[n:]
			if err := text(num, value); err != nil {
				return err
			}
		case protowire.StartGroupType, protowire.EndGroupType:
			return errMalformed // nothing here has groups, which nest
		default:
			n := protowire.ConsumeFieldValue(num, kind, message)
			if n < 0 {
				return errMalformed
			}
			message = message[n:]
		}
	}
	return nil
}
