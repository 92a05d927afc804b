package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// needFreeDisk fails where the gateway would hold nothing on disk, which is what a test is about.
func needFreeDisk(t *testing.T) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(t.TempDir(), &fs); err != nil {
		t.Fatal(err)
	}
	if all := fs.Blocks - fs.Bfree + fs.Bavail; fs.Bavail < all/4 {
		t.Fatalf("the file system of %s has less than a quarter free: this test needs more", os.TempDir())
	}
}

// bodyFiles is how many files that bodies are in the process has open, all of which are unlinked.
func (s *site) bodyFiles(t *testing.T) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid)
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		to, _ := os.Readlink(filepath.Join(dir, f.Name())) // what is closed meanwhile is none
		if strings.Contains(to, "/.body-") {
			if !strings.HasSuffix(to, "(deleted)") {
				t.Errorf("a body is in a file that has a name: %s", to)
			}
			n++
		}
	}
	return n
}

// awaitNoBodies waits until no body is held, in memory or on disk.
func (s *site) awaitNoBodies(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is held", func() bool {
		return s.metric(t, "vilogate_buffered_bytes") == 0 && s.metric(t, "vilogate_buffered_disk_bytes") == 0 && s.bodyFiles(t) == 0
	})
}

// TestSlowClientsHoldNoBackendBeyondTheMemory: with buffer.disk, uploads and answers beyond what memory takes hold a real gunicorn's
// two workers no longer than others'.
func TestSlowClientsHoldNoBackendBeyondTheMemory(t *testing.T) {
	t.Parallel()
	needFreeDisk(t)
	const size = 3 << 20
	slowClientsHoldNoBackend(t, "", "request: 64KiB, response: 64KiB, disk: 64MiB", size, func(s *site) bool {
		return s.metric(t, "vilogate_buffered_disk_bytes") >= 4*(size/2-64<<10) && s.bodyFiles(t) == 4
	})
}

// TestBodiesOnDisk: of known and unknown length, they arrive whole and with a length; one beyond the bound is refused, one that is
// aborted reaches no backend, and where one client has no room left its body streams.
func TestBodiesOnDisk(t *testing.T) {
	t.Parallel()
	needFreeDisk(t)
	var requests atomic.Int32
	backend := framedBackend(t, &requests)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("limits: { buffer_disk: 16MiB }\nupstreams: { app: { url: %q, buffer: { request: 64KiB, disk: 2MiB, unknown: true } } }\n", backend.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		for _, n := range []int{64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20, 2<<20 - 1, 2 << 20} {
			for _, length := range []int64{int64(n), -1} {
				in, answered := upload(t, c, s.url("app", "/"), length)
				write(t, in, n)
				closeQuietly(t, in)
				if got, want := <-answered, fmt.Sprintf(`%d [] "" %d <nil>`, n, n); got.body != want {
					t.Errorf("%s, %d bytes of %d: %v, want %s", protocol, n, length, got, want)
				}
			}
		}
		before := requests.Load()
		in, answered := upload(t, c, s.url("app", "/"), -1)
		if _, err := io.WriteString(in, strings.Repeat("x", 2<<20+1)); err != nil {
			t.Logf("%s: too much: %v", protocol, err)
		}
		if got := <-answered; got.status != http.StatusRequestEntityTooLarge || requests.Load() != before {
			t.Errorf("%s: too much: %v, %d requests", protocol, got, requests.Load()-before)
		}
		closeQuietly(t, in)
		s.awaitNoBodies(t)

		in, answered = upload(t, c, s.url("app", "/"), 2<<20)
		write(t, in, 1<<20)
		eventually(t, "a half is on disk", func() bool { return s.bodyFiles(t) == 1 })
		if err := in.CloseWithError(io.ErrUnexpectedEOF); err != nil {
			t.Error(err)
		}
		if got := <-answered; got.status != 0 || requests.Load() != before {
			t.Errorf("%s: an aborted upload: %v, %d requests", protocol, got, requests.Load()-before)
		}
		s.awaitNoBodies(t)
	}
	if names, err := filepath.Glob(filepath.Join(s.state, ".body-*")); err != nil || len(names) > 0 {
		t.Errorf("the state folder has %v, %v", names, err)
	}
}

// TestBodiesBeyondTheDiskStream: three uploads fill a client's quarter; what comes then is passed on as it comes, whole and in order.
func TestBodiesBeyondTheDiskStream(t *testing.T) {
	t.Parallel()
	needFreeDisk(t)
	begun := make(chan struct{}, 8)
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Errorf("the backend: %v", err)
		}
	}))
	t.Cleanup(backend.Close)
	s := serve(t, map[string]string{
		"vilogate.yaml":     serveConfig + fmt.Sprintf("limits: { buffer_disk: 16MiB }\nupstreams: { app: { url: %q, buffer: { request: 64KiB, disk: 4MiB } } }\n", backend.URL),
		"policies/app.yaml": "host: app.viloforge.test\nupstream: app\nroutes: [ { path: \"/*rest\", allow: public } ]\n",
	})
	for _, protocol := range []string{"http/1.1", "h2"} {
		c := newClient(t, s, s.tls("", protocol))
		first, firstAnswer := upload(t, c, s.url("app", "/"), 3<<20)
		write(t, first, 5<<19)
		eventually(t, "it is on disk", func() bool { return s.metric(t, "vilogate_buffered_disk_bytes") == 3<<20 })
		second, secondAnswer := upload(t, c, s.url("app", "/"), 3<<20)
		text := strings.Repeat("0123456789abcdef", 3<<16)
		if _, err := io.WriteString(second, text[:1<<21]); err != nil {
			t.Error(err)
		}
		<-begun // the second, of which not all is there
		if _, err := io.WriteString(second, text[1<<21:]); err != nil {
			t.Error(err)
		}
		closeQuietly(t, second)
		if got := <-secondAnswer; got.body != text {
			t.Errorf("%s: %d, %d bytes", protocol, got.status, len(got.body))
		}
		write(t, first, 1<<19)
		closeQuietly(t, first)
		<-begun
		if got := <-firstAnswer; len(got.body) != 3<<20 {
			t.Errorf("%s: %d, %d bytes", protocol, got.status, len(got.body))
		}
		s.awaitNoBodies(t)
	}
	if n := s.metric(t, "vilogate_buffer_full_total"); n != 2 {
		t.Errorf("%d bodies streamed", n)
	}
}
