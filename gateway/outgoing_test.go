package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

// manyFields is a header of so many fields with long names that differ, each of two lines, with that Connection.
func manyFields(n int, connection string) (*http.Request, field.List) {
	sent, h := field.List{}, http.Header{}
	for _, value := range []string{"1", "2"} {
		for i := range n {
			name := strings.Repeat("x", 50) + fmt.Sprintf("%04d", i)
			sent.Add(name, value)
			h.Add(name, value)
		}
	}
	h.Set("Connection", connection)
	return &http.Request{Header: h}, sent
}

// TestManyFieldsKeepTheirOrder, as few do, and those that Connection or nobody names any more are gone.
func TestManyFieldsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for _, n := range []int{3, 500} {
		r, sent := manyFields(n, "close, "+strings.ToUpper(strings.Repeat("x", 50)+"0001"))
		sent = append(sent, field.Field{Name: "Host", Value: "other"})
		r.Header.Set("Host", "other")
		r.Header.Del(sent[2].Name)
		var out outgoing
		out.begin(r, sent)
		got := out.header
		if len(got) != 2*n-4 || got[0] != sent[0] || got[len(got)/2] != sent[n] {
			t.Errorf("of %d names: %d lines, %q", n, len(got), got[:1])
		}
	}
}

func BenchmarkManyFields(b *testing.B) {
	r, sent := manyFields(500, "close")
	var out outgoing
	for b.Loop() {
		out.begin(r, sent)
	}
}

func BenchmarkManyConnectionOptions(b *testing.B) {
	r, sent := manyFields(250, strings.Repeat("Aaaaa,", 8000))
	var out outgoing
	for b.Loop() {
		out.begin(r, sent)
	}
}
