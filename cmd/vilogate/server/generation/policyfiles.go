package generation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies"
)

// ReadPolicies reads every policy file below dir. What begins with a dot is left out: mounted configuration (..data) and
// editors' own files. Anything else that somebody may have meant as a policy, and that would not count, is an error.
func ReadPolicies(dir string) ([]policies.File, error) {
	var files []policies.File
	root := dir + string(filepath.Separator) // also where dir is a link
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == root:
			return nil
		case strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			if to, err := os.Stat(path); err != nil || to.IsDir() {
				return fmt.Errorf("%s would be ignored: it is a link, and not to a file", path)
			}
		}
		switch filepath.Ext(path) {
		case ".yml":
			return fmt.Errorf("%s would be ignored: policy files are named *.yaml", path)
		case ".yaml":
			data, err := os.ReadFile(path)
			files = append(files, policies.File{Name: path, Data: data})
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the policies: %w", err)
	}
	if !slices.ContainsFunc(files, func(f policies.File) bool { return !policies.IsTestFile(f.Name) }) {
		return nil, fmt.Errorf("there is no policy file (*.yaml) below %s: every host would be refused", dir)
	}
	return files, nil
}

// PoliciesID names policies in records: the SHA-256 of all files with their names below dir, wherever that is.
func PoliciesID(dir string, files []policies.File) string {
	type entry struct {
		name string
		data []byte
	}
	var entries []entry
	for _, f := range files {
		name, err := filepath.Rel(dir, f.Name)
		if err != nil {
			name = f.Name
		}
		entries = append(entries, entry{filepath.ToSlash(name), f.Data})
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	h := sha256.New()
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	for _, e := range entries {
		part([]byte(e.name))
		part(e.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}
