package corpus

import (
	"math"
	"strings"
)

// Request is a request as a server has it.
type Request struct {
	Method, Target, Host, Body string
	Fields, Trailer            []Field
}

// Values are those of the fields, of the trailer too, that a server of the CGI family takes for that name.
func (r *Request) Values(name string) (all []string) {
	for _, section := range [][]Field{r.Fields, r.Trailer} {
		for _, f := range section {
			if folded(f.Name) == folded(name) {
				all = append(all, f.Value)
			}
		}
	}
	return all
}

// folded is a name as the environment of CGI has it (RFC 3875, section 4.1.18).
func folded(name string) string { return strings.ReplaceAll(strings.ToUpper(name), "-", "_") }

// read reads all requests of a stream. The error says why the rest is none.
func (d *dialect) read(s string) (all []Request, rest string, err error) {
	for {
		for strings.HasPrefix(s, "\r\n") || d.bareLF && strings.HasPrefix(s, "\n") {
			_, s, _ = strings.Cut(s, "\n")
		}
		if s == "" {
			return all, "", nil
		}
		r, after, err := d.request(s)
		if err != nil {
			return all, s, err
		}
		all, s = append(all, r), after
	}
}

func (d *dialect) request(s string) (r Request, rest string, err error) {
	line, s, err := d.cutLine(s)
	if err != nil {
		return r, "", err
	}
	parts := strings.Split(line, " ")
	switch {
	case len(parts) == 2 && d.http09:
		return Request{Method: parts[0], Target: parts[1]}, s, nil
	case len(parts) < 3 || len(parts) > 3 && !d.spacedTargets || !isName(parts[0]) || !strings.HasPrefix(parts[len(parts)-1], "HTTP/1."):
		return r, "", ErrRefused
	}
	r.Method, r.Target = parts[0], strings.Join(parts[1:len(parts)-1], " ")
	if r.Fields, s, err = d.fields(s); err != nil {
		return r, "", err
	}
	r.Host = strings.Join(d.values(&r, "Host"), ", ")
	if authority, ok := cutScheme(r.Target); ok && d.absoluteHost {
		r.Host = authority
	}
	return d.body(r, s)
}

// cutScheme is the authority of a target in absolute-form.
func cutScheme(target string) (authority string, ok bool) {
	scheme, rest, ok := strings.Cut(target, "://")
	if !ok || strings.ContainsAny(scheme, "/?#") {
		return "", false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return rest, true
}

// values are those of the fields that count under that name for the server itself.
func (d *dialect) values(r *Request, name string) (all []string) {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) || d.foldsFraming && folded(f.Name) == folded(name) {
			all = append(all, f.Value)
		}
	}
	return all
}

// body finds the end of the message.
func (d *dialect) body(r Request, s string) (_ Request, rest string, err error) {
	lengths, codings := d.values(&r, "Content-Length"), d.values(&r, "Transfer-Encoding")
	switch {
	case len(codings) > 0 && !d.isChunked(codings), len(codings) > 0 && len(lengths) > 0 && !d.codingWins, len(lengths) > 1 && !d.lastLength:
		return r, "", ErrRefused
	case len(codings) > 0:
		r.Body, r.Trailer, rest, err = d.chunks(s)
		return r, rest, err
	}
	length := uint64(0)
	if len(lengths) > 0 {
		var ok bool
		if length, ok = d.length(lengths[len(lengths)-1]); !ok {
			return r, "", ErrRefused
		}
	}
	if d.webSocketKey && len(d.values(&r, "Sec-WebSocket-Key1")) > 0 {
		length = 8
	}
	if length > uint64(len(s)) {
		return r, "", ErrCut
	}
	r.Body = s[:length]
	return r, s[length:], nil
}

func (d *dialect) isChunked(codings []string) bool {
	if all := strings.ToLower(strings.Join(codings, ",")); d.listsCodings {
		return strings.Contains(all, "chunked")
	}
	return len(codings) == 1 && strings.EqualFold(codings[0], "chunked")
}

func (d *dialect) length(s string) (length uint64, ok bool) {
	if d.prefixedNumbers {
		s = strings.TrimPrefix(s, "+")
	}
	for i := range len(s) {
		digit := uint64(s[i] - '0')
		switch {
		case digit > 9 && i > 0 && d.numbersEnd:
			return length, true
		case digit > 9, length > (math.MaxUint64-digit)/10 && !d.numbersOverflow:
			return 0, false
		}
		length = length*10 + digit
	}
	return length, s != ""
}
