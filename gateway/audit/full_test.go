package audit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fileSizeLimitEnv is the variable that makes this program the child process whose files may not grow (RLIMIT_FSIZE).
const fileSizeLimitEnv = "VILOGATE_AUDIT_TEST_ROOM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(fileSizeLimitEnv); dir != "" {
		if err := runWithFileSizeLimit(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestFullDisk: /dev/full answers as a full disk does. "refuse" refuses, promptly; "drop" lets pass and counts.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for _, fsync := range []Fsync{Always, Interval, Off} {
		for _, onFailure := range []OnFailure{Refuse, Drop} {
			t.Run(fmt.Sprint(fsync, onFailure), func(t *testing.T) {
				t.Parallel()
				l, stop := runLog(t, Options{File: "/dev/full", Fsync: fsync, OnFailure: onFailure})
				first := l.Put(recordWithID("first"))
				eventually(t, "the failure is noticed", func() bool { return l.Stats().Failing })
				switch err := l.Put(recordWithID("second")); {
				case onFailure == Refuse && (!errors.Is(err, errUnrecorded) || fsync == Always && !errors.Is(first, errUnrecorded)):
					t.Errorf("the request goes on: %v, %v", first, err)
				case onFailure == Drop && (err != nil || first != nil):
					t.Errorf("the request is refused: %v, %v", first, err)
				}
				for i := range 3 * queueLength { // memory stays bounded
					_ = l.Put(recordWithID(fmt.Sprint(i)))
				}
				if err := stop(); err != nil {
					t.Error(err)
				}
				if s := l.Stats(); s.Dropped != 3*queueLength+2 || s.Written != 0 || s.Failures == 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// TestADiskThatIsFullForAWhile: a line that does not fit is taken back whole, and all goes on when there is room again. It
// runs in a process of its own, whose files may not grow beyond a limit.
func TestADiskThatIsFullForAWhile(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fileSizeLimitEnv+"="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func runWithFileSizeLimit(dir string) error {
	for _, fsync := range []Fsync{Always, Interval} {
		for _, onFailure := range []OnFailure{Refuse, Drop} {
			path := filepath.Join(dir, fmt.Sprint("audit-", fsync, onFailure, ".log"))
			if err := diskFullForAWhile(path, fsync, onFailure); err != nil {
				return fmt.Errorf("fsync %d, on failure %d: %w", fsync, onFailure, err)
			}
		}
	}
	return nil
}

// child stands in for a test in the process of its own.
type child struct {
	testing.TB
	cleanups []func()
}

func (c *child) Helper()                        {}
func (c *child) Cleanup(f func())               { c.cleanups = append(c.cleanups, f) }
func (c *child) Fatal(a ...any)                 { panic(fmt.Sprint(a...)) }
func (c *child) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func diskFullForAWhile(path string, fsync Fsync, onFailure OnFailure) (err error) {
	t := &child{}
	l, stop := runLog(t, Options{File: path, Fsync: fsync, OnFailure: onFailure})
	const room = 10_000 // not a whole number of lines
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: room, Max: limit.Max}); err != nil {
		return err
	}
	passed := map[string]bool{}
	put := func(id string) {
		if l.Put(recordWithID(id)) == nil {
			passed[id] = true
		}
	}
	for i := 0; !l.Stats().Failing; i++ {
		put(fmt.Sprint("before-", i))
		eventually(t, "it is written, or is not", func() bool { s := l.Stats(); return s.Waiting == 0 || s.Failing })
	}
	put("during")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(string(data), "}\n") {
		return fmt.Errorf("the file ends with %q", data[len(data)-20:])
	}
	if passed["during"] != (onFailure == Drop) {
		return fmt.Errorf("a request during the failure: passed is %v", passed["during"])
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	eventually(t, "it recovers", func() bool {
		put("after")
		return passed["after"] && !l.Stats().Failing
	})
	if err := stop(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for r, err := range ReadAll(path) {
		if err != nil {
			return err
		}
		seen[r.RequestID] = true
	}
	for id := range passed {
		if !seen[id] {
			return fmt.Errorf("%s passed, and has no record", id)
		}
	}
	return nil
}
