package logging

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// WithUnit has a duration carry its unit in its name, as milliseconds: as a bare number it would be read as anything. It serves
// as ReplaceAttr of another handler.
func WithUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	return slog.Float64(strings.TrimSuffix(a.Key, "_ms")+"_ms", float64(a.Value.Duration())/float64(time.Millisecond))
}

// appendDropped appends the line that says how many lines before it are missing.
func appendDropped(b []byte, now time.Time, count uint64) []byte {
	b = appendHead(b, now, slog.LevelWarn, "lines of the log were dropped: it cannot be written as fast as they come")
	b = append(b, `,"count":`...)
	b = strconv.AppendUint(b, count, 10)
	return append(b, "}\n"...)
}

// appendHead appends what every line begins with.
func appendHead(b []byte, at time.Time, level slog.Level, message string) []byte {
	b = append(b, '{')
	if !at.IsZero() {
		b = append(b, `"time":`...)
		b = appendTime(b, at)
		b = append(b, ',')
	}
	b = append(b, `"level":`...)
	b = appendString(b, level.String())
	b = append(b, `,"msg":`...)
	return appendString(b, message)
}

// appendTime appends RFC 3339 with nanoseconds, to which JSON needs no escape. It drops the monotonic clock.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendAttr appends an attribute with the comma before it, unless it is the first of its object. To an empty b it appends
// what follows in a line that has begun.
func appendAttr(b []byte, a slog.Attr) []byte {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindGroup:
		return appendGroup(b, a.Key, a.Value.Group())
	case slog.KindDuration:
		a = WithUnit(nil, a)
	}
	if a.Equal(slog.Attr{}) {
		return b
	}
	return appendValue(appendKey(b, a.Key), a.Value)
}

// appendGroup appends a group as an object of its own, unless it is empty or has no name.
func appendGroup(b []byte, name string, attrs []slog.Attr) []byte {
	if name == "" {
		for _, a := range attrs {
			b = appendAttr(b, a)
		}
		return b
	}
	before := len(b)
	b = append(appendKey(b, name), '{')
	opened := len(b)
	for _, a := range attrs {
		b = appendAttr(b, a)
	}
	if len(b) == opened {
		return b[:before]
	}
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	if len(b) == 0 || b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendString(b, key), ':')
}

func appendValue(b []byte, v slog.Value) []byte {
	switch v.Kind() {
	case slog.KindString:
		return appendString(b, v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10)
	case slog.KindUint64:
		return strconv.AppendUint(b, v.Uint64(), 10)
	case slog.KindFloat64:
		return appendFloat(b, v.Float64())
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool())
	case slog.KindTime:
		return appendTime(b, v.Time())
	default:
		return appendAny(b, v.Any())
	}
}

func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case []string:
		return appendStrings(b, v)
	case json.Marshaler: // also where it is an error
	case error:
		return appendString(b, v.Error())
	}
	text, err := json.Marshal(v)
	if err != nil {
		return appendString(b, fmt.Sprintf("!ERROR:%v", err))
	}
	return append(b, text...)
}

func appendStrings(b []byte, list []string) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// appendFloat appends a number as JSON has it; what JSON has no number for is a text.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendString(b, strconv.FormatFloat(f, 'g', -1, 64))
	}
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		b = strconv.AppendFloat(b, f, 'e', -1, 64)
		if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
			b[n-2], b = b[n-1], b[:n-1] // e-09 as e-9, as encoding/json has it
		}
		return b
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

const hex = "0123456789abcdef"

// appendString appends a JSON string (RFC 8259, section 7). What is no UTF-8 becomes U+FFFD; U+2028 and U+2029 are escaped,
// since they end lines elsewhere.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(append(b, s[start:i]...), `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				b = append(append(b, s[start:i]...), `\u202`...)
				b = append(b, hex[r&0xf])
			default:
				i += size
				continue
			}
			i += size
			start = i
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[start:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(append(b, s[start:]...), '"')
}
