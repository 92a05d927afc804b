package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An arrow says that a file of a package uses what another file of it declares.
type arrow struct{ from, to string }

// Files of a package are floors as packages are: a file uses what it declares
// itself, and what files below it declare. It is a promise that they can be put in
// such an order, which is where a reader begins: no file needs another that needs
// it. A method is declared where it is, not where its type is.
func TestFilesStandOnFloors(t *testing.T) {
	packages, exports := listExports(t)
	for _, p := range packages {
		room := strings.TrimPrefix(p.ImportPath, module)
		uses, err := usesBetweenFiles(p, exports)
		if err != nil {
			t.Fatal(err)
		}
		if cycle := shortestCycle(uses); cycle != nil {
			t.Error(describeCycle(room, cycle, uses))
		}
		doc, err := docOf(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range wrongList(doc, p.GoFiles, uses) {
			t.Errorf("%s: its doc lists its files from the lowest, and %s", room, wrong)
		}
		floor, _ := floorOf(p.ImportPath)
		if said := saidFloor.FindStringSubmatch(doc); said != nil && said[1] != strconv.Itoa(floor) {
			t.Errorf("%s: its doc says that it stands on floor %s, and it stands on floor %d", room, said[1], floor)
		}
	}
}

func TestAListOfFilesIsHeldToTheFloors(t *testing.T) {
	doc := "Package p is one. Files, from the lowest:\n\n  - a.go, b.go: what is\n    at the bottom of d.go.\n  - c.go: the rest.\n\nSee e.go.\n"
	uses := map[arrow][]string{{"a.go", "b.go"}: {"x"}, {"c.go", "a.go"}: {"y"}}
	if wrong := wrongList(doc, []string{"a.go", "b.go", "c.go", "doc.go"}, uses); len(wrong) > 0 {
		t.Errorf("a list that is right: %q", wrong)
	}
	uses[arrow{"b.go", "c.go"}] = []string{"z"}
	if wrong := wrongList(doc, []string{"a.go", "b.go", "c.go", "f.go"}, uses); len(wrong) != 2 {
		t.Errorf("a file that is not listed, and a use that goes up: %q", wrong)
	}
}

// docOf is the comment of a package.
func docOf(p exported) (doc string, err error) {
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.ParseComments|parser.PackageClauseOnly)
		if err != nil {
			return "", err
		}
		doc += f.Doc.Text()
	}
	return doc, nil
}

// saidFloor is the floor that the doc of a package says it stands on.
var saidFloor = regexp.MustCompile(`\bon\s+floor (\d)`)

var listedFile = regexp.MustCompile(`^[a-z0-9_]+\.go\b`)

// wrongList is what is wrong with a list of files in a package's doc that begins with the words "from the lowest": each item names
// the files of one floor.
func wrongList(doc string, files []string, uses map[arrow][]string) (wrong []string) {
	_, list, ok := strings.Cut(doc, "from the lowest:\n\n")
	if !ok {
		return nil
	}
	list, _, _ = strings.Cut(list, "\n\n")
	floor := map[string]int{}
	for i, item := range strings.Split(list, "\n") {
		for word := range strings.FieldsSeq(strings.TrimPrefix(item, "  - ")) {
			if name := listedFile.FindString(word); name != "" && strings.HasPrefix(item, "  - ") {
				floor[name] = i
			}
		}
	}
	for _, name := range files {
		if _, listed := floor[name]; !listed && name != "doc.go" {
			wrong = append(wrong, name+" is not among them")
		}
	}
	for a, names := range uses {
		if floor[a.from] < floor[a.to] {
			wrong = append(wrong, fmt.Sprintf("%s, which uses %s of %s, stands before it", a.from, strings.Join(names, ", "), a.to))
		}
	}
	return wrong
}

