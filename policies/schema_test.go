package policies

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/policies/strictyaml"
	"github.com/viloforge/vilogate/policies/strictyaml/schema"
)

func text(*schema.Generator) schema.Node { return schema.Node{"type": "string"} }

func orNone(s schema.Node) schema.Node {
	return schema.Node{"anyOf": []schema.Node{s, {"const": "none"}}}
}

func words(w ...string) func(*schema.Generator) schema.Node {
	return func(*schema.Generator) schema.Node { return schema.Words(w...) }
}

func structOf[T any](g *schema.Generator) schema.Node { return g.Struct(reflect.TypeFor[T]()) }

// scalar is what a claim may be.
var scalar = schema.Node{"anyOf": []schema.Node{{"type": "string"}, {"type": "number"}, {"type": "boolean"}}}

func oneOrMore(s schema.Node) schema.Node {
	return schema.Node{"anyOf": []schema.Node{s, {"type": "array", "items": s}}}
}

// describe says what the types take that decode themselves.
func describe(t testing.TB) *schema.Generator {
	t.Helper()
	g := &schema.Generator{
		Types: map[reflect.Type]func(*schema.Generator) schema.Node{
			reflect.TypeFor[word]():                text,
			reflect.TypeFor[expressionSyntax]():    text,
			reflect.TypeFor[addressSyntax]():       text,
			reflect.TypeFor[momentSyntax]():        text,
			reflect.TypeFor[strictyaml.Duration](): schema.Duration,
			reflect.TypeFor[ageSyntax]():           schema.Duration,
			reflect.TypeFor[only]():                words("only"),
			reflect.TypeFor[bearerSyntax]():        words("only", "pass", "verify"),
			reflect.TypeFor[allowed]():             words("allow", "refuse"),
			reflect.TypeFor[passed]():              words("pass", "drop"),
			reflect.TypeFor[kept]():                words("keep", "end"),
			reflect.TypeFor[sizeSyntax]():          func(g *schema.Generator) schema.Node { return orNone(schema.Size(g)) },
			reflect.TypeFor[timeoutSyntax]():       func(g *schema.Generator) schema.Node { return orNone(schema.Duration(g)) },
			reflect.TypeFor[corsSyntax]():          func(g *schema.Generator) schema.Node { return orNone(structOf[corsSyntax](g)) },
			reflect.TypeFor[rateSyntax](): func(*schema.Generator) schema.Node {
				return schema.Node{"type": "string", "pattern": "^([1-9][0-9]*/[smhd] per (user|ip|route)|none)$"}
			},
			reflect.TypeFor[allowSyntax]():    describeAllow,
			reflect.TypeFor[settingsSyntax](): func(*schema.Generator) schema.Node { return mapOf(schema.Node{"type": "string"}) },
			reflect.TypeFor[claimsSyntax]():   func(*schema.Generator) schema.Node { return mapOf(oneOrMore(scalar)) },
			reflect.TypeFor[valuesSyntax]():   func(*schema.Generator) schema.Node { return oneOrMore(schema.Node{"type": "string"}) },
			reflect.TypeFor[anySyntax]():      func(*schema.Generator) schema.Node { return schema.Node{} },
			reflect.TypeFor[testSyntax]():     describeTest,
		},
		Fields: map[string]schema.Node{
			"tlsSyntax.min_version": schema.Words("1.2", "1.3"),
			"optionsSyntax.mode":    schema.Words("shadow", "enforce"),

			"optionsSyntax.default_cache_control": schema.Words("private", "none"),
			"testSyntax.expect":                   schema.Words(expectations...),
			"identitySyntax.by":                   schema.Words("cookie", "bearer"),
		},
	}
	if err := g.ReadComments(os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	return g
}

func mapOf(s schema.Node) schema.Node {
	return schema.Node{"type": "object", "additionalProperties": s}
}

// describeAllow is a word, or a map in which optional may stand beside the conditions.
func describeAllow(g *schema.Generator) schema.Node {
	conditions := g.Definition(reflect.TypeFor[conditionsSyntax]())
	properties := schema.Node{"optional": schema.Node{"type": "boolean", "description": "nobody need be signed in"}}
	for key, value := range conditions["properties"].(schema.Node) {
		properties[key] = value
	}
	return schema.Node{"anyOf": []schema.Node{
		schema.Words(allowWords...), {"type": "object", "additionalProperties": false, "properties": properties},
	}}
}

// describeTest is a struct with one of the methods besides.
func describeTest(g *schema.Generator) schema.Node {
	test := g.Definition(reflect.TypeFor[testSyntax]())
	properties := test["properties"].(schema.Node)
	var one []schema.Node
	for _, method := range testMethods {
		properties[method] = schema.Node{"type": "string", "pattern": "^/", "description": "a " + strings.ToUpper(method) + " request of this path"}
		one = append(one, schema.Node{"required": []string{method}})
	}
	test["oneOf"] = one
	return structOf[testSyntax](g)
}

// TestSchemasAreCurrent: what the program prints is what the types say.
func TestSchemasAreCurrent(t *testing.T) {
	t.Parallel()
	for name, root := range map[string]reflect.Type{"policy": reflect.TypeFor[fileSyntax](), "tests": reflect.TypeFor[testFileSyntax]()} {
		made, err := describe(t).Of("vilogate: a file of "+map[string]string{"policy": "policies", "tests": "tests"}[name], root)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("schema", name+".json")
		if *update {
			if err := os.WriteFile(path, made, 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, made) {
			t.Errorf("%s is not what the types say (%v); go test ./policies -run Schemas -update writes it", path, err)
		}
	}
}

// TestSchemaKnowsThePolicies: what compiles is right by the schema, and what has a syntax that does not is wrong by it.
func TestSchemaKnowsThePolicies(t *testing.T) {
	t.Parallel()
	good := map[string]string{}
	shipped, err := ShippedFor("viloforge.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range shipped {
		good[f.Name] = string(f.Data)
	}
	for i, text := range []string{overlapping, deciding, options, conditional, expressive, testable} {
		good[string(rune('a'+i))] = text
	}
	for name, text := range good {
		wrong, err := schema.Validate(Schemas["policy"], []byte(text))
		if err != nil || len(wrong) > 0 {
			t.Errorf("%s: %v, %v", name, wrong, err)
		}
	}
	for _, name := range []string{"misspelt_keys", "options", "cors_syntax", "conditions", "wrong_types", "not_supported_yet", "misspelt_words", "tests_shape"} {
		data, err := fs.ReadFile(os.DirFS("testdata/bad"), name+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if wrong, err := schema.Validate(Schemas["policy"], data); err != nil || len(wrong) == 0 {
			t.Errorf("%s: nothing is wrong by the schema, %v", name, err)
		}
	}
	if wrong, err := schema.Validate(Schemas["tests"], []byte("tests: [{ get: /, expect: alow }, { get: /, post: /, expect: allow }]")); err != nil || len(wrong) != 2 {
		t.Errorf("%v, %v", wrong, err)
	}
}

// TestNoneForCORSOfAHost is good by the schema and by the compiler, and means what leaving it out means.
func TestNoneForCORSOfAHost(t *testing.T) {
	t.Parallel()
	const text = "host: website.viloforge.com\nupstream: website\ncors: none\nroutes: [{ path: /, allow: public }]\n"
	if wrong, err := schema.Validate(Schemas["policy"], []byte(text)); err != nil || len(wrong) > 0 {
		t.Errorf("%v, %v", wrong, err)
	}
	if h := compile(t, text); h.CORS != nil || h.Routes()[0].CORS != nil {
		t.Errorf("%+v", h.CORS)
	}
}
