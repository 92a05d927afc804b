package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

type method string

type part struct {
	Name   string   `yaml:"name,required"`
	Roles  []string `yaml:"roles"`
	Port   int      `yaml:"port"`
	Places strictyaml.Places
}

func (p *part) SetDefaults() { p.Port = 443 }

// either is written as a text or as a part.
type either struct {
	word string
	part part
}

func (e *either) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		d.Decode(n, &e.word)
		return
	}
	d.Decode(n, &e.part)
}

type document struct {
	Place    strictyaml.Place    `yaml:"-"`
	Host     string              `yaml:"host"`
	Methods  []method            `yaml:"methods"`
	Timeout  strictyaml.Duration `yaml:"timeout"`
	Body     strictyaml.Size     `yaml:"body"`
	Strict   bool                `yaml:"strict"`
	Ratio    float64             `yaml:"ratio"`
	Part     *part               `yaml:"part"`
	Defaults *struct{}           `yaml:"defaults"`
	Parts    map[method]part     `yaml:"parts"`
	Either   []either            `yaml:"either"`
}

const good = `# a comment
host: a.example
methods: [GET, "POST"]
timeout: 1h30m
body: 64KiB
strict: true
ratio: 2
defaults:
part:
  name: x
  roles: [a]
  port: 8443
parts: { one: { name: y }, two: { name: "on" } }
either: [word, { name: z }]
`

func TestDecode(t *testing.T) {
	t.Parallel()
	var d document
	if err := strictyaml.Decode("f.yaml", []byte(good), &d); err != nil {
		t.Fatal(err)
	}
	for what, ok := range map[string]bool{
		"place":    d.Place == strictyaml.Place{File: "f.yaml", Line: 2, Column: 1},
		"host":     d.Host == "a.example",
		"methods":  len(d.Methods) == 2 && d.Methods[1] == "POST",
		"timeout":  time.Duration(d.Timeout) == 90*time.Minute && d.Timeout.String() == "1h30m",
		"body":     d.Body == 65536 && d.Body.String() == "64KiB",
		"scalars":  d.Strict && d.Ratio == 2,
		"defaults": d.Defaults != nil,
		"part":     d.Part.Name == "x" && d.Part.Roles[0] == "a" && d.Part.Port == 8443,
		"places":   d.Part.Places.Of("port").String() == "f.yaml:12:9" && d.Part.Places.Of("none").String() == "f.yaml:10:3",
		"parts":    d.Parts["one"].Name == "y" && d.Parts["two"].Name == "on",
		"either":   d.Either[0].word == "word" && d.Either[1].part.Name == "z" && d.Either[1].part.Port == 443,
	} {
		if !ok {
			t.Errorf("%s is wrong: %+v", what, d)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            `f:1:1: the file is empty`,
		"# nothing\n":                 `f:1:1: the file is empty`,
		"---\n":                       `f:1:1: the file is empty`,
		"- a":                         `f:1:1: expected a mapping, found a list`,
		"host: a\n---\nhost: b\n":     `f:2:1: a second document; only one is allowed in a file`,
		"hots: a":                     `f:1:1: unknown "hots", did you mean "host"?`,
		"part: { nmae: x }":           "f:1:7: \"name\" is missing\nf:1:9: unknown \"nmae\", did you mean \"name\"?",
		"part: { name: x, x: 1 }":     `f:1:18: unknown "x", expected one of: name, port, roles`,
		"host: a\nhost: b":            `f:2:1: "host" is given twice, first in line 1`,
		"host: true":                  `f:1:7: expected a text, found the bare word true; if it is meant as a text, quote it: "true"`,
		"host: yes":                   `f:1:7: expected a text, found the bare word yes; if it is meant as a text, quote it: "yes"`,
		"host: 7":                     `f:1:7: expected a text, found the number 7; if it is meant as a text, quote it: "7"`,
		"host: 2026-11-24":            `f:1:7: expected a text, found the date 2026-11-24; if it is meant as a text, quote it: "2026-11-24"`,
		"host:":                       `f:1:6: expected a text, found nothing`,
		"host: [a]":                   `f:1:7: expected a text, found a list`,
		"methods: GET":                `f:1:10: expected a list, found the text "GET"`,
		"strict: \"true\"":            `f:1:9: expected true or false, found the text "true"`,
		"strict: yes":                 `f:1:9: expected true or false, found the bare word yes`,
		"part: { name: x, port: 1e3}": `f:1:24: expected a whole number, found the number 1e3`,
		"part: { name: x, port: 0x1}": `f:1:24: expected a whole number in plain decimal digits, found the number 0x1`,
		"part: { name: x, port: '1'}": `f:1:24: expected a whole number, found the text "1"`,
		"timeout: 10":                 `f:1:10: a duration is written as 30d, 8h, 1h30m, 15m or 10s, found the number 10`,
		"timeout: 30m1h":              `f:1:10: a duration is written as 30d, 8h, 1h30m, 15m or 10s, found the text "30m1h"`,
		"timeout: 999999999d":         `f:1:10: a duration is written as 30d, 8h, 1h30m, 15m or 10s, found the text "999999999d"`,
		"body: 64KB":                  `f:1:7: a size is written as 512, 64KiB or 1MiB, found the text "64KB"`,
		"body: -1":                    `f:1:7: a size is written as 512, 64KiB or 1MiB, found the number -1`,
		"host: &a x":                  `f:1:7: anchors (&) and aliases (*) are not supported; quote the value if it is a text`,
		"host: !x y":                  `f:1:7: tags ("!x") are not supported; quote the value if it is a text`,
		"? [a]\n: b":                  `f:1:3: expected a text, found a list`,
		"host: *.a.example":           `f:1:7: a value that begins with * needs quotes: "*.a.example"`,
		"a: 1\nb: { url: ${X} }\n":    `f:2:11: inside { } and [ ] a value with ${…} needs quotes: "${X}"`,
		"part:\n  name: 1\n roles: 2": `f:3:2: not valid YAML: did not find expected key`,
		"part:\n\t- b":                `f:2:2: not valid YAML: found character that cannot start any token`,
		"host: a: b":                  `f:1:1: not valid YAML: mapping values are not allowed in this context`,
	} {
		var d document
		err := strictyaml.Decode("f", []byte(in), &d)
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %v", in, err, want)
		}
	}
}

