package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/viloforge/vilogate/policies"
)

// readPolicies reads every policy file below dir. Folders and files that begin with a dot are left out: so mounted
// configuration (..data) and editors' own files do not count.
func readPolicies(dir string) ([]policies.File, error) {
	var files []policies.File
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name := entry.Name()
		switch {
		case err != nil:
			return err
		case strings.HasPrefix(name, ".") && path != dir && entry.IsDir():
			return fs.SkipDir
		case strings.HasPrefix(name, "."), entry.IsDir():
			return nil
		case strings.HasSuffix(name, ".yml"):
			return fmt.Errorf("%s would be ignored: policy files are named *.yaml", path)
		case !strings.HasSuffix(name, ".yaml"):
			return nil
		}
		data, err := os.ReadFile(path)
		files = append(files, policies.File{Name: path, Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no policy file (*.yaml) below %s: every host would be refused", dir)
	}
	return files, nil
}