func TestACycleOfFilesIsFound(t *testing.T) {
	uses := map[arrow][]string{
		{"rate.go", "decide.go"}:     {"decided.limit"},
		{"decide.go", "exchange.go"}: {"decided", "located"},
		{"exchange.go", "rate.go"}:   {"rate", "rate.policy"},
		{"serve.go", "decide.go"}:    {"exchange.decide"},
	}
	cycle := shortestCycle(uses)
	if len(cycle) != 3 {
		t.Fatalf("the cycle is %v, want the three files that use each other", cycle)
	}
	if text := describeCycle("gateway", cycle, uses); !strings.HasPrefix(text, "gateway/rate.go uses decided.limit of decide.go, which stands above it") {
		t.Errorf("the message begins with another arrow than the one with the fewest names: %s", text)
	}
	delete(uses, arrow{"rate.go", "decide.go"})
	if cycle := shortestCycle(uses); cycle != nil {
		t.Errorf("a cycle among files that stand on floors: %v", cycle)
	}
}

// exported is a package with the files that go build compiles of it.
type exported struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Export     string // the file with its export data
}

// listExports lists our packages, and the files with the export data of all that they import.
func listExports(t *testing.T) (ours []exported, exports map[string]string) {
	t.Helper()
	out, err := exec.Command("go", "list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	exports = map[string]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p exported
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ours, exports
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
}

// usesBetweenFiles are the names that files of a package use of one another: of functions, types, variables, constants,
// methods and fields.
func usesBetweenFiles(p exported, exports map[string]string) (map[arrow][]string, error) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	pkg, err := config.Check(p.ImportPath, fset, files, info)
	if err != nil {
		return nil, err
	}
	uses := map[arrow][]string{}
	for ident, object := range info.Uses {
		a := arrow{fileOf(fset, ident.Pos()), fileOf(fset, object.Pos())}
		if object.Pkg() == pkg && a.from != a.to {
			uses[a] = append(uses[a], nameOf(object))
		}
	}
	for a, names := range uses {
		slices.Sort(names)
		uses[a] = slices.Compact(names)
	}
	return uses, nil
}

func fileOf(fset *token.FileSet, at token.Pos) string {
	return filepath.Base(fset.Position(at).Filename)
}

// nameOf is the name of an object; that of a method begins with its type's.
func nameOf(object types.Object) string {
	f, ok := object.(*types.Func)
	if !ok || f.Signature().Recv() == nil {
		return object.Name()
	}
	receiver := types.TypeString(f.Signature().Recv().Type(), func(*types.Package) string { return "" })
	return strings.TrimPrefix(receiver, "*") + "." + f.Name()
}

// shortestCycle is a shortest way round along the arrows; nil where there is none.
func shortestCycle(uses map[arrow][]string) (shortest []string) {
	next := map[string][]string{}
	for a := range uses {
		next[a.from] = append(next[a.from], a.to)
	}
	for _, to := range next {
		slices.Sort(to)
	}
	for _, start := range slices.Sorted(maps.Keys(next)) {
		before := map[string]string{} // breadth first: the file from which one was reached
		for queue := []string{start}; len(queue) > 0 && before[start] == ""; queue = queue[1:] {
			for _, to := range next[queue[0]] {
				if _, reached := before[to]; !reached {
					before[to] = queue[0]
					queue = append(queue, to)
				}
			}
		}
		if before[start] == "" {
			continue
		}
		cycle := []string{start}
		for f := before[start]; f != start; f = before[f] {
			cycle = append(cycle, f)
		}
		slices.Reverse(cycle)
		if shortest == nil || len(cycle) < len(shortest) {
			shortest = cycle
		}
	}
	return shortest
}

// describeCycle says which arrow goes up, if it is the one for which the fewest names have to move, and what the others of
// the cycle are.
func describeCycle(room string, cycle []string, uses map[arrow][]string) string {
	var arrows []arrow
	for i, from := range cycle {
		arrows = append(arrows, arrow{from, cycle[(i+1)%len(cycle)]})
	}
	up := slices.MinFunc(arrows, func(a, b arrow) int { return len(uses[a]) - len(uses[b]) })
	text := fmt.Sprintf("%s/%s uses %s of %s, which stands above it", room, up.from, strings.Join(uses[up], ", "), up.to)
	for _, a := range arrows {
		if a != up {
			text += fmt.Sprintf("\n\t%s uses %s of %s", a.from, strings.Join(uses[a], ", "), a.to)
		}
	}
	return text + "\n\tMove what is used to a file below both, or the function that uses it to a file above both."
}
