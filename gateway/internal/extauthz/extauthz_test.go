package extauthz

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/viloforge/vilogate/gateway/internal/field"
	"github.com/viloforge/vilogate/policies/request"
)

// text is a field of text or bytes, or a message in another.
func text(number protowire.Number, values ...string) string {
	return string(appendMessage(nil, number, []byte(strings.Join(values, ""))))
}

// asked is a CheckRequest of these parts of an HttpRequest.
func asked(parts ...string) []byte {
	address := text(1, text(1, text(2, "192.0.2.9")))
	return []byte(text(1, text(1, address), text(4, text(2, parts...)), text(10, "skipped")))
}

var good = []string{
	text(1, "id"), text(2, "GET"), text(4, "/a?b"), text(5, "app.example.com"), text(6, "https"), text(10, "HTTP/2"), text(11, "body"),
	text(3, text(1, "Cookie"), text(2, "a=b")), text(3, text(1, ":path"), text(2, "/a?b")), text(3, text(1, "empty"), text(2, "")),
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	got, err := ParseRequest(asked(append(good, "\x48\x05")...)) // size
	want := Request{Method: "GET", Host: "app.example.com", Path: "/a?b", Scheme: "https", Source: "192.0.2.9"}
	if err != nil || got.Method != want.Method || got.Host != want.Host || got.Path != want.Path || got.Scheme != want.Scheme || got.Source != want.Source {
		t.Errorf("%+v, %v", got, err)
	}
	if len(got.Fields) != 2 || got.Fields.Get("cookie") != "a=b" || got.Fields[0].Name != "cookie" {
		t.Errorf("%+v", got.Fields)
	}
	for name, message := range map[string][]byte{
		"nothing":         nil,
		"no request":      []byte(text(1, text(1, ""))),
		"two requests":    []byte(text(1, text(4, text(2, good...), text(2, good...)))),
		"cut off":         asked(good...)[:20],
		"a group":         {0x0b, 0x0c},
		"another path":    asked(append(good, text(3, text(1, ":path"), text(2, "/b")))...),
		"another host":    asked(append(good, text(3, text(1, ":authority"), text(2, "b")))...),
		"another method":  asked(append(good, text(3, text(1, ":method"), text(2, "PUT")))...),
		"header twice":    asked(append(good, text(13, text(1, text(1, "a"), text(2, "b"))))...),
		"value twice":     asked(text(2, "GET"), text(13, text(1, text(1, "a"), text(2, "b"), text(3, "c")))),
		"a line feed":     asked(append(good, text(3, text(1, "a"), text(2, "b\nc: d")))...),
		"a name of none":  asked(append(good, text(3, text(1, "a b"), text(2, "c")))...),
		"a name of zero":  asked(append(good, text(3, text(2, "c")))...),
		"a wrong type":    asked(append(good, "\x1d\x01")...),
		"trailing varint": append(asked(good...), 0x08),
	} {
		if got, err := ParseRequest(message); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzParseRequest: no message panics, or yields a field that a header could not hold.
func FuzzParseRequest(f *testing.F) {
	f.Add(asked(good...))
	f.Add(asked(text(13, text(1, text(1, "a"), text(3, "b")))))
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := ParseRequest(message)
		if err != nil {
			return
		}
		for _, one := range got.Fields {
			if !request.IsToken(one.Name) || !field.IsValue(one.Value) || one.Name != strings.ToLower(one.Name) {
				t.Errorf("%q", one)
			}
		}
	})
}

// TestResponses: fields take the place of what a client has sent, and cookies none of each other's.
func TestResponses(t *testing.T) {
	t.Parallel()
	overwrite, add := "\x18\x02", "\x12\x02\x08\x01"
	header := func(name, value, how string) string { return text(1, text(1, name), text(2, value)) + how }
	got := Allow(field.List{{Name: "X-User", Value: "alice"}, {Name: "Cookie", Value: "a=b"}, {Name: "Cookie", Value: "c=d"}}, []string{"X-User-Roles"},
		field.List{{Name: "Set-Cookie", Value: "e=f"}, {Name: "RateLimit", Value: "g"}})
	want := text(1) + text(3, text(2, header("x-user", "alice", overwrite)), text(2, header("cookie", "a=b", overwrite)), text(2, header("cookie", "c=d", add)),
		text(5, "x-user-roles"), text(6, header("set-cookie", "e=f", add)), text(6, header("ratelimit", "g", overwrite)))
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%q\n%q", got, want)
	}
	got = Deny(302, field.List{{Name: "Location", Value: "/"}}, []byte("body"))
	want = text(1, "\x08\x07") + text(2, text(1, "\x08\xae\x02"), text(2, header("location", "/", overwrite)), text(3, "body"))
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%q\n%q", got, want)
	}
}
