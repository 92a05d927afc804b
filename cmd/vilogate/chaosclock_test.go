package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// movableClock is what the clock of a program that is built with it is moved by: the seconds that the file VILOGATE_CLOCK says. A goroutine
// looks at it, every ten milliseconds: Now is called where no system call may be made, as by timers in the scheduler.
const movableClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var movedBy atomic.Int64 // by how many seconds the clock is moved

func init() {
	if _, ok := syscall.Getenv("VILOGATE_CLOCK"); ok {
		go func() {
			for {
				movedBy.Store(readMoved())
				Sleep(10 * Millisecond)
			}
		}()
	}
}

func readMoved() (n int64) {
	name, _ := syscall.Getenv("VILOGATE_CLOCK")
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	var text [32]byte
	length, _ := syscall.Read(fd, text[:])
	syscall.Close(fd)
	sign := int64(1)
	for i := 0; i < length; i++ {
		switch c := text[i]; {
		case c == '-':
			sign = -1
		case '0' <= c && c <= '9':
			n = 10*n + int64(c-'0')
		}
	}
	return sign * n
}
`

// buildWithMovableClock builds the program over a package time whose wall clock can be moved while it runs. The monotonic clock goes on
// as it does on a machine whose time is set.
func buildWithMovableClock(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const now = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), now) != 1 {
		t.Fatal("time.Now is another function than this test knows")
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(source, "time.go"):  filepath.Join(dir, "time.go"),
		filepath.Join(source, "moved.go"): filepath.Join(dir, "moved.go"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, dir, map[string]string{
		"time.go": strings.Replace(string(text), now, now+"\tsec += movedBy.Load()\n", 1), "moved.go": movableClock, "overlay.json": string(overlay),
	})
	path = filepath.Join(dir, "vilogate")
	if err := build(path, "-overlay", filepath.Join(dir, "overlay.json")); err != nil {
		t.Fatal(err)
	}
	return path
}

// moveClock sets by how many seconds the clock of a site's process is moved.
func (s *site) moveClock(t *testing.T, seconds int) {
	t.Helper()
	path := filepath.Join(s.dir, "clock")
	if err := os.WriteFile(path+".new", fmt.Append(nil, seconds), 0o600); err != nil {
		t.Error(err)
	} else if err := os.Rename(path+".new", path); err != nil {
		t.Error(err)
	}
}
