package main_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// fileBackend is a backend with one file, a feed, an answer that is waited for, and uploads.
type fileBackend struct {
	t       *testing.T
	content []byte
	say     chan string // what the feed, or the answer that is waited for, says next; closed at its end

	mu   sync.Mutex
	seen []string // guarded by mu: what of a request was to be seen
}

func (f *fileBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("Range")+" "+r.Header.Get("If-Range")+" "+r.Header.Get("Last-Event-ID"))
	f.mu.Unlock()
	switch r.URL.Path {
	case "/file":
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	case "/feed":
		w.Header().Set("Content-Type", "text/event-stream")
		for said := range f.say {
			fmt.Fprint(w, said)
			if err := http.NewResponseController(w).Flush(); err != nil {
				return
			}
			if said == "" {
				return
			}
		}
	case "/poll":
		fmt.Fprint(w, <-f.say)
	case "/page":
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><link rel=icon href=data:,>")
	case "/upload":
		digest := sha256.New()
		n, err := io.Copy(digest, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, digest.Sum(nil), err)
	default:
		http.NotFound(w, r)
	}
}

// TestCurl: ranges, resumed downloads, feeds, answers that are waited for, and uploads that ask first.
func TestCurl(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"--http1.1", "--http2"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			f := &fileBackend{t: t, content: varied(3 << 20), say: make(chan string)}
			p := newPrograms(t, f, `  - { path: "/*rest", allow: authenticated, bearer: only }`)
			curl := func(arguments ...string) string {
				t.Helper()
				return p.must("", "curl", "curl", append([]string{"-sS", version, "-H", p.bearer()}, arguments...)...)
			}
			const address = "https://app.viloforge.test"
			part := func(from, to int) string { return string(f.content[from:to]) }
			for what, c := range map[string]struct {
				arguments []string
				status    string
				body      string
			}{
				"first":             {[]string{"-r", "0-99"}, "206", part(0, 100)},
				"last":              {[]string{"-r", "-100"}, "206", part(len(f.content)-100, len(f.content))},
				"from":              {[]string{"-r", "3000000-"}, "206", part(3000000, len(f.content))},
				"beyond":            {[]string{"-r", "9000000-"}, "416", ""},
				"if-range":          {[]string{"-r", "5-9", "-H", `If-Range: "v1"`}, "206", part(5, 10)},
				"if-range-of-other": {[]string{"-r", "5-9", "-H", `If-Range: "v0"`}, "200", string(f.content)},
				"if-none-match":     {[]string{"-H", `If-None-Match: "v1"`}, "304", ""},
				"if-match":          {[]string{"-H", `If-Match: "v0"`}, "412", ""},
			} {
				out := curl(append([]string{"-w", "%{stderr}%{http_code}", "-o", "part", address + "/file"}, c.arguments...)...)
				if out != c.status {
					t.Errorf("%s: %s, want %s", what, out, c.status)
				}
				if c.body != "" {
					p.holds("part", []byte(c.body))
				}
			}
			if out := curl("-r", "1-2,5-6", "-i", address+"/file"); !strings.Contains(out, "multipart/byteranges") || strings.Count(strings.ToLower(out), "content-range: bytes") != 2 {
				t.Errorf("two ranges: %q", out)
			}
			p.write("resumed", f.content[:1234567])
			curl("-C", "-", "-o", "resumed", address+"/file")
			p.holds("resumed", f.content)

			feed := p.command("", "curl", "curl", "-sSN", version, "-H", p.bearer(), address+"/feed")
			out, err := feed.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := feed.Start(); err != nil {
				t.Fatal(err)
			}
			for i := range 3 { // the next is said when the one before has arrived
				said := "data: " + strconv.Itoa(i) + "\n\n"
				f.say <- said
				got := make([]byte, len(said))
				if _, err := io.ReadFull(out, got); err != nil || string(got) != said {
					t.Errorf("the feed says %q: %v", got, err)
				}
			}
			f.say <- ""
			if err := feed.Wait(); err != nil {
				t.Errorf("the feed ends with %v", err)
			}

			polled := make(chan string, 1)
			poll := p.command("", "curl", "curl", "-sS", version, "-H", p.bearer(), address+"/poll")
			go func() {
				out, err := poll.CombinedOutput()
				polled <- fmt.Sprintf("%s %v", out, err)
			}()
			f.say <- "at last"
			if got := <-polled; got != "at last <nil>" {
				t.Errorf("what was waited for: %s", got)
			}

			p.write("large", varied(3<<20))
			want := fmt.Sprintf("%d %x <nil>", 3<<20, sha256.Sum256(varied(3<<20)))
			for what, arguments := range map[string][]string{
				"by its length": {"-T", "large"}, "in chunks": {"-T", "-"}, "asking first": {"-T", "large", "-H", "Expect: 100-continue"},
				"asking first in chunks": {"-T", "-", "-H", "Expect: 100-continue"}, "posted": {"--data-binary", "@large"},
			} {
				got := p.must(string(varied(3<<20)), "curl", "curl", append([]string{"-sS", version, "-H", p.bearer(), address + "/upload"}, arguments...)...)
				if got != want {
					t.Errorf("an upload %s: %s", what, got)
				}
			}
		})
	}
}

// TestEventSource: a browser reads a feed, comes back when it has ended, and says where it was.
func TestEventSource(t *testing.T) {
	t.Parallel()
	f := &fileBackend{t: t, say: make(chan string)}
	backend := httptest.NewServer(f)
	t.Cleanup(backend.Close)
	t.Cleanup(func() { close(f.say) })
	b := (&application{Server: backend}).site(t, map[string]string{"policies/website.yaml": "host: website.viloforge.localhost\nupstream: app\nroutes: [ { path: \"/*rest\", allow: authenticated } ]\n"})
	tab := browse(t, b).tab()
	tab.open(b.url("website", "/page"))
	tab.signIn("alice", passwordOf("alice"))
	tab.at(b.url("website", "/page"))
	tab.evaluate(`(() => {
		window.heard = []
		window.source = new EventSource("/feed")
		source.onmessage = e => heard.push(e.data + "@" + e.lastEventId)
		source.onerror = () => heard.push("error " + source.readyState)
	})()`)
	heard := func(want string) {
		t.Helper()
		eventually(t, "the browser has heard "+want, func() bool { return tab.evaluate(`heard.join(" ")`) == want })
	}
	f.say <- "retry: 10\nid: 1\ndata: one\n\n"
	heard("one@1")
	f.say <- "id: 2\ndata: two\n\n"
	heard("one@1 two@2")
	f.say <- ""
	f.say <- "id: 3\ndata: three\n\n"
	heard("one@1 two@2 error 0 three@3")
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.seen[len(f.seen)-1]; got != "GET /feed   2" {
		t.Errorf("it came back with %q", got)
	}
	tab.evaluate("source.close()")
}
