package generation

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEveryPolicyFileCountsOrIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	policies := filepath.Join(dir, "policies")
	mounted := filepath.Join(policies, "..2026_11_24")
	write := func(path string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(filepath.Base(path)), 0o600))
	}
	err := errors.Join(
		write(filepath.Join(policies, "a.yaml")),
		write(filepath.Join(policies, "team", "b.yaml")),
		write(filepath.Join(policies, "README.md")),
		write(filepath.Join(policies, ".a.yaml.swp.yaml")),
		write(filepath.Join(mounted, "c.yaml")),
		os.Symlink(mounted, filepath.Join(policies, "..data")),
		os.Symlink(filepath.Join("..data", "c.yaml"), filepath.Join(policies, "c.yaml")),
		os.Symlink(policies, filepath.Join(dir, "link")),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{policies, filepath.Join(dir, "link")} {
		files, err := ReadPolicies(folder)
		var names []string
		for _, f := range files {
			names = append(names, strings.TrimPrefix(f.Name, folder))
		}
		if err != nil || strings.Join(names, " ") != "/a.yaml /c.yaml /team/b.yaml" {
			t.Errorf("%s: %v, %v", folder, names, err)
		}
	}
	for name, want := range map[string]struct {
		make func(path string) error
		path string
	}{
		"a folder that is not there": {func(string) error { return nil }, "none"},
		"a folder without policies":  {func(path string) error { return os.Mkdir(path, 0o700) }, "empty"},
		"a file":                     {write, "file.yaml"},
		"another ending":             {func(path string) error { return write(filepath.Join(path, "d.yml")) }, "ending"},
		"a link to a folder": {func(path string) error {
			return errors.Join(write(filepath.Join(path, "d.yaml")), os.Symlink(mounted, filepath.Join(path, "more")))
		}, "linked"},
	} {
		path := filepath.Join(dir, want.path)
		if err := want.make(path); err != nil {
			t.Fatal(err)
		}
		if files, err := ReadPolicies(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}
