package strictyaml

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var (
	nodeDecoder = reflect.TypeFor[NodeDecoder]()
	placeType   = reflect.TypeFor[Place]()
	placesType  = reflect.TypeFor[Places]()
)

// Decode decodes n into what into points to, and says whether nothing was wrong.
func (d *Decoder) Decode(n *yaml.Node, into any) bool {
	before := len(d.errs)
	d.value(n, reflect.ValueOf(into).Elem())
	return len(d.errs) == before
}

func (d *Decoder) value(n *yaml.Node, v reflect.Value) {
	if d.reported[n] {
		return
	}
	if v.CanAddr() && v.Addr().Type().Implements(nodeDecoder) {
		v.Addr().Interface().(NodeDecoder).DecodeYAML(d, n)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, v.Elem())
	case reflect.Struct:
		d.structure(n, v)
	case reflect.Map:
		d.mapping(n, v)
	case reflect.Slice:
		d.list(n, v)
	case reflect.String:
		if s, ok := d.text(n); ok {
			v.SetString(s)
		}
	case reflect.Bool:
		if d.isScalar(n, "!!bool", "true or false") {
			v.SetBool(strings.EqualFold(n.Value, "true"))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if d.isScalar(n, "!!int", "a whole number") {
			i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
			if err != nil {
				d.Errorf(n, "expected a whole number in plain decimal digits, found %s", d.describe(n))
			}
			v.SetInt(i)
		}
	case reflect.Float32, reflect.Float64:
		if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!int" || d.isScalar(n, "!!float", "a number") {
			f, err := strconv.ParseFloat(n.Value, v.Type().Bits())
			if err != nil {
				d.Errorf(n, "expected a number, found %s", d.describe(n))
			}
			v.SetFloat(f)
		}
	default:
		d.Errorf(n, "no value can be given here (it would be a %s)", v.Type())
	}
}

// structure fills a struct from a mapping, or from nothing at all.
func (d *Decoder) structure(n *yaml.Node, v reflect.Value) {
	if !isNull(n) && !d.isKind(n, yaml.MappingNode, "a mapping") {
		return
	}
	if v.CanAddr() {
		if s, ok := v.Addr().Interface().(Defaulter); ok {
			s.SetDefaults()
		}
	}
	places, shape := Places{"": d.Place(n)}, d.structInfo(v.Type())
	for _, index := range shape.place {
		v.FieldByIndex(index).Set(reflect.ValueOf(d.Place(n)))
	}
	for _, index := range shape.places {
		v.FieldByIndex(index).Set(reflect.ValueOf(places))
	}
	d.pairs(n, func(key, value *yaml.Node) {
		index, ok := shape.fields[key.Value]
		if !ok {
			d.Unknown(key, shape.known)
			return
		}
		places[key.Value] = d.Place(value)
		d.value(value, v.FieldByIndex(index))
	})
	for _, name := range shape.required {
		if _, given := places[name]; !given {
			d.Errorf(n, "%q is missing", name)
		}
	}
}

// structInfo is the shape of a struct, found out once a document.
func (d *Decoder) structInfo(t reflect.Type) *structInfo {
	if s := d.structInfos[t]; s != nil {
		return s
	}
	s := &structInfo{fields: map[string][]int{}}
	s.add(t, nil)
	s.known = slices.Sorted(maps.Keys(s.fields))
	slices.Sort(s.required)
	d.structInfos[t] = s
	return s
}

func (s *structInfo) add(t reflect.Type, outer []int) {
	for i := range t.NumField() {
		f, index := t.Field(i), append(slices.Clone(outer), i)
		name, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Type == placeType && f.IsExported():
			s.place = append(s.place, index)
		case f.Type == placesType && f.IsExported():
			s.places = append(s.places, index)
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			s.add(f.Type, index)
		case name != "" && name != "-":
			s.fields[name] = index
			if option == "required" {
				s.required = append(s.required, name)
			}
		}
	}
}

func (d *Decoder) mapping(n *yaml.Node, v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		d.Errorf(n, "no value can be given here (it would be a %s)", v.Type())
		return
	}
	if !isNull(n) && !d.isKind(n, yaml.MappingNode, "a mapping") {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(n, func(key, value *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(value, element)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), element)
	})
}

func (d *Decoder) list(n *yaml.Node, v reflect.Value) {
	if !d.isKind(n, yaml.SequenceNode, "a list") {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, c := range n.Content {
		d.value(c, v.Index(i))
	}
}

// pairs calls f for every key and value of a mapping, refusing keys that are no strings or stand there twice.
func (d *Decoder) pairs(n *yaml.Node, f func(key, value *yaml.Node)) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if _, ok := d.text(key); !ok {
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.Errorf(key, "%q is given twice, first in line %d", key.Value, first.Line)
			continue
		}
		seen[key.Value] = key
		f(key, n.Content[i+1])
	}
}

// Unknown records that n is none of the known words, with the nearest of them.
func (d *Decoder) Unknown(n *yaml.Node, known []string) {
	word := d.Written(n)
	if near := Nearest(word, known); near != "" {
		d.Errorf(n, "unknown %q, did you mean %q?", word, near)
		return
	}
	d.Errorf(n, "unknown %q, expected one of: %s", word, strings.Join(known, ", "))
}

func (d *Decoder) isKind(n *yaml.Node, kind yaml.Kind, expected string) bool {
	if n.Kind != kind {
		d.Errorf(n, "expected %s, found %s", expected, d.describe(n))
	}
	return n.Kind == kind
}

func (d *Decoder) isScalar(n *yaml.Node, tag, expected string) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() != tag {
		d.Errorf(n, "expected %s, found %s", expected, d.describe(n))
		return false
	}
	return true
}

// text is the string that n holds. A bare yes or off is none: YAML 1.1 makes a boolean of it.
func (d *Decoder) text(n *yaml.Node) (string, bool) {
	switch {
	case d.reported[n]:
	case n.Kind != yaml.ScalarNode || isNull(n):
		d.Errorf(n, "expected a text, found %s", d.describe(n))
	case n.ShortTag() != "!!str", n.Style == 0 && isYAML11Bool(n.Value):
		d.Errorf(n, "expected a text, found %s; if it is meant as a text, quote it: %q", d.describe(n), n.Value)
	default:
		return n.Value, true
	}
	return "", false
}

func isYAML11Bool(s string) bool {
	switch strings.ToLower(s) {
	case "yes", "no", "on", "off":
		return true
	}
	return false
}

func (d *Decoder) describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
	default:
		return "something else"
	}
	kind, ok := map[string]string{"!!int": "the number", "!!float": "the number", "!!timestamp": "the date", "!!str": "the text"}[n.ShortTag()]
	switch {
	case isNull(n):
		return "nothing"
	case !ok, kind == "the text" && n.Style == 0 && isYAML11Bool(n.Value):
		return "the bare word " + d.Written(n)
	case kind == "the text":
		return fmt.Sprintf("%s %q", kind, d.Written(n))
	}
	return kind + " " + d.Written(n)
}

// Decode decodes the one document in data into the struct, map or slice that into points to. The error is an Errors; then
// into may be half filled and must not be used.
func Decode(file string, data []byte, into any, opts ...Option) error {
	d := &Decoder{file: file, maxBytes: maxBytes, structInfos: map[reflect.Type]*structInfo{}, written: map[*yaml.Node]string{}, reported: map[*yaml.Node]bool{}}
	for _, o := range opts {
		o(d)
	}
	if root := d.parse(data); root != nil {
		d.checkNode(root, 0)
		d.Decode(root, into)
	}
	return d.errs.sorted()
}