func TestAnErrorIsOfItsPlace(t *testing.T) {
	t.Parallel()
	var d document
	err := strictyaml.Decode("f", []byte("host: 1\nhots: a\n"), &d)
	var one *strictyaml.Error
	var all strictyaml.Errors
	if !errors.As(err, &all) || len(all) != 2 || !errors.As(err, &one) || one.Place.Line != 1 {
		t.Fatalf("got %#v", err)
	}
}

func TestStringsArePutInAndNeverQuoted(t *testing.T) {
	t.Parallel()
	put := strictyaml.WithStrings(func(s string, at strictyaml.Place) (string, error) {
		switch {
		case s == "${MISSING}":
			return "", fmt.Errorf("the variable MISSING is not set (%d)", at.Line)
		case s == "${UNKNOWN}":
			return "", strictyaml.ErrSkip
		case strings.Contains(s, "${S}"):
			return strings.ReplaceAll(s, "${S}", "hunter2"), nil
		}
		return s, nil
	})
	var d document
	if err := strictyaml.Decode("f", []byte(`{ host: "a${S}", methods: ["${S}"] }`), &d, put); err != nil || d.Host != "ahunter2" || d.Methods[0] != "hunter2" {
		t.Fatal(err, d)
	}
	d = document{}
	if err := strictyaml.Decode("f", []byte(`{ part: { name: "${UNKNOWN}" }, timeout: "${UNKNOWN}" }`), &d, put); err != nil || d.Part.Name != "" || d.Timeout != 0 {
		t.Fatal(err, d)
	}
	want := `f:1:7: the variable MISSING is not set (1)
f:2:10: a duration is written as 30d, 8h, 1h30m, 15m or 10s, found the text "${S}"
f:3:1: unknown "${S}x", expected one of: body, defaults, either, host, methods, part, parts, ratio, strict, timeout
f:4:7: a size is written as 512, 64KiB or 1MiB, found the text "x${S}"`
	err := strictyaml.Decode("f", []byte("host: ${MISSING}\ntimeout: ${S}\n${S}x: a\nbody: x${S}\n"), &d, put)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"larger than 1024 KiB":    "host: " + strings.Repeat("a", 1<<20),
		"nested more than 32":     "either: " + strings.Repeat("[", 200) + strings.Repeat("]", 200),
		"exceeded max depth":      strings.Repeat("[", 100_000),
		"expected a text":         "methods: [" + strings.Repeat("1,", 100_000) + "]",
		"anchors (&) and aliases": "part: &a [x]\nhost: [" + strings.Repeat("*a,", 1000) + "]",
	} {
		var d document
		err := strictyaml.Decode("f", []byte(in), &d)
		var all strictyaml.Errors
		if !errors.As(err, &all) || len(all) > 100 || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %.200v", name, err)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"access_token_ttl", "allow", "host", "methods", "upstream"}
	for word, want := range map[string]string{
		"hosts": "host", "Host": "host", "upstraem": "upstream", "method": "methods", "alow": "allow",
		"access-token-ttl": "access_token_ttl", "ttl": "", "": "", "xyz": "", strings.Repeat("x", 1000): "",
	} {
		if got := strictyaml.Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("host: *.a\n"))
	f.Add([]byte("a: &a [*a, *a]\n"))
	f.Add([]byte("? ? ? a\n: {b: [1, 2, \"\\x00\"]}\n--- \n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var d document
		err := strictyaml.Decode("f", data, &d, strictyaml.WithStrings(func(s string, _ strictyaml.Place) (string, error) { return s, nil }))
		var all strictyaml.Errors
		if err != nil && !errors.As(err, &all) {
			t.Fatalf("an error without a place: %v", err)
		}
		for _, e := range all {
			if e.Place.Line < 1 || e.Place.Column < 1 || strings.Contains(e.Msg, "\n") {
				t.Fatalf("a bad place or text: %v", e)
			}
		}
	})
}

// TestPlacesThatAreUnclear: where only YAML itself can tell, it is the place of the text.
func TestPlacesThatAreUnclear(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a: >\n  first\n\n  second !\n",
		"a: \"first\n\n  second !\"",
		"a: first\n\n  second !",
		"a: |2\n      first !\n",
		"a: >-2\n      first !\n",
		"a: \"first \\\n  second !\"",
		"a: >\r\n  first\r\n\r\n  second !\r\n",
	} {
		var doc struct {
			A inside `yaml:"a"`
		}
		if err := strictyaml.Decode("f", []byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(doc.A.text, "!")
		if got := doc.A.at(len([]rune(before))); got.String() != "f:1:4" {
			t.Errorf("%q: %v, want f:1:4", text, got)
		}
	}
}

// inside is a text with the place of each of its characters.
type inside struct {
	Text strictyaml.Place
	at   func(int) strictyaml.Place
	text string
}

func (i *inside) DecodeYAML(d *strictyaml.Decoder, n *yaml.Node) {
	i.at = d.PlaceWithin(n)
	d.Decode(n, &i.text)
}

// TestPlacesInsideTexts: the ! of each text is found in the file, however the text is written.
func TestPlacesInsideTexts(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`a: x == y! z`,
		`a: 'it''s é "here"! now'`,
		`a: "tab\t é \u00e9 \x41 \"q\" !"`,
		"a: |\n  first é\n    second !\n",
		"a: |-\n\n      first\n      ! second",
		"a: >\n  first\n  second !\n",
		"a: 'first\n  second\n  third !'",
		"a: first\n  ! second",
		"{ b: 1, a: 'é!' }",
		"a: |\r\n  first\r\n  second !\r\n",
		"a: >\r\n  first\r\n  second !\r\n",
		"a: first\r\n  second !\r\n",
		"a: \"first\r\n  second !\"\r\n",
		"a: 'first  \n  second !'",
		"a: |\n  first\n\n  second !\n",
		"a: >\n\n  first\n   second !\n",
	} {
		var doc struct {
			A inside `yaml:"a"`
			B int    `yaml:"b"`
		}
		if err := strictyaml.Decode("f", []byte(text), &doc); err != nil {
			t.Fatal(err)
		}
		before, _, _ := strings.Cut(doc.A.text, "!")
		got := doc.A.at(len([]rune(before)))
		lines := strings.Split(text, "\n")
		if got.Line > len(lines) || got.Column > len(lines[got.Line-1]) || lines[got.Line-1][got.Column-1] != '!' {
			t.Errorf("%q: the ! is not at %v", text, got)
		}
		for i := range 200 {
			if at := doc.A.at(i); at.Line < 1 || at.Line > len(lines) || at.Column < 1 {
				t.Errorf("%q: character %d at %v", text, i, at)
			}
		}
	}
}
