package token

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// What a JSON text read here may hold at most. A token is short anyway; a key
// set may be long, but never deep.
const (
	maxDepth   = 8
	maxMembers = 128
	maxValues  = 8192
)

// kind is the first byte that a JSON value of that kind may begin with.
type kind byte

const (
	kindString kind = '"'
	kindNumber kind = '0'
	kindArray  kind = '['
	kindObject kind = '{'
	kindBool   kind = 't'
	kindNull   kind = 'n'
)

// value is one JSON value. Only the fields of its kind are set.
type value struct {
	kind    kind
	text    string // a string, decoded; a number, as it was written
	number  float64
	list    []value
	members object
}

type member struct {
	name  string
	value value
}

// object is a JSON object in its own order. No two members have one name, so
// that no two readers of the same token can see different claims.
type object []member

func (o object) get(name string) (value, bool) {
	for i := range o {
		if o[i].name == name {
			return o[i].value, true
		}
	}
	return value{}, false
}

// plain gives the object as encoding/json would.
func (o object) plain() map[string]any {
	members := make(map[string]any, len(o))
	for _, m := range o {
		members[m.name] = m.value.plain()
	}
	return members
}

// plain gives the value as encoding/json would: a string, bool, float64, nil,
// []any or map[string]any.
func (v value) plain() any {
	switch v.kind {
	case kindString:
		return v.text
	case kindNumber:
		return v.number
	case kindBool:
		return v.text == "true"
	case kindArray:
		list := make([]any, len(v.list))
		for i, e := range v.list {
			list[i] = e.plain()
		}
		return list
	case kindObject:
		return v.members.plain()
	}
	return nil
}

var (
	errJSON            = errors.New("not a JSON object")
	errTrailing        = errors.New("trailing data after the JSON object")
	errDuplicateMember = errors.New("duplicate member")
	errTooDeep         = errors.New("nested too deeply")
	errTooMany         = errors.New("too many members or values")
	errString          = errors.New("invalid JSON string")
	errUTF8            = errors.New("invalid UTF-8 in a string")
	errNumber          = errors.New("invalid JSON number")
	errRange           = errors.New("a number beyond the range of a float64")
	errNotObject       = errors.New("not a JSON object but another value")
)

// readObject reads text, which must be one JSON object and nothing else, by
// RFC 8259 to the letter: encoding/json would let duplicate members, case-folded
// names, invalid UTF-8 and lone surrogates through. A number must fit a float64
// (RFC 7493, 2.2), so that what was read here has a value for every later reader.
func readObject(text string) (object, error) {
	r := jsonReader{text: text}
	v, err := r.value(1)
	if err != nil {
		return nil, err
	}
	if v.kind != kindObject {
		return nil, errNotObject
	}
	r.skipSpace()
	if r.offset != len(r.text) {
		return nil, errTrailing
	}
	return v.members, nil
}

// jsonReader walks a JSON text once, from the left. Its strings share the text's memory.
type jsonReader struct {
	text   string
	offset int
	values int
}

func (r *jsonReader) skipSpace() {
	for r.offset < len(r.text) {
		switch r.text[r.offset] {
		case ' ', '\t', '\n', '\r':
			r.offset++
		default:
			return
		}
	}
}

// accept skips white space and takes c if it comes next.
func (r *jsonReader) accept(c byte) bool {
	r.skipSpace()
	if r.offset < len(r.text) && r.text[r.offset] == c {
		r.offset++
		return true
	}
	return false
}

func (r *jsonReader) value(depth int) (value, error) {
	r.skipSpace()
	if r.offset == len(r.text) {
		return value{}, errJSON
	}
	if r.values++; r.values > maxValues {
		return value{}, errTooMany
	}
	switch c := r.text[r.offset]; {
	case c == '{':
		return r.object(depth)
	case c == '[':
		return r.array(depth)
	case c == '"':
		s, err := r.stringText()
		return value{kind: kindString, text: s}, err
	case c == '-' || '0' <= c && c <= '9':
		return r.number()
	default:
		return r.literal()
	}
}

func (r *jsonReader) object(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errTooDeep
	}
	r.offset++ // {
	v := value{kind: kindObject}
	if r.accept('}') {
		return v, nil
	}
	for {
		r.skipSpace()
		name, err := r.stringText()
		if err != nil {
			return value{}, err
		}
		if _, duplicate := v.members.get(name); duplicate {
			return value{}, errDuplicateMember
		}
		if len(v.members) == maxMembers {
			return value{}, errTooMany
		}
		if !r.accept(':') {
			return value{}, errJSON
		}
		inner, err := r.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.members = append(v.members, member{name, inner})
		switch {
		case r.accept(','):
		case r.accept('}'):
			return v, nil
		default:
			return value{}, errJSON
		}
	}
}

