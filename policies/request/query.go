package request

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxParameters is what the strictest of usual servers read; what comes behind is dropped by some of them in silence.
const maxParameters = 1000

// MaxReadParameters is how many parameters may be named.
const MaxReadParameters = 64

// CheckQuery refuses HTTP parameter pollution: a query of which servers could read one of the named parameters differently than ReadQuery does: an
// invalid escape, a semicolon (which separates, to some), more parameters than some read, a name that is no UTF-8, a named
// parameter that is there twice, and one in another spelling that some take for it (ID, id[], id.0, [id, id], !id). The
// error is a *Malformed. It allocates nothing where no name is escaped.
func CheckQuery(query string, names []string) error {
	return scanQuery(query, names, nil)
}

// ReadQuery is the values of the named parameters that are there. The error is that of CheckQuery.
func ReadQuery(query string, names []string) (map[string]string, error) {
	values := make(map[string]string, len(names))
	err := scanQuery(query, names, values)
	return values, err
}

func scanQuery(query string, names []string, into map[string]string) error {
	if strings.IndexByte(query, ';') >= 0 {
		return malformed("a semicolon in the query, which some servers take for &")
	}
	var seen uint64 // by index of names, of which there are MaxReadParameters at most
	for count := 0; query != ""; count++ {
		var parameter string
		parameter, query, _ = strings.Cut(query, "&")
		if count == maxParameters {
			return malformed("more parameters in the query than all servers read")
		}
		rawName, rawValue, _ := strings.Cut(parameter, "=")
		name, ok := unescapeQuery(rawName)
		value, okValue := rawValue, true
		if strings.IndexByte(rawValue, '%') >= 0 {
			value, okValue = unescapeQuery(rawValue)
		}
		if !ok || !okValue {
			return malformed("invalid percent-encoding in the query: not % and two hexadecimal digits")
		}
		if !utf8.ValidString(name) {
			return malformed("the name of a parameter is no UTF-8")
		}
		i := slices.Index(names, name)
		if i < 0 {
			if slices.ContainsFunc(names, func(read string) bool { return isParameterAlias(read, name) }) {
				return malformed("an alias of a parameter that the policy reads is in the query (parameter pollution)")
			}
			continue
		}
		if seen&(1<<(i%MaxReadParameters)) != 0 {
			return malformed("duplicate query parameter that the policy reads (parameter pollution)")
		}
		seen |= 1 << (i % MaxReadParameters)
		if !utf8.ValidString(value) || strings.IndexFunc(value, isControl) >= 0 {
			return malformed("a parameter that the policy reads holds a control character, or bytes that are no UTF-8")
		}
		if into != nil {
			value, _ = unescapeQuery(rawValue)
			into[name] = value
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// unescapeQuery decodes a name or a value of a query; false where an escape is none.
func unescapeQuery(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 && strings.IndexByte(s, '+') < 0 {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '+':
			b = append(b, ' ')
		case '%':
			v := decodeEscape(s[i:])
			if v < 0 {
				return "", false
			}
			b = append(b, byte(v))
			i += 2
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// isParameterAlias reports whether some server takes a name, decoded once, for the one that a policy reads, or for a part or
// the whole of it (testdata/query says which does). Servers fold case, decode again, leave out what stands around a name
// (a space, [, ], ., ?, !, _), take one such character for another, and cut the name where a bracket, a dot or NUL begins
// a nested part. So both are compared word by word, in lower case; read has words to come only where the name goes on.
func isParameterAlias(read, name string) bool {
	if strings.IndexByte(name, '%') >= 0 {
		name = string(decodeRepeatedly(nil, []byte(name)))
	}
	read, _, _ = cutSeparator(expandIntoASCII(read))
	name, _, _ = cutSeparator(expandIntoASCII(name))
	for {
		readRest, readBetween, readNests := cutSeparator(read)
		nameRest, nameBetween, nameNests := cutSeparator(name)
		switch {
		case readRest == "":
			return nameRest == "" || nameNests
		case nameRest == "":
			return readNests
		case readBetween != nameBetween:
			return false
		}
		a, n := utf8.DecodeRuneInString(readRest)
		b, m := utf8.DecodeRuneInString(nameRest)
		if foldRune(a) != foldRune(b) {
			return false
		}
		read, name = readRest[n:], nameRest[m:]
	}
}

// cutSeparator cuts what is no letter and no digit from the front of s: found says that there was something, and nests that
// servers end a name there, which they do at everything but underscores and hyphens.
func cutSeparator(s string) (rest string, found, nests bool) {
	for i, r := range s {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) {
			return s[i:], i > 0, nests
		}
		nests = nests || r != '_' && r != '-'
	}
	return "", s != "", nests
}

// foldRune is the same for letters that differ by case. What folds into ASCII is not left to it: expandIntoASCII.
func foldRune(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }
