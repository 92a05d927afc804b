package token

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestReadObjectKeepsWhatItReads(t *testing.T) {
	t.Parallel()
	o, err := readObject(" {\"a\" :\t[1, -0.5e+3,\"\\u00e9\\ud83d\\ude00\\/\\n\"] , \"b\":{\"c\":null},\"d\":true,\"e\":false,\"f\":\"\"}\r\n")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := o.get("a")
	if len(a.list) != 3 || a.list[0].text != "1" || a.list[1].text != "-0.5e+3" || a.list[2].text != "é😀/\n" {
		t.Errorf("%+v", a)
	}
	b, _ := o.get("b")
	if c, ok := b.members.get("c"); !ok || c.kind != kindNull {
		t.Errorf("%+v", b)
	}
	if _, ok := o.get("c"); ok || len(o) != 5 {
		t.Errorf("%+v", o)
	}
}

func TestReadObjectRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, ` `, `{`, `}`, `[]`, `{}{}`, `{} x`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{a:1}`, `{'a':1}`, `{"a":1 "b":2}`,
		`{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":+1}`, `{"a":-}`, `{"a":1e}`, `{"a":1e+}`, `{"a":1e999}`, `{"a":-1e999}`, `{"a":[{"b":2e308}]}`, `{"a":0x1}`, `{"a":Infinity}`, `{"a":nul}`, `{"a":True}`,
		`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\u+123"}`, `{"a":"\ud800"}`, `{"a":"\ud800\u0041"}`, `{"a":"\ud800\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud800x"}`,
		`{"a":"`, `{"a":"\`, `{"a":"\"}`, "{\"a\":\"\n\"}", "{\"a\":\"\\n\n\"}", "{\"\xff\":1}", "{\"a\":\"\\n\xff\"}", `{"a":[1,]}`, `{"a":[1`, `{"a":[1}`, `{"a":[`,
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"x":{"":1,"":2}}`, "\ufeff{}",
		`{"a":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`,
	} {
		if o, err := readObject(text); err == nil {
			t.Errorf("%q became %+v", text, o)
		}
	}
	if _, err := readObject(`{"a":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `}`); err != nil {
		t.Errorf("as deep as may be: %v", err)
	}
}

// Whatever is read here, encoding/json reads too, and as the same text.
func FuzzReadObject(f *testing.F) {
	f.Add(`{"a":[1,-2.5e3,"\u00e9\ud83d\ude00"],"b":{"c":null,"d":true}}`)
	f.Add(`{"a":1,"a":2}`)
	f.Add(`{"a":"\ud800"}`)
	f.Add(`{"a":[[[[[[[[[[]]]]]]]]]]}`)
	f.Add("{\"\xff\":1}")
	f.Fuzz(func(t *testing.T, text string) {
		o, err := readObject(text)
		if err != nil {
			return
		}
		var want map[string]any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", text, err)
		}
		if !utf8.ValidString(text) {
			t.Fatalf("took %q", text)
		}
		if got := o.plain(); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %#v here and %#v to encoding/json", text, got, want)
		}
	})
}
