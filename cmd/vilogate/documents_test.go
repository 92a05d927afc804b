package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What a document names: a test, a path of this tree in backquotes, and a link.
var (
	namedTest = regexp.MustCompile("`((?:Test|Fuzz|Benchmark|Example)[A-Z]\\w*)`")
	namedPath = regexp.MustCompile("`([a-z][\\w.-]*(?:/[\\w.*-]+)+)/?`")
	namedIn   = regexp.MustCompile("((?:`\\w+`(?:,\\s+|\\s+and\\s+|\\s+or\\s+))*`\\w+`)\\s+in\\s+`([a-z][\\w./-]*)`")
	linkTo    = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	testFunc  = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)
)

// TestDocumentsAreTrue: what the documents of the whole name is there, and a promise's test is in the package that it is
// said to be in.
func TestDocumentsAreTrue(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	tests := testsOf(t, root)
	for _, name := range []string{"CONTRIBUTING.md", "SECURITY.md", "README.md", "CHANGELOG.md"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		for number, line := range strings.Split(string(text), "\n") {
			for _, wrong := range slices.Concat(missingTests(line, tests), missingPaths(line, root)) {
				t.Errorf("%s:%d: there is no %s", name, number+1, wrong)
			}
		}
		for _, wrong := range missingNames(string(text), root, tests) {
			t.Errorf("%s: there is no %s", name, wrong)
		}
	}
}

// TestLinksLeadSomewhere: in every document of the tree, to a file beside it.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		text, err := os.ReadFile(path)
		for _, link := range linkTo.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), filepath.FromSlash(link[1]))); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testsOf maps the tests of the tree to the folders that have one of the name.
func testsOf(t *testing.T, root string) map[string][]string {
	t.Helper()
	tests := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		for _, found := range testFunc.FindAllStringSubmatch(string(text), -1) {
			tests[found[1]] = append(tests[found[1]], filepath.ToSlash(folder))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

// missingTests are the tests that a line names and that are nowhere. In a cell of the form "`folder`: `TestA`, `TestB`;
// `folder`: …" they have to be in that folder.
func missingTests(line string, tests map[string][]string) (missing []string) {
	for _, group := range strings.FieldsFunc(line, func(r rune) bool { return r == ';' || r == '|' }) {
		folder, _, ofFolder := strings.Cut(strings.TrimSpace(group), "`: `")
		folder = strings.TrimPrefix(folder, "`")
		for _, named := range namedTest.FindAllStringSubmatch(group, -1) {
			switch folders := tests[named[1]]; {
			case len(folders) == 0:
				missing = append(missing, named[1])
			case ofFolder && !slices.Contains(folders, folder):
				missing = append(missing, named[1]+" in "+folder)
			}
		}
	}
	return missing
}

// missingPaths are the paths that a line names, from the root, and that lead nowhere.
func missingPaths(line, root string) (missing []string) {
	for _, named := range namedPath.FindAllStringSubmatch(line, -1) {
		first, _, _ := strings.Cut(named[1], "/")
		if _, err := os.Stat(filepath.Join(root, first)); err != nil {
			continue // of somewhere else: a media type, a module
		}
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(named[1])))
		if err != nil || len(found) == 0 {
			missing = append(missing, named[1])
		}
	}
	return missing
}

// missingNames are the names of Go that a text says to be in a file, from the root, and that the file does not declare, and the tests
// that it says to be in a folder which has none of the name.
func missingNames(text, root string, tests map[string][]string) (missing []string) {
	for _, named := range namedIn.FindAllStringSubmatch(text, -1) {
		source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(named[2])))
		for _, name := range strings.FieldsFunc(named[1], func(r rune) bool { return strings.ContainsRune("`, \n", r) }) {
			declared := regexp.MustCompile(`(?m)^(?:func (?:\([^)]*\) )?|type |var |const |\t)` + name + `\b`)
			switch isFile := strings.HasSuffix(named[2], ".go"); {
			case name == "and" || name == "or":
			case isFile && (err != nil || !declared.Match(source)), !isFile && len(tests[name]) > 0 && !slices.Contains(tests[name], named[2]):
				missing = append(missing, name+" in "+named[2])
			}
		}
	}
	return missing
}
