package request

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

var readNames = []string{"id", "page_no", "x[y]"}

// TestAmbiguousQueries: what servers read in more than one way is refused, as far as the policy reads it.
func TestAmbiguousQueries(t *testing.T) { // not parallel, for it counts allocations
	for query, want := range map[string]string{ // the value of id; "-" for refused
		"":                  "",
		"id=7":              "7",
		"a=1&id=7&b":        "7",
		"id":                "",
		"id=a+b%20c%2Bd":    "a b c+d",
		"%69%64=7":          "7",
		"id=7&tag=a&tag=b":  "7",
		"idx=1&id=7":        "7",
		"id=%C3%A9":         "é",
		"id=a=b":            "a=b",
		"id=7&id=8":         "-",
		"id=7&id=7":         "-",
		"id=7&%69d=8":       "-",
		"id=7&ID=8":         "-",
		"Id=8":              "-",
		"id[]=8":            "-",
		"id[0]=8&id=7":      "-",
		"id=7&+id=8":        "-",
		"%2569d=8":          "-",
		"id%00x=8":          "-",
		"page.no=1":         "-",
		"page+no=1":         "-",
		"a=1;id=7":          "-",
		"id=7;b":            "-",
		"id=%zz":            "-",
		"a=%z&id=7":         "-",
		"id=%ff":            "-",
		"id=a%00b":          "-",
		"id=a%0ab":          "-",
		"x[y]=1&id=7":       "7",
		"x[Y]=1":            "-",
		"&&id=7&":           "7",
		"id=7&" + many(998): "7",
		"id=7&" + many(999): "7",
		many(1000) + "&id=": "-",
	} {
		values, err := ReadQuery(query, readNames)
		if checked := CheckQuery(query, readNames); (checked == nil) != (err == nil) {
			t.Errorf("%.60q: %v and %v", query, err, checked)
		}
		if got := values["id"]; err != nil != (want == "-") || err == nil && got != want {
			t.Errorf("%.60q: id is %q, %v; want %q", query, got, err, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if CheckQuery("a=1&id=7&b=2", readNames) != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func many(n int) string { return strings.TrimSuffix(strings.Repeat("p=1&", n), "&") }

// FuzzQuery: what is not refused is read by net/url as here, and nobody finds another value under any spelling.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"id=7", "a=1&id=7", "id=a+b%20c", "ID=1", "id[]=1", "a=1;id=2", "%69d=7", "id=%zz", "id=1&id=2", "x[y]=z"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := ReadQuery(query, readNames)
		if (CheckQuery(query, readNames) == nil) != (err == nil) {
			t.Fatal("the check and the reading differ")
		}
		if err != nil {
			return
		}
		parsed, err := url.ParseQuery(query)
		if err != nil {
			t.Fatalf("%q: net/url refuses it: %v", query, err)
		}
		for name, all := range parsed {
			value, read := values[name]
			if !slices.Contains(readNames, name) {
				if slices.ContainsFunc(readNames, func(r string) bool { return strings.EqualFold(r, name) }) {
					t.Errorf("%q holds %q", query, name)
				}
				continue
			}
			if !read || len(all) != 1 || all[0] != value {
				t.Errorf("%q: %q is %q here and %q to net/url", query, name, value, all)
			}
		}
		if len(values) > len(parsed) {
			t.Errorf("%q: %v and %v", query, values, parsed)
		}
	})
}
