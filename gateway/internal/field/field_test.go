package field

import (
	"slices"
	"testing"
)

func TestList(t *testing.T) {
	from := List{{"Accept", "a"}, {"X-One", "1"}, {"accept", "b"}, {"Via", "c"}, {"ACCEPT", "d"}}
	cases := []struct {
		name string
		edit func(*List)
		want List
	}{
		{"add", func(l *List) { l.Add("accept", "e") }, append(slices.Clone(from), Field{"accept", "e"})},
		{"set many", func(l *List) { l.Set("aCCept", "e") }, List{{"aCCept", "e"}, {"X-One", "1"}, {"Via", "c"}}},
		{"set the last", func(l *List) { *l = (*l)[3:]; l.Set("accept", "e") }, List{{"Via", "c"}, {"accept", "e"}}},
		{"set none", func(l *List) { l.Set("New", "e") }, append(slices.Clone(from), Field{"New", "e"})},
		{"delete many", func(l *List) { l.Del("Accept") }, List{{"X-One", "1"}, {"Via", "c"}}},
		{"delete none", func(l *List) { l.Del("Accep") }, from},
		{"delete some", func(l *List) { l.DelFunc(func(name string) bool { return len(name) < 6 }) }, List{from[0], from[2], from[4]}},
	}
	for _, c := range cases {
		l := slices.Clone(from)
		if c.edit(&l); !slices.Equal(l, c.want) {
			t.Errorf("%s: %q, want %q", c.name, l, c.want)
		}
	}
	if values := slices.Collect(from.Values("Accept")); !slices.Equal(values, []string{"a", "b", "d"}) {
		t.Errorf("values: %q", values)
	}
	for range from.Values("Accept") {
		break
	}
	if from.Get("via") != "c" || from.Get("Vi") != "" || from.Has("X") || !from.Has("x-one") {
		t.Error("a name is found by its case, or by a part of it")
	}
}

func TestHasToken(t *testing.T) {
	l := List{{"Connection", "keep-alive,\tClose "}, {"connection", "upgrade"}, {"Te", "x;close"}, {"Folds", "clo\u017fe, \u212aeep-alive"}}
	for _, token := range []string{"close", "Upgrade", "KEEP-ALIVE"} {
		if !l.HasToken("Connection", token) {
			t.Errorf("%s is not found", token)
		}
	}
	if l.HasToken("Connection", "keep") || l.HasToken("Te", "close") || l.HasToken("None", "close") ||
		l.HasToken("Folds", "close") || l.HasToken("Folds", "keep-alive") {
		t.Error("a token is found that is not there")
	}
}
