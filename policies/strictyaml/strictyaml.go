// Package strictyaml decodes YAML so that nothing a person wrote is ignored and nothing is guessed.
//
// An unknown key, a key given twice, a second document, a value of another type, an anchor, a tag: each is an error with
// its file, line and column, and where a word is nearly right, with the right one. Every error of a file is reported, not
// only the first. A value is never converted: true is no string, "8443" is no number, and an unquoted yes is neither.
//
// It stands on floor 0: it reads bytes, not files, and imports only the YAML parser. It keeps two promises to its callers:
// the value decoded into is to be used only when there was no error, and no error quotes what WithStrings put in.
//
// # Why not the decoder of the YAML package
//
// Even when it is strict it passes over a second document, turns 8443 into a text and takes anchors, and of an error it
// knows the line at most. What compiles the values later knows no place at all. Policies and configuration say who gets in:
// here a guess is a hole, and a person who mends a file wants to hear everything at once, at its place. So the package is
// asked for its tree of nodes alone.
//
// # What is filled
//
// Structs (keys by the tag `yaml:"name"`; `yaml:"name,required"` must be given; those of an embedded struct count as its
// own), pointers, slices, maps with string keys, strings, booleans, integers and floats, types of these, and every type
// that implements NodeDecoder. A mapping that is left empty (`idp:`) is a mapping of defaults. Two kinds of field without
// a key are filled for the caller's own errors: a field of type Place gets the place of the mapping, and one of type
// Places that of every value in it.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxBytes  = 1 << 20 // unless WithMaxBytes says otherwise
	maxDepth  = 32
	maxErrors = 100
)

// An Option changes how Decode works.
type Option func(*Decoder)

// WithStrings has f called for every string value (never for a key), and its answer taken instead. The text that f
// returns never appears in an error: there the value is quoted as it was written.
func WithStrings(f func(s string, at Place) (string, error)) Option {
	return func(d *Decoder) { d.strings = f }
}

// WithMaxBytes bounds the size of the file, in place of 1 MiB.
func WithMaxBytes(n int) Option {
	return func(d *Decoder) { d.maxBytes = n }
}

// A Decoder decodes the nodes of one document and collects what is wrong with them. It serves one goroutine.
type Decoder struct {
	file        string
	maxBytes    int
	lines       []string // of the file
	structInfos map[reflect.Type]*structInfo
	strings     func(string, Place) (string, error)
	errs        Errors
	written     map[*yaml.Node]string // values that strings replaced, as they stand in the file
	reported    map[*yaml.Node]bool   // reported already: skipped without another word
}

// A NodeDecoder decodes itself, for values that may be written in several forms. It reports through d.Errorf and may call
// d.Decode on the parts.
type NodeDecoder interface {
	DecodeYAML(d *Decoder, n *yaml.Node)
}

// A Defaulter is a struct that has values before those of the file are put in.
type Defaulter interface {
	SetDefaults()
}

// ErrSkip is what the function of WithStrings returns for a value that cannot be known: it is left unset, and its place
// stands in Places all the same.
var ErrSkip = errors.New("the value is not known")

// Place is where n stands in the file.
func (d *Decoder) Place(n *yaml.Node) Place { return Place{d.file, n.Line, n.Column} }

// Errorf records an error at n.
func (d *Decoder) Errorf(n *yaml.Node, format string, a ...any) {
	if len(d.errs) < maxErrors {
		d.errs = append(d.errs, &Error{d.Place(n), fmt.Sprintf(format, a...)})
	}
}

