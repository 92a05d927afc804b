package identity_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests in this file see the module as everybody does who is not in this tree: as a release that a module proxy
// serves (https://go.dev/ref/mod#goproxy-protocol), downloaded into an empty module cache.

const (
	module  = "github.com/viloforge/vilogate"
	version = "v0.0.1"
)

// kitPackages are all of our packages that a backend compiles with the kit, and kitModules all modules besides ours. A
// module that is no longer needed has to leave this list, and its line leaves every backend's go.mod.
var (
	kitPackages = []string{module + "/gateway/problem", module + "/idp/token", module + "/idp/token/jwks", module + "/idp/token/names", module + "/upstreams/identity"}
	kitModules  = []string{"github.com/golang-jwt/jwt/v5", "github.com/maypok86/otter/v2"}
)

func TestABackendTakesTheKitAndNotTheGateway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/backend")); err != nil {
		t.Fatal(err)
	}
	outside := release(t, dir)
	outside.run("mod", "init", "example.com/notes")
	outside.run("get", module+"@"+version)
	outside.run("mod", "tidy")

	var required struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(outside.run("mod", "edit", "-json"), &required); err != nil {
		t.Fatal(err)
	}
	var indirect []string
	for _, r := range required.Require {
		switch {
		case r.Indirect:
			indirect = append(indirect, r.Path)
		case r.Path != module:
			t.Errorf("the backend's go.mod requires %s", r.Path)
		}
	}
	if slices.Sort(indirect); !slices.Equal(indirect, kitModules) {
		t.Errorf("the backend's go.mod has indirect requirements %v, want %v", indirect, kitModules)
	}

	var ours, modules []string
	for line := range strings.Lines(string(outside.run("list", "-deps", "-test", "-f", "{{if not .Standard}}{{.Module.Path}} {{.ImportPath}}{{end}}", "."))) {
		from, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch from {
		case "example.com/notes", "":
		case module:
			ours = append(ours, name)
		default:
			modules = append(modules, from)
		}
	}
	slices.Sort(ours)
	slices.Sort(modules)
	if !slices.Equal(ours, kitPackages) || !slices.Equal(slices.Compact(modules), kitModules) {
		t.Errorf("the backend compiles %v of ours and %v of others", ours, slices.Compact(modules))
	}
	outside.run("build", "-o", filepath.Join(dir, "notes"), ".")
	outside.run("test", ".")
}

// A replace or exclude directive in go.mod, or a file that a module must not have, would end `go install`.
func TestTheProgramIsInstalledFromARelease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := release(t, dir)
	outside.env = append(outside.env, "GOBIN="+dir)
	outside.run("install", module+"/cmd/vilogate@"+version)
	said, err := exec.Command(filepath.Join(dir, "vilogate"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "vilogate "+version+" ") {
		t.Errorf("vilogate version: %v: %s", err, said)
	}
}

// outsider runs the go command in a folder outside this tree.
type outsider struct {
	t   *testing.T
	dir string
	env []string
}

func (o *outsider) run(args ...string) []byte {
	o.t.Helper()
	command := exec.Command("go", args...)
	command.Dir, command.Env = o.dir, o.env
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	if err != nil {
		o.t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, stdout, &stderr)
	}
	return stdout
}

// release serves this tree as a release to a go command that works in dir. What else it needs comes from the module cache
// of this machine, and then from where modules come from here.
func release(t *testing.T, dir string) *outsider {
	t.Helper()
	var here struct{ GOMODCACHE, GOPROXY string }
	said, err := exec.Command("go", "env", "-json", "GOMODCACHE", "GOPROXY").Output()
	if err == nil {
		err = json.Unmarshal(said, &here)
	}
	if err != nil {
		t.Fatal(err)
	}
	proxy := t.TempDir()
	if err := writeRelease(proxy, filepath.Join("..", "..")); err != nil {
		t.Fatal(err)
	}
	return &outsider{t, dir, append(
		os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+here.GOMODCACHE+"/cache/download,"+here.GOPROXY,
		"GOSUMDB=off", "GOPRIVATE=", "GONOPROXY=", "GOWORK=off",
		// Without the paths of this module cache what is compiled can be found again, of either test.
		"GOMODCACHE="+t.TempDir(), "GOFLAGS=-mod=mod -modcacherw -trimpath", "CGO_ENABLED=0",
	)}
}

// writeRelease writes the files of a module proxy that has one version of the tree at root.
func writeRelease(proxy, root string) error {
	dir := filepath.Join(proxy, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return err
	}
	archive, err := zipOf(root)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"list":            []byte(version + "\n"),
		version + ".info": fmt.Appendf(nil, `{"Version":%q,"Time":"2026-12-01T00:00:00Z"}`, version),
		version + ".mod":  mod,
		version + ".zip":  archive,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// zipOf packs what git knows of the tree, or would once it is added, less the modules inside it.
func zipOf(root string) ([]byte, error) {
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	said, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	names := strings.Split(strings.TrimSuffix(string(said), "\x00"), "\x00")
	inside := func(name string) bool {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if slices.Contains(names, dir+"/go.mod") {
				return true
			}
		}
		return false
	}
	var buffer bytes.Buffer
	archive := zip.NewWriter(&buffer)
	for _, name := range names {
		if inside(name) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and git has not been told yet
		} else if err != nil {
			return nil, err
		}
		entry, err := archive.Create(module + "@" + version + "/" + name)
		if err != nil {
			return nil, err
		}
		if _, err := entry.Write(data); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