func (r *jsonReader) array(depth int) (value, error) {
	if depth > maxDepth {
		return value{}, errTooDeep
	}
	r.offset++ // [
	v := value{kind: kindArray}
	if r.accept(']') {
		return v, nil
	}
	for {
		inner, err := r.value(depth + 1)
		if err != nil {
			return value{}, err
		}
		v.list = append(v.list, inner)
		switch {
		case r.accept(','):
		case r.accept(']'):
			return v, nil
		default:
			return value{}, errJSON
		}
	}
}

func (r *jsonReader) literal() (value, error) {
	for _, w := range [...]struct {
		text string
		kind kind
	}{{"true", kindBool}, {"false", kindBool}, {"null", kindNull}} {
		if len(r.text)-r.offset >= len(w.text) && r.text[r.offset:r.offset+len(w.text)] == w.text {
			r.offset += len(w.text)
			return value{kind: w.kind, text: w.text}, nil
		}
	}
	return value{}, errJSON
}

func (r *jsonReader) digits() int {
	start := r.offset
	for r.offset < len(r.text) && '0' <= r.text[r.offset] && r.text[r.offset] <= '9' {
		r.offset++
	}
	return r.offset - start
}

func (r *jsonReader) number() (value, error) {
	start := r.offset
	if r.text[r.offset] == '-' {
		r.offset++
	}
	first := r.offset
	if n := r.digits(); n == 0 || n > 1 && r.text[first] == '0' {
		return value{}, errNumber
	}
	if r.offset < len(r.text) && r.text[r.offset] == '.' {
		r.offset++
		if r.digits() == 0 {
			return value{}, errNumber
		}
	}
	if r.offset < len(r.text) && (r.text[r.offset] == 'e' || r.text[r.offset] == 'E') {
		r.offset++
		if r.offset < len(r.text) && (r.text[r.offset] == '+' || r.text[r.offset] == '-') {
			r.offset++
		}
		if r.digits() == 0 {
			return value{}, errNumber
		}
	}
	text := r.text[start:r.offset]
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return value{}, errRange
	}
	return value{kind: kindNumber, text: text, number: number}, nil
}

// stringText reads a string. One without escapes, which is nearly every one, is a
// piece of the text itself.
func (r *jsonReader) stringText() (string, error) {
	if r.offset == len(r.text) || r.text[r.offset] != '"' {
		return "", errJSON
	}
	r.offset++
	start := r.offset
	for ; r.offset < len(r.text); r.offset++ {
		switch c := r.text[r.offset]; {
		case c == '"':
			s := r.text[start:r.offset]
			r.offset++
			if !utf8.ValidString(s) {
				return "", errUTF8
			}
			return s, nil
		case c == '\\':
			return r.unescape(start)
		case c < ' ':
			return "", errString
		}
	}
	return "", errString
}

// unescape goes on where str met the first backslash.
func (r *jsonReader) unescape(start int) (string, error) {
	out := []byte(r.text[start:r.offset])
	for r.offset < len(r.text) {
		c := r.text[r.offset]
		r.offset++
		switch {
		case c == '"':
			if !utf8.Valid(out) {
				return "", errUTF8
			}
			return string(out), nil
		case c < ' ':
			return "", errString
		case c != '\\':
			out = append(out, c)
		default:
			char, err := r.escape()
			if err != nil {
				return "", err
			}
			out = utf8.AppendRune(out, char)
		}
	}
	return "", errString
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (rune, error) {
	if r.offset == len(r.text) {
		return 0, errString
	}
	c := r.text[r.offset]
	r.offset++
	switch c {
	case '"', '\\', '/':
		return rune(c), nil
	case 'b':
		return '\b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'u':
		return r.unicode()
	}
	return 0, errString
}

// unicode reads the four digits of a \u escape, and the second half of a
// surrogate pair with the first. Half a pair is no character.
func (r *jsonReader) unicode() (rune, error) {
	high, err := r.hex4()
	if err != nil || !utf16.IsSurrogate(high) {
		return high, err
	}
	if len(r.text)-r.offset < 2 || r.text[r.offset:r.offset+2] != `\u` {
		return 0, errString
	}
	r.offset += 2
	low, err := r.hex4()
	if err != nil {
		return 0, err
	}
	char := utf16.DecodeRune(high, low)
	if char == utf8.RuneError {
		return 0, errString
	}
	return char, nil
}

func (r *jsonReader) hex4() (rune, error) {
	if len(r.text)-r.offset < 4 {
		return 0, errString
	}
	n, err := strconv.ParseUint(r.text[r.offset:r.offset+4], 16, 16)
	if err != nil {
		return 0, errString
	}
	r.offset += 4
	return rune(n), nil
}