// Written is the text of a scalar as it stands in the file, which is what an error may quote.
func (d *Decoder) Written(n *yaml.Node) string {
	s, replaced := d.written[n]
	if !replaced {
		s = n.Value
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return s
}

// parse reads the one document there may be; nil after an error.
func (d *Decoder) parse(data []byte) *yaml.Node {
	top := &yaml.Node{Line: 1, Column: 1}
	if len(data) > d.maxBytes {
		d.Errorf(top, "the file is larger than %d KiB", d.maxBytes>>10)
		return nil
	}
	d.lines = strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var doc, next yaml.Node
	switch err := reader.Decode(&doc); {
	case errors.Is(err, io.EOF), err == nil && isEmpty(&doc):
		d.Errorf(top, "the file is empty")
		return nil
	case err != nil:
		d.syntaxError(data, err)
		return nil
	}
	switch err := reader.Decode(&next); {
	case err == nil:
		d.Errorf(&next, "a second document; only one is allowed in a file")
		return nil
	case !errors.Is(err, io.EOF):
		d.syntaxError(data, err)
		return nil
	}
	return doc.Content[0]
}

func isEmpty(doc *yaml.Node) bool {
	return len(doc.Content) != 1 || isNull(doc.Content[0]) && doc.Content[0].Value == ""
}

// checkNode refuses what is not supported anywhere in the document and puts in what WithStrings makes of its values.
func (d *Decoder) checkNode(n *yaml.Node, depth int) {
	refuse := func(format string, a ...any) {
		d.Errorf(n, format, a...)
		d.reported[n] = true
	}
	switch {
	case depth > maxDepth:
		refuse("nested more than %d deep", maxDepth)
		return
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		refuse("anchors (&) and aliases (*) are not supported; quote the value if it is a text")
		return
	case n.Style&yaml.TaggedStyle != 0:
		refuse("tags (%q) are not supported; quote the value if it is a text", n.Tag)
		return
	}
	if n.Kind == yaml.ScalarNode && d.strings != nil && n.ShortTag() == "!!str" {
		s, err := d.strings(n.Value, d.Place(n))
		if errors.Is(err, ErrSkip) {
			d.reported[n] = true
		} else if err != nil {
			refuse("%v", err)
		} else if s != n.Value {
			d.written[n] = n.Value
			n.Value, n.Tag, n.Style = s, "!!str", yaml.DoubleQuotedStyle
		}
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 && c.Kind == yaml.ScalarNode && c.Anchor == "" && c.Style&yaml.TaggedStyle == 0 {
			continue // a key
		}
		d.checkNode(c, depth+1)
	}
}

// syntaxError places an error of the parser, which counts lines from one in its scanner and from zero in its grammar,
// says nothing of columns, and does not know which mistake people make.
func (d *Decoder) syntaxError(data []byte, err error) {
	msg, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if rest, ok := strings.CutPrefix(msg, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			line, _ = strconv.Atoi(number)
			msg = text
		}
	}
	if strings.HasPrefix(msg, "did not find expected") && !strings.HasSuffix(msg, "character") || line == 0 {
		line++
	}
	lines := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	at := &yaml.Node{Line: min(line, len(lines))}
	if l, column, hint := findUnquoted(lines); hint != "" {
		at.Line, at.Column = l, column
		d.Errorf(at, "%s", hint)
		return
	}
	text := lines[at.Line-1]
	at.Column = 1 + len(text) - len(strings.TrimLeft(text, " \t"))
	d.Errorf(at, "not valid YAML: %s", msg)
}

// findUnquoted finds the two things that need quotes and that people leave bare: *.host, and ${NAME} inside { }.
func findUnquoted(lines []string) (line, column int, hint string) {
	for i, text := range lines {
		if strings.HasPrefix(strings.TrimLeft(text, " \t"), "#") {
			continue
		}
		for _, before := range []string{": *", "[*", ", *", "- *", "[ *"} {
			if at := strings.Index(text, before); at >= 0 {
				at += len(before) - 1
				return i + 1, at + 1, fmt.Sprintf("a value that begins with * needs quotes: %q", bareWord(text[at:]))
			}
		}
		open := strings.IndexAny(text, "{[")
		if at := strings.Index(text, " ${"); at >= 0 && open >= 0 && open <= at {
			return i + 1, at + 2, fmt.Sprintf("inside { } and [ ] a value with ${…} needs quotes: %q", bareWord(text[at+1:]))
		}
	}
	return 0, 0, ""
}

func bareWord(s string) string {
	if rest, ok := strings.CutPrefix(s, "${"); ok {
		name, _, _ := strings.Cut(rest, "}")
		return "${" + name + "}"
	}
	if end := strings.IndexAny(s, " ,]}#\r"); end >= 0 {
		s = s[:end]
	}
	return s
}

// A structInfo is what of a struct can be filled, those of embedded structs with it. Fields are known by their indices.
type structInfo struct {
	fields        map[string][]int // by key
	known         []string         // the keys, sorted
	required      []string         // of them, those that must be given
	place, places [][]int
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
