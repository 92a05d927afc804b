package server

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// recordRefusals notes what is known of requests that are refused.
func recordRefusals(all *[]string) func(http.ResponseWriter, *http.Request, int, string) {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, status int, _ string) {
		mu.Lock()
		defer mu.Unlock()
		*all = append(*all, r.Method+" "+r.RequestURI)
		w.WriteHeader(status)
	}
}

func TestARequestThatDoesNotArriveIsRefusedByItsOwnLine(t *testing.T) {
	var refused []string
	serveWith(t, Options{Handler: http.HandlerFunc(echo), Refuse: recordRefusals(&refused)}, func(s *site) {
		p := s.dial()
		second := "GET /second?q=some-long-query-of-its-own HTTP/1.1\r\nHost: a\r\nX-Pad: "
		p.send(get + second + strings.Repeat("x", inputBuffer-len(get)-len(second)))
		if _, body := p.read("GET"); body != "GET / " {
			t.Fatalf("answered %q", body)
		}
		if answer, _ := p.read("GET"); answer.StatusCode != http.StatusRequestTimeout {
			t.Errorf("answered %s", answer.Status)
		}
		_ = p.Close()
		<-p.served
	})
	if want := "GET /second?q=some-long-query-of-its-own"; len(refused) != 1 || refused[0] != want {
		t.Errorf("refused %q, want %q", refused, want)
	}
}

func TestARequestIsNotRefusedByTheLineOfAnotherClient(t *testing.T) {
	var refused []string
	serveWith(t, Options{Handler: http.HandlerFunc(echo), Refuse: recordRefusals(&refused)}, func(s *site) {
		long := s.dial()
		long.send("GET /alice HTTP/1.1\r\nHost: a\r\nX-Pad: " + strings.Repeat("x", inputBuffer))
		var others []*peer
		for range 8 {
			other := s.dial()
			other.send("GET /bobbb HTTP/1.1\r\nHost: b\r\n")
			others = append(others, other)
		}
		for _, p := range append(others, long) {
			p.read("GET")
			_ = p.Close()
			<-p.served
		}
	})
	if len(refused) != 9 || !slices.Contains(refused, "GET /alice") {
		t.Errorf("refused %q, of which one is alice's", refused)
	}
}
