package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/webdav"
)

// TestWebDAV: cadaver makes, moves, locks and removes what is behind the gateway: methods, Depth, Destination and If arrive.
func TestWebDAV(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := newPrograms(t, &webdav.Handler{Prefix: "/dav", FileSystem: webdav.Dir(root), LockSystem: webdav.NewMemLS()}, `  - { path: "/dav/*rest", allow: public }`)
	p.write("large", varied(3<<20))
	said := p.must(strings.Join([]string{
		"y", "mkcol folder", "cd folder", "put large", `put large "with space & é.bin"`, "ls", "lock large", "discover large", "unlock large",
		"move large moved", "copy moved copied", "propget moved", "cd ..", "mkcol other", "move folder/copied other/copied", "delete folder/moved", "cat nothing", "ls other", "get other/copied back", "quit",
	}, "\n")+"\n", "script", "bsdutils", "-qec", program(t, "cadaver", "cadaver")+" -p "+p.proxy+" https://app.viloforge.test/dav/", "/dev/null") // on a terminal, where it asks about the authority
	p.holds("back", varied(3<<20))
	for name, there := range map[string]bool{"folder/large": false, "folder/moved": false, "folder/copied": false, "other/copied": true, "folder/with space & é.bin": true} {
		if _, err := os.Stat(filepath.Join(root, name)); (err == nil) != there {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []string{"Moving `/dav/folder/large' to `/dav/folder/moved':  succeeded", "Copying", "Lock"} {
		if !strings.Contains(said, want) {
			t.Errorf("cadaver does not say %q", want)
		}
	}
	if strings.Count(said, "failed") != 1 || t.Failed() { // of what is not there
		t.Errorf("cadaver says:\n%s", said)
	}
}
