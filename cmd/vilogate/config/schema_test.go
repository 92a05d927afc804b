package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/viloforge/vilogate/policies/strictyaml"
	"github.com/viloforge/vilogate/policies/strictyaml/schema"
)

// orInterpolated lets a text be ${NAME} as well.
func orInterpolated(s schema.Node) schema.Node {
	return schema.Node{"anyOf": []schema.Node{s, {"type": "string", "pattern": `\$\{`}}}
}

func newGenerator(t *testing.T) *schema.Generator {
	t.Helper()
	text := func(*schema.Generator) schema.Node { return schema.Node{"type": "string"} }
	pattern := func(p string) func(*schema.Generator) schema.Node {
		return func(*schema.Generator) schema.Node {
			return orInterpolated(schema.Node{"type": "string", "pattern": p})
		}
	}
	words := func(w ...string) schema.Node {
		alternatives := orInterpolated(schema.Words(w...))
		return schema.Node{"type": "string", "anyOf": alternatives["anyOf"]}
	}
	g := &schema.Generator{
		Types: map[reflect.Type]func(*schema.Generator) schema.Node{
			reflect.TypeFor[Address]():             text,
			reflect.TypeFor[BackendURL]():          text,
			reflect.TypeFor[Network]():             text,
			reflect.TypeFor[ClientIPHeader]():      text,
			reflect.TypeFor[IdentityHeader]():      text,
			reflect.TypeFor[TokenHeader]():         text,
			reflect.TypeFor[Rate]():                pattern("^[1-9][0-9]*/[smhd]$"),
			reflect.TypeFor[ByteRate]():            pattern("^[0-9]+(KiB|MiB)?/s$"),
			reflect.TypeFor[strictyaml.Duration](): func(g *schema.Generator) schema.Node { return orInterpolated(schema.Duration(g)) },
			reflect.TypeFor[strictyaml.Size]():     func(g *schema.Generator) schema.Node { return orInterpolated(schema.Size(g)) },
			reflect.TypeFor[Fsync]():               func(*schema.Generator) schema.Node { return words("always", "interval", "off") },
			reflect.TypeFor[ProxyProtocol]():       func(*schema.Generator) schema.Node { return words("v1", "v2", "off") },
			reflect.TypeFor[Affinity]():            func(*schema.Generator) schema.Node { return words("user", "cookie", "off") },
			reflect.TypeFor[Switch]():              func(*schema.Generator) schema.Node { return words("on", "off") },
			reflect.TypeFor[Keepalive](): func(g *schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{words("off"), orInterpolated(schema.Duration(g))}}
			},
			reflect.TypeFor[Resolve](): func(g *schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{words("ttl", "off"), orInterpolated(schema.Duration(g))}}
			},
			reflect.TypeFor[SizeOrOff](): func(g *schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{words("off"), orInterpolated(schema.Size(g))}}
			},
			reflect.TypeFor[StatusRange](): func(*schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{{"type": "integer"}, orInterpolated(schema.Node{"type": "string", "pattern": "^[2-5][0-9][0-9](-[2-5][0-9][0-9])?$"})}}
			},
			reflect.TypeFor[unsupported](): func(*schema.Generator) schema.Node { return schema.Node{} },
			reflect.TypeFor[Audiences](): func(*schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{{"type": "array", "items": schema.Node{"type": "string"}}, orInterpolated(schema.Words("none"))}}
			},
			reflect.TypeFor[ClaimPath](): func(*schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{{"type": "string"}, {"type": "array", "items": schema.Node{"type": "string"}}}}
			},
			reflect.TypeFor[Keys](): func(*schema.Generator) schema.Node {
				list := schema.Node{"type": "array", "items": schema.Node{"type": "object", "required": []string{"kty"}}}
				return schema.Node{"anyOf": []schema.Node{
					{"type": "string"},
					list,
					{"type": "object", "additionalProperties": false, "required": []string{"keys"}, "properties": schema.Node{"keys": list}},
				}}
			},
			reflect.TypeFor[Backend](): func(g *schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{{"type": "string"}, g.Struct(reflect.TypeFor[Backend]())}}
			},
			reflect.TypeFor[Redis](): func(g *schema.Generator) schema.Node {
				return schema.Node{"anyOf": []schema.Node{{"type": "string"}, g.Struct(reflect.TypeFor[Redis]())}}
			},
		},
		Fields: map[string]schema.Node{
			"Certificates.source":       words("files", "local", "cloudflare"),
			"Issuer.algorithm":          words("HS256", "HS384", "HS512"),
			"Issuer.roles_unmapped":     words("keep", "drop", "slug"),
			"Upstream.identity_headers": words("x-user", "remote-user", "x-forwarded-user"),
			"Upstream.odd_headers":      words("drop", "reject", "pass"),
			"Audit.on_failure":          words("refuse", "drop"),
			"Config.client_address":     words("x-forwarded-for", "forwarded"),
		},
	}
	if err := g.ReadComments(os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestSchemaIsCurrent: what the program prints is what the types say.
func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	made, err := newGenerator(t).Of("vilogate: the configuration", reflect.TypeFor[Config]())
	if err != nil {
		t.Fatal(err)
	}
	const path = "schema.json"
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, made, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if kept, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, made) {
		t.Errorf("%s is not what the types say (%v); go test ./cmd/vilogate/config -run Schema -update writes it", path, err)
	}
}

// TestSchemaKnowsTheConfiguration: good configurations are right by the schema, and unknown words are wrong by it.
func TestSchemaKnowsTheConfiguration(t *testing.T) {
	t.Parallel()
	good, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(good) == 0 {
		t.Fatal(good, err)
	}
	for _, path := range good {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if wrong, err := schema.Validate(Schema, data); err != nil || len(wrong) > 0 {
			t.Errorf("%s: %v, %v", path, wrong, err)
		}
	}
	for _, text := range []string{"domian: a.example", "domain: a.example\nlisten: { htps: \":443\" }", "domain: a.example\nlimits: { streams: many }", "domain: 7", "state: /x"} {
		if wrong, err := schema.Validate(Schema, []byte(text)); err != nil || len(wrong) == 0 {
			t.Errorf("%q: nothing is wrong by the schema, %v", text, err)
		}
	}
}
