package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// resumable is a server of resumable uploads (tus 1.0), with one upload.
type resumable struct {
	ended   chan struct{} // of each body that was read
	mu      sync.Mutex
	content []byte // guarded by mu
}

func (u *resumable) received() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.content)
}

func (u *resumable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Tus-Resumable", "1.0.0")
	switch r.Method {
	case http.MethodPost:
		w.Header().Set("Location", r.Header.Get("X-Forwarded-Proto")+"://"+r.Host+"/files/1")
		w.WriteHeader(http.StatusCreated)
	case http.MethodHead:
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Upload-Offset", strconv.Itoa(u.received()))
	case http.MethodPatch:
		if r.Header.Get("Upload-Offset") != strconv.Itoa(u.received()) || r.Header.Get("Content-Type") != "application/offset+octet-stream" {
			w.WriteHeader(http.StatusConflict)
			return
		}
		for piece := make([]byte, 4<<10); ; {
			n, err := r.Body.Read(piece)
			u.mu.Lock()
			u.content = append(u.content, piece[:n]...)
			u.mu.Unlock()
			if err != nil {
				break
			}
		}
		w.Header().Set("Upload-Offset", strconv.Itoa(u.received()))
		w.WriteHeader(http.StatusNoContent)
		u.ended <- struct{}{}
	}
}

// TestResumableUploads: what has been sent of an upload when it is cut off is not lost, and the rest follows.
func TestResumableUploads(t *testing.T) {
	t.Parallel()
	const whole = 800 << 10 // less than would be held
	for _, version := range []string{"--http1.1", "--http2"} {
		u := &resumable{ended: make(chan struct{}, 4)}
		p := newPrograms(t, u, `  - { path: "/files/*rest", allow: authenticated, bearer: only, stream: true }`)
		curl := func(arguments ...string) []string {
			return append([]string{"-sS", version, "-H", p.bearer(), "-H", "Tus-Resumable: 1.0.0"}, arguments...)
		}
		said := p.must("", "curl", "curl", curl("-i", "-X", "POST", "-H", fmt.Sprintf("Upload-Length: %d", whole), "-H", "Upload-Metadata: filename eA==", "https://app.viloforge.test/files/")...)
		if !strings.Contains(strings.ToLower(said), "location: https://app.viloforge.test/files/1\r\n") {
			t.Fatalf("%s: created: %s", version, said)
		}
		patch := func(offset int, more ...string) []string {
			p.write("rest", varied(whole)[offset:])
			return append(curl("-X", "PATCH", "-H", "Content-Type: application/offset+octet-stream", "-H", "Upload-Offset: "+strconv.Itoa(offset),
				"-T", "rest", "-o", "answer", "-w", "%{http_code}", "https://app.viloforge.test/files/1"), more...)
		}
		cut := p.command("", "curl", "curl", patch(0, "--limit-rate", "100K")...)
		if err := cut.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the beginning arrives", func() bool { return u.received() > 0 })
		if err := cut.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := cut.Wait(); err == nil {
			t.Error("an upload that was cut off succeeds")
		}
		wait(t, u.ended, "the server sees the end")
		first := u.received()
		said = p.must("", "curl", "curl", curl("-I", "https://app.viloforge.test/files/1")...)
		if first == whole || !strings.Contains(strings.ToLower(said), fmt.Sprintf("upload-offset: %d\r\n", first)) {
			t.Errorf("%s: of %d bytes the server has: %s", version, first, said)
		}
		if got := p.must("", "curl", "curl", patch(first)...); got != "204" {
			t.Errorf("%s: the rest: %s", version, got)
		}
		u.mu.Lock()
		if !bytes.Equal(u.content, varied(whole)) {
			t.Errorf("%s: %d bytes have arrived, or others", version, len(u.content))
		}
		u.mu.Unlock()
	}
}
