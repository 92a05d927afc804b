package corpus

import (
	"bytes"
	"strings"
	"testing"
)

// TestTheSeedDecides: what fails can be tried again.
func TestTheSeedDecides(t *testing.T) {
	a, b, c := New(1, "a.example", "X-A: b"), New(1, "a.example", "X-A: b"), New(2, "a.example", "X-A: b")
	seen, other := map[string]bool{}, 0
	for range Fixed() + 5000 {
		x := a.Next()
		if !bytes.Equal(x, b.Next()) {
			t.Fatal("one seed makes two messages")
		}
		if !bytes.Equal(x, c.Next()) {
			other++
		}
		seen[string(x)] = true
	}
	if other < 4000 || len(seen) < 4500 {
		t.Errorf("of %d messages %d differ, and %d follow from the seed", Fixed()+5000, len(seen), other)
	}
}

// TestServersReadOtherThings: the dialects are worth something only as far as they differ.
func TestServersReadOtherThings(t *testing.T) {
	const head, next = "POST /x HTTP/1.1\r\nHost: a\r\n", "GET /y HTTP/1.1\r\nHost: a\r\n\r\n"
	for message, want := range map[string]string{
		head + "Content-Length: 2\r\n\r\nab" + next:                                        "net/http, gunicorn, gunicorn of old, node, node, insecure, nginx, all leniencies",
		head + "Transfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n0\r\nX-A: b\r\n\r\n" + next: "net/http, gunicorn, gunicorn of old, node, node, insecure, nginx, all leniencies",
		head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + next:   "net/http, gunicorn of old, node, insecure, all leniencies",
		head + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + next:                  "node, insecure, all leniencies",
		head + "Content-Length : 2\r\n\r\nab" + next:                                       "gunicorn of old, node, insecure, all leniencies",
		head + "Content_Length: 2\r\n\r\nab" + next:                                        "all leniencies",
		head + "X-A: b\nContent-Length: 2\r\n\r\nab" + next:                                "net/http, node, insecure, nginx, all leniencies",
		head + "X-A: b\rContent-Length: 2\r\n\r\nab" + next:                                "all leniencies",
		head + "Sec-WebSocket-Key1: x\r\n\r\n12345678" + next:                              "gunicorn of old",
	} {
		var got []string
		for _, by := range Servers() {
			if all, rest, err := by.Read(message); err == nil && rest == "" && len(all) == 2 && all[1].Method == "GET" && all[1].Target == "/y" {
				got = append(got, by.Name)
			}
		}
		if got := strings.Join(got, ", "); got != want {
			t.Errorf("%q is two requests to %s, want %s", message, got, want)
		}
	}
}
