package strictyaml

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// PlaceWithin tells where in the file the parts of a text stand: it returns a function from a count of characters of the
// scalar n to their place, for the errors of whoever gives the text a meaning. Where it takes more of YAML to tell, it is
// the place of n: behind a blank line that folds, behind a line break that is escaped, and in a block whose header says how
// far it is indented.
func (d *Decoder) PlaceWithin(n *yaml.Node) func(characters int) Place {
	at := d.Place(n)
	var raw []string
	if n.Line > 0 && n.Line <= len(d.lines) {
		raw = d.lines[n.Line-1:]
	}
	style := n.Style
	return func(characters int) Place {
		line, column := -1, 0
		switch {
		case len(raw) == 0:
		case style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			if header := raw[0][min(at.Column-1, len(raw[0])):]; strings.ContainsAny(strings.SplitN(header, "#", 2)[0], "123456789") {
				return at
			}
			line, column = offsetInBlock(raw, style&yaml.FoldedStyle != 0, characters)
		default:
			line, column = offsetInFlow(raw, at.Column-1, style, characters)
		}
		if line < 0 {
			return at
		}
		return Place{at.File, at.Line + line, column + 1}
	}
}

// offsetInBlock counts in the lines of a block scalar, which begin below its header, each with the indent of the first.
func offsetInBlock(raw []string, folded bool, characters int) (line, column int) {
	indent := -1
	for i, text := range raw[1:] {
		if folded && indent >= 0 && strings.TrimSpace(text) == "" {
			return -1, 0
		}
		if indent < 0 && strings.TrimSpace(text) != "" {
			indent = len(text) - len(strings.TrimLeft(text, " "))
		}
		content := ""
		if len(text) > indent && indent >= 0 {
			content = text[indent:]
		}
		if n := len([]rune(content)); characters <= n {
			return i + 1, max(indent, 0) + len(string([]rune(content)[:characters]))
		} else {
			characters -= n + 1 // the line break
		}
	}
	return -1, 0
}

// offsetInFlow counts in a plain or quoted scalar that begins at a byte of the first line.
func offsetInFlow(raw []string, start int, style yaml.Style, characters int) (line, column int) {
	text := []byte(strings.TrimRight(raw[0], " \t"))
	if start > len(text) {
		return -1, 0
	}
	at := start
	if style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		at++
	}
	for ; characters > 0; characters-- {
		width := 1
		switch {
		case at >= len(text): // goes on in the next line, which a space stands for
			escaped := style&yaml.DoubleQuotedStyle != 0 && len(text) > 0 && text[len(text)-1] == '\\'
			if line++; line >= len(raw) || escaped || strings.TrimSpace(raw[line]) == "" {
				return -1, 0
			}
			text = []byte(strings.TrimRight(raw[line], " \t"))
			at = len(text) - len(strings.TrimLeft(raw[line], " \t"))
			continue
		case style&yaml.SingleQuotedStyle != 0 && text[at] == '\'':
			width = 2
		case style&yaml.DoubleQuotedStyle != 0 && text[at] == '\\':
			width = escapeWidth(text[at:])
		case text[at] >= 0x80:
			for width = 1; at+width < len(text) && text[at+width]&0xc0 == 0x80; width++ {
			}
		}
		at += width
	}
	return line, min(at, len(text))
}

// escapeWidth is how many bytes an escape of a double-quoted scalar has.
func escapeWidth(escape []byte) int {
	if len(escape) < 2 {
		return 1
	}
	switch escape[1] {
	case 'x':
		return 4
	case 'u':
		return 6
	case 'U':
		return 10
	}
	return 2
}
