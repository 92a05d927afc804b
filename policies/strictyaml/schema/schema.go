// Package schema writes down, as a JSON Schema (draft 7, which editors know), what package strictyaml makes a Go type of:
// the keys of structs with the comments on their fields, and for types that decode themselves what they are said to take.
//
// It stands on floor 0 and is for development: tests make the schemas that the program prints, and keep them current. It
// reads the source of the types for their comments.
package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// A Node is a schema, or a part of one.
type Node = map[string]any

// A Generator makes schemas of the types of one package.
type Generator struct {
	// Types are what types take that decode themselves. A function may ask the generator for parts.
	Types map[reflect.Type]func(*Generator) Node
	// Fields are what single fields take beside what their type says, by "Struct.key".
	Fields map[string]Node

	comments    map[string]string // of fields, by "Struct.Field"
	definitions Node
	missing     []string
}

// Duration is what strictyaml.Duration takes.
func Duration(*Generator) Node {
	return Node{"type": "string", "pattern": `^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`, "minLength": 2}
}

// Size is what strictyaml.Size takes.
func Size(*Generator) Node {
	return Node{"anyOf": []Node{{"type": "integer", "minimum": 0}, {"type": "string", "pattern": `^[0-9]+(KiB|MiB)?$`}}}
}

// ReadComments reads the comments on the fields of structs in the Go files of a folder.
func (g *Generator) ReadComments(dir fs.FS) error {
	names, err := fs.Glob(dir, "*.go")
	if err != nil {
		return fmt.Errorf("schema: looking for Go files: %w", err)
	}
	g.comments = map[string]string{}
	for _, name := range names {
		source, err := fs.ReadFile(dir, name)
		if err != nil {
			return fmt.Errorf("schema: reading the comments: %w", err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
		if err != nil {
			return fmt.Errorf("schema: reading the comments: %w", err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, field := range s.Fields.List {
					text := strings.TrimSpace(field.Doc.Text() + field.Comment.Text())
					for _, name := range field.Names {
						g.comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
					}
				}
			}
			return true
		})
	}
	return nil
}

// Of is the schema of a type, in JSON. It is an error where a type decodes itself and nothing says what it takes.
func (g *Generator) Of(title string, t reflect.Type) ([]byte, error) {
	g.definitions, g.missing = Node{}, nil
	root := g.Type(t)
	schema := Node{"$schema": "http://json-schema.org/draft-07/schema#", "title": title, "definitions": g.definitions}
	schema["allOf"] = []Node{root}
	if len(g.missing) > 0 {
		return nil, fmt.Errorf("schema: nothing says what these take: %s", strings.Join(g.missing, ", "))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(schema); err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return b.Bytes(), nil
}

var (
	decoderType = reflect.TypeFor[strictyaml.NodeDecoder]()
	placeType   = reflect.TypeFor[strictyaml.Place]()
	placesType  = reflect.TypeFor[strictyaml.Places]()
)

// Type is what a type takes.
func (g *Generator) Type(t reflect.Type) Node {
	if of := g.Types[t]; of != nil {
		return of(g)
	}
	if reflect.PointerTo(t).Implements(decoderType) && !hasKeys(t) {
		g.missing = append(g.missing, t.String())
		return Node{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.Type(t.Elem())
	case reflect.Struct:
		return g.Struct(t)
	case reflect.Slice:
		return Node{"type": "array", "items": g.Type(t.Elem())}
	case reflect.Map:
		return Node{"type": "object", "additionalProperties": g.Type(t.Elem())}
	case reflect.String:
		return Node{"type": "string"}
	case reflect.Bool:
		return Node{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Node{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return Node{"type": "number"}
	}
	g.missing = append(g.missing, t.String())
	return Node{}
}

// hasKeys reports whether a type is a struct with keys of its own, which it decodes with something besides.
func hasKeys(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

// Struct is the mapping of a struct, as a reference to its definition.
func (g *Generator) Struct(t reflect.Type) Node {
	name := definitionName(t)
	if _, made := g.definitions[name]; !made {
		definition := Node{"type": "object", "additionalProperties": false}
		g.definitions[name] = definition // before its fields, which may be of the same type
		properties, required := Node{}, []string{}
		g.fields(t, t.Name(), properties, &required)
		definition["properties"] = properties
		if len(required) > 0 {
			definition["required"] = required
		} else {
			definition["type"] = []string{"object", "null"} // left empty, it is a mapping of defaults
		}
	}
	return Node{"$ref": "#/definitions/" + name}
}

// Definition is the definition that Struct made, to be changed by a function of Types.
func (g *Generator) Definition(t reflect.Type) Node {
	g.Struct(t)
	return g.definitions[definitionName(t)].(Node)
}

// definitionName is the name of a definition.
func definitionName(t reflect.Type) string { return strings.TrimSuffix(t.Name(), "Syntax") }

func (g *Generator) fields(t reflect.Type, owner string, properties Node, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		key, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Type == placeType || f.Type == placesType:
		case f.Anonymous && key == "" && f.Type.Kind() == reflect.Struct:
			g.fields(f.Type, f.Type.Name(), properties, required)
		case key != "" && key != "-":
			property := Node{}
			for k, v := range g.Type(f.Type) {
				property[k] = v
			}
			for k, v := range g.Fields[owner+"."+key] {
				property[k] = v
			}
			if comment := g.comments[owner+"."+f.Name]; comment != "" {
				if ref, isRef := property["$ref"]; isRef { // beside which nothing else counts
					delete(property, "$ref")
					property["allOf"] = []Node{{"$ref": ref}}
				}
				property["description"] = comment
			}
			properties[key] = property
			if option == "required" {
				*required = append(*required, key)
			}
		}
	}
	slices.Sort(*required)
}

// Words are the values of a text that has only a few.
func Words(words ...string) Node { return Node{"enum": words} }
