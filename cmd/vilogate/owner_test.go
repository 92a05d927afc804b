package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user whom every machine has.
const nobody = 65534

// worldFolder is a folder that every user can reach. Where the tests are root's, so is the folder.
func worldFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vilogate-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// strangersFolder is a folder of another user: nobody's, and root's where the tests are not root's.
func strangersFolder(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if err := os.Symlink("/", path); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
}

// TestFolderOfAnotherUserIsNotTakenByChance: a .vilogate that somebody else put where a command runs is used by none of
// them, and nothing is made in it.
func TestFolderOfAnotherUserIsNotTakenByChance(t *testing.T) {
	t.Parallel()
	dir := worldFolder(t)
	s := &site{process: &process{tb: t}, dir: dir}
	strangersFolder(t, filepath.Join(dir, ".vilogate"))
	for _, command := range []string{
		"user list", "user passwd bob --password-stdin", "session revoke --user bob", "keys list", "reload", "cert status", "cert renew",
		"cert trust --nss", "cert dev", "dev --listen 127.0.0.1:0 --http off --admin off",
	} {
		_, stderr, err := s.command("a long password\n", strings.Fields(command)...)
		if err == nil || !strings.Contains(stderr, ".vilogate belongs to ") || !strings.Contains(stderr, "(uid ") {
			t.Errorf("%s: %v, %s", command, err, stderr)
		}
	}
	if os.Geteuid() == 0 {
		if made, err := os.ReadDir(filepath.Join(dir, ".vilogate")); err != nil || len(made) > 0 {
			t.Errorf("made in it: %v, %v", made, err)
		}
	}
}

// TestLinkInFolderOfAnotherUser: root administers a service; the service's user has put a link where the lock is.
func TestLinkInFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	dir := worldFolder(t)
	s := &site{process: &process{tb: t}, dir: dir, state: filepath.Join(dir, "state")}
	victim := filepath.Join(dir, "victim")
	writeFiles(t, dir, map[string]string{"victim": "kept"})
	if err := os.Mkdir(s.state, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lock", "vilogate.db", "config", "control.sock"} {
		link := filepath.Join(s.state, name)
		if err := os.Symlink(victim, link); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 {
			if err := errors.Join(os.Lchown(link, nobody, nobody), os.Chown(s.state, nobody, nobody)); err != nil {
				t.Fatal(err)
			}
		}
		if _, stderr, err := s.command("", "user", "list", "--state", s.state); err == nil || !strings.Contains(stderr, link+" is a symbolic link, made by ") {
			t.Errorf("%s: %v, %s", name, err, stderr)
		}
		if got := string(readFile(t, victim)); got != "kept" {
			t.Errorf("%s: what the link names is %q", name, got)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRootAdministersAnotherUsersServer: with the folder named, and whether the server runs or not; nothing in it becomes
// root's.
func TestRootAdministersAnotherUsersServer(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Fatal("a second user is needed, and only root can become one: sudo make test")
	}
	dir := worldFolder(t)
	writeFiles(t, dir, map[string]string{
		"vilogate.yaml":     serveConfig + ownIdP + "upstreams: { app: { url: \"http://127.0.0.1:1\" } }\n",
		"policies/app.yaml": attackedPolicy,
	})
	writeFile(t, filepath.Join(dir, "vilogate"), readFile(t, binary))
	s := &site{process: &process{tb: t}, dir: dir, state: filepath.Join(dir, "state"), domain: "viloforge.test"}
	err := errors.Join(os.Mkdir(s.state, 0o700), os.Chmod(filepath.Join(dir, "vilogate"), 0o755), filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, nobody, nobody))
	}))
	if err != nil {
		t.Fatal(err)
	}
	s.addUser("early") // before any server ran
	for _, state := range [][]string{{"--state", s.state}, {"-c", filepath.Join(dir, "vilogate.yaml")}} {
		s.process = launch(t, dir, s.environment(), program(t, "setpriv", "util-linux"), fmt.Sprint("--reuid=", nobody), fmt.Sprint("--regid=", nobody),
			"--clear-groups", filepath.Join(dir, "vilogate"), "serve", "-c", filepath.Join(dir, "vilogate.yaml"))
		served := s.process
		eventually(t, "the server of nobody is ready", func() bool {
			select {
			case <-served.output.ready:
				return true
			default:
				return !served.running()
			}
		})
		s.must("", append([]string{"user", "list"}, state...)...)
		s.must("a long password\n", append([]string{"user", "passwd", "early", "--password-stdin"}, state...)...)
		s.must("", append([]string{"reload"}, state...)...)
		if err := served.terminate(syscall.SIGTERM); err != nil {
			t.Errorf("served: %v\n%s", err, served.output)
		}
		s.must("", append([]string{"user", "list"}, state...)...)
	}
	err = filepath.WalkDir(s.state, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; owner != nobody {
			t.Errorf("%s belongs to %d", path, owner)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_, stderr, err := s.command("", "serve", "-c", filepath.Join(dir, "vilogate.yaml"))
	if err == nil || !strings.Contains(stderr, "belongs to nobody (uid 65534)") || !strings.Contains(stderr, "run it as that user") {
		t.Errorf("served by root: %v, %s", err, stderr)
	}
}
