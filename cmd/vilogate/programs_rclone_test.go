package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/net/webdav"
)

// rclone runs a client of many kinds of storage, with a configuration.
func (p *programs) rclone(configuration []string, arguments ...string) (string, error) {
	p.t.Helper()
	p.write("rclone.conf", []byte(strings.Join(append(configuration, ""), "\n")))
	return p.run("", "rclone", "rclone", append([]string{"--config", "rclone.conf", "--retries", "1", "--low-level-retries", "1"}, arguments...)...)
}

// TestRcloneOverWebDAV: folders are copied, compared, moved and made alike by whoever has a token, files of any name among them.
func TestRcloneOverWebDAV(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	p := newPrograms(t, &webdav.Handler{Prefix: "/dav", FileSystem: webdav.Dir(root), LockSystem: webdav.NewMemLS()},
		`  - { path: "/dav/*rest", allow: authenticated, bearer: only, semicolon: allow, encoded_hash: allow, encoded_backslash: allow, double_encoding: allow }`)
	configuration := []string{"[dav]", "type = webdav", "vendor = other", "url = https://app.viloforge.test/dav", "bearer_token = " + p.token}
	if err := os.MkdirAll(p.file("local/folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	const odd, windows = "folder/a b & é;+#%25%2F?.bin", `folder/b\c`
	p.write("local/large", varied(9<<20))
	p.write("local/empty", nil)
	p.write("local/"+odd, varied(1000))
	p.write("local/"+windows, varied(10))
	for _, arguments := range [][]string{
		{"copy", "local", "dav:remote"},
		{"check", "--download", "local", "dav:remote"},
		{"copy", "dav:remote", "back"},
		{"moveto", "dav:remote/large", "dav:remote/moved"},
		{"copyto", "dav:remote/moved", "dav:remote/copied"},
		{"sync", "local", "dav:remote"},
	} {
		if said, err := p.rclone(configuration, arguments...); err != nil {
			t.Fatalf("%q: %v\n%s", arguments, err, said)
		}
	}
	for name, want := range map[string][]byte{"large": varied(9 << 20), "empty": nil, odd: varied(1000), windows: varied(10)} {
		p.holds("back/"+name, want)
		if got, err := os.ReadFile(filepath.Join(root, "remote", name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stored with %d bytes (%v), want %d", name, len(got), err, len(want))
		}
	}
	if said, err := p.rclone(configuration, "lsf", "-R", "dav:remote"); err != nil || strings.Contains(said, "moved") || strings.Contains(said, "copied") {
		t.Errorf("made alike, it lists: %v\n%s", err, said)
	}
	if said, err := p.rclone(configuration, "purge", "dav:remote"); err != nil {
		t.Errorf("purge: %v\n%s", err, said)
	}
	if _, err := os.Stat(filepath.Join(root, "remote")); err == nil {
		t.Error("it is still there")
	}
	configuration[4] = ""
	if said, err := p.rclone(configuration, "copy", "local", "dav:remote"); err == nil || !strings.Contains(said, "401") {
		t.Errorf("without a token: %v\n%s", err, said)
	}
}

// TestRcloneOverS3: what the SDK of AWS signs arrives as it was signed, an object in parts too.
func TestRcloneOverS3(t *testing.T) {
	t.Parallel()
	o := &objects{t: t, all: map[string][]byte{}, parts: map[string]map[int][]byte{}}
	p := newPrograms(t, o, `  - { path: "/*rest", allow: public, semicolon: allow, double_slash: allow, encoded_hash: allow, encoded_backslash: allow, double_encoding: allow }`)
	configuration := []string{
		"[s3]", "type = s3", "provider = Other", "access_key_id = carol", "secret_access_key = " + s3Secret, "region = eu-west-1",
		"endpoint = https://app.viloforge.test", "force_path_style = true", "no_check_bucket = true", "chunk_size = 5M", "upload_cutoff = 5M",
	}
	for name, size := range map[string]int{"small": 1000, "large": 12 << 20} {
		p.write(name, varied(size))
		const key = "s3:bucket/a b/c+d&e=f (1)~'!*,;@$#%25"
		for _, arguments := range [][]string{{"copyto", name, key}, {"copyto", key, "back"}} {
			if said, err := p.rclone(configuration, arguments...); err != nil {
				t.Fatalf("%q: %v\n%s", arguments, err, said)
			}
		}
		p.holds("back", varied(size))
	}
}
