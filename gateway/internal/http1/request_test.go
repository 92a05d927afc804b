package http1

import (
	"testing"

	"github.com/viloforge/vilogate/gateway/internal/field"
)

func TestRequestHead(t *testing.T) {
	b, err := AppendRequestLine(nil, "GET", "/a?b", "app.example.test")
	if err == nil {
		b, err = AppendFields(b, field.List{{Name: "x-A", Value: "ü"}, {Name: "B", Value: ""}})
	}
	if want := "GET /a?b HTTP/1.1\r\nHost: app.example.test\r\nx-A: ü\r\nB: \r\n\r\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v", b, err)
	}
	for _, line := range [][3]string{{"", "/", "h"}, {"G T", "/", "h"}, {"GET", "", "h"}, {"GET", "/ HTTP/1.1\r\nX: a", "h"}, {"GET", "/\n", "h"}, {"GET", "/", "h\r\nX: a"}, {"GET", "/", ""}} {
		if b, err := AppendRequestLine(nil, line[0], line[1], line[2]); err == nil {
			t.Errorf("%q is written as %q", line, b)
		}
	}
	for _, f := range [][2]string{{"", "a"}, {"X:", "a"}, {"X\r\nY", "a"}, {"X", "a\r\nY: b"}, {"X", "a\nb"}, {"X", "\x00"}} {
		if b, err := AppendField(nil, f[0], f[1]); err == nil {
			t.Errorf("%q is written as %q", f, b)
		}
	}
}
