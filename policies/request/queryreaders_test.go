package request

import (
	"encoding/json"
	"os"
	"testing"
)

// TestServersReadTheQueryAsThePolicyDoes: what CheckQuery lets pass, every server of testdata/query reads as ReadQuery does.
// Spring is not among them, and goes by its documentation (Spring Framework reference, "Data Binding", WebDataBinder): it
// binds owner.x, owner[0] and owner['x'] to a part of owner, _owner says that the field owner was shown, and !owner is its
// value where owner is not there.
func TestServersReadTheQueryAsThePolicyDoes(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/query/readings.json")
	if err != nil {
		t.Fatal(err)
	}
	var readings map[string]map[string]any
	if err := json.Unmarshal(data, &readings); err != nil {
		t.Fatal(err)
	}
	names := []string{"owner"}
	passed, misread := map[string]int{}, map[string]int{}
	for query, readers := range readings {
		values, err := ReadQuery(query, names)
		var read any
		if value, ok := values["owner"]; ok {
			read = value
		}
		for reader, other := range readers {
			if _, is := other.(string); other != nil && !is {
				other = "a list, a map"
			}
			switch {
			case err == nil && other != read:
				t.Errorf("%s: the policy reads %v, %s %v", query, read, reader, other)
			case err == nil:
				passed[reader]++
			case other != nil && other != "alice":
				misread[reader]++
			}
		}
	}
	for reader, fewest := range map[string]int{ // Werkzeug and URLSearchParams know few names for one parameter
		"PHP": 10, "Rack": 10, "node qs": 10, "node qs allowDots": 10, "node querystring": 1, "node URLSearchParams": 1, "Django": 1, "Werkzeug": 0,
	} {
		if passed[reader] < 10 || misread[reader] < fewest {
			t.Errorf("%s: %d queries are read alike, %d in another way: the table shows little", reader, passed[reader], misread[reader])
		}
	}
	for _, query := range []string{
		"owner=alice&owner['x']=bob", "!owner=bob", "_owner=on", // Spring
		"?owner=bob", "owner=alice&owner:list=bob", "owner=alice&\u017fowner=1&owner%00=bob", "%EF%BB%BFowner=bob",
	} {
		if CheckQuery(query, names) == nil {
			t.Errorf("%s is not refused", query)
		}
	}
	for _, query := range []string{"owner=alice&owner_id=bob", "owner=alice&co-owner=bob", "owner=alice&x[owner]=bob", "owner=alice&_=1&[]=2&=3", "owners=1"} {
		if err := CheckQuery(query, names); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, query := range []string{"x=1", "x[]=1", "x]=1", "[x][y]=1", "x.y=1", "x[y][z]=1", "x_y=1", "[[x]=1"} {
		if CheckQuery(query, []string{"x[y]"}) == nil {
			t.Errorf("%s is not refused where x[y] is read", query)
		}
	}
	if err := CheckQuery("x[y]=1&x[z]=2&y=3&xy=4", []string{"x[y]"}); err != nil {
		t.Errorf("beside x[y]: %v", err)
	}
}
