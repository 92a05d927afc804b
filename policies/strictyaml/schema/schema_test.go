package schema

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

type colour struct{ name string }

func (c *colour) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) { d.Decode(n, &c.name) }

type common struct {
	Size strictyaml.Size `yaml:"size"`
}

type thing struct {
	Place  strictyaml.Place
	Name   string         `yaml:"name,required"` // what it is called
	Colour colour         `yaml:"colour"`
	Parts  []thing        `yaml:"parts"`
	Counts map[string]int `yaml:"counts"`
	Ratio  float64        `yaml:"ratio"`
	Solid  *bool          `yaml:"solid"`
	common
}

func generator() *Generator {
	return &Generator{Types: map[reflect.Type]func(*Generator) Node{
		reflect.TypeFor[colour]():          func(*Generator) Node { return Words("red", "green") },
		reflect.TypeFor[strictyaml.Size](): Size,
	}}
}

// TestSchema: what the decoder takes is right by the schema, and what it refuses is wrong, at its place.
func TestSchema(t *testing.T) {
	t.Parallel()
	g := generator()
	source := "package schema\n\ntype thing struct {\n\tName string // what it is called\n}\n"
	if err := g.ReadComments(fstest.MapFS{"thing.go": {Data: []byte(source)}}); err != nil {
		t.Fatal(err)
	}
	schema, err := g.Of("a thing", reflect.TypeFor[thing]())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(schema), `"description": "what it is called"`) {
		t.Errorf("no comment in\n%s", schema)
	}
	for text, want := range map[string]string{
		"name: a": "",
		"{ name: a, colour: red, parts: [{ name: b, counts: { x: 1 } }], ratio: 1.5, solid: true, size: 1KiB }": "",
		"{ name: a, ratio: 2, size: 7 }":                "",
		"colour: red":                                   ": name is missing",
		"{ name: 7 }":                                   "/name: expected string, found int",
		"{ name: a, color: red }":                       ": color is not known",
		"{ name: a, colour: blue }":                     "/colour: blue is none of [red green]",
		"{ name: a, parts: [{ name: b }, { nam: c }] }": "/parts/1: nam is not known",
		"{ name: a, counts: { x: many } }":              "/counts/x: expected integer, found string",
		"{ name: a, size: 1KB }":                        "/size: 0 of the alternatives hold",
		"[]":                                            ": expected object, found []interface {}",
	} {
		wrong, err := Validate(schema, []byte(text))
		if err != nil || (len(wrong) == 0) != (want == "") || want != "" && wrong[0] != want {
			t.Errorf("%s: %q, %v; want %q", text, wrong, err, want)
		}
		var decoded thing
		if err := strictyaml.Decode("f", []byte(text), &decoded); (err == nil) != (want == "") && !strings.Contains(text, "blue") {
			t.Errorf("%s: the decoder says %v", text, err)
		}
	}
}

// TestNothingIsLeftOut: a type that decodes itself has to be described.
func TestNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	g := generator()
	delete(g.Types, reflect.TypeFor[colour]())
	if _, err := g.Of("a thing", reflect.TypeFor[thing]()); err == nil || err.Error() != "schema: nothing says what these take: schema.colour" {
		t.Error(err)
	}
}
