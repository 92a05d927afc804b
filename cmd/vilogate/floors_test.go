package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/viloforge/vilogate/"

// floors say how high each room stands. A room imports rooms of lower floors,
// and of its own floor only what is below it in the tree.
var floors = map[string]int{
	"policies": 0, "policies/request": 0, "policies/strictyaml": 0,
	"idp/token": 0, "idp/token/names": 0, "gateway/problem": 0, "gateway/internal/http1": 1, "gateway/internal/http2": 1, "gateway/internal/http2/client": 2, "gateway/internal/http3": 1, "gateway/internal/field": 0, "gateway/internal/quota": 0, "gateway/internal/spool": 1, "gateway/internal/requestcontext": 0, "gateway/internal/forwardauth": 0, "gateway/internal/extauthz": 0, "gateway/internal/conntest": 0, "gateway/corpus": 0, "gateway/limits/gcra": 0,
	"idp/revocation/redistest": 0,
	"idp/token/jwks":           1, "idp/backchannel": 1, "idp/revocation": 1, "idp/database": 1, "gateway/edge": 2, "gateway/limits": 1, "gateway/audit": 1, "gateway/posts": 1,
	"gateway": 2, "idp": 2, "upstreams": 2,
	"cmd/vilogate/config": 1, "cmd/vilogate/handover": 1, "cmd/vilogate/logging": 0, "cmd/vilogate/control": 1, "cmd/vilogate/state": 1,
	"cmd/vilogate/server/internal/stores": 2,
	"cmd/vilogate/server":                 3,
	"cmd/vilogate":                        4,
}

// only lists the imports that few rooms may have.
var only = map[string][]string{
	"github.com/redis/go-redis/v9":     {"idp/revocation", "idp/revocation/redistest", "gateway/edge/certstore", "gateway/limits"},
	"github.com/caddyserver/certmagic": {"gateway/edge/acme", "gateway/edge/certstore"},
	"github.com/libdns/cloudflare":     {"gateway/edge/acme"},
	"github.com/quic-go/quic-go":       {"gateway/internal/http3"},

	"google.golang.org/protobuf/encoding/protowire": {"gateway/internal/extauthz"},
}

// support lists the rooms that only tests import.
var support = []string{"gateway/internal/conntest", "gateway/corpus", "idp/revocation/redistest", "gateway/edge/acme/acmetest"}

// pure lists what rooms of pure functions may not even reach.
var pure = map[string][]string{
	"policies":         {"net/http", "os/exec", "net"},
	"policies/request": {"net/http", "os", "net", "time"},
	"idp/token":        {"net/http", "os", "os/exec", "net"},
}

type listed struct {
	ImportPath   string
	Name         string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Deps         []string
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Imports,TestImports,XTestImports,Deps", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// floorOf is the floor of the room that a package belongs to: its own, or that
// of the nearest room above it in the tree.
func floorOf(importPath string) (int, bool) {
	for room := strings.TrimPrefix(importPath, module); room != ""; {
		if floor, ok := floors[room]; ok {
			return floor, true
		}
		cut := strings.LastIndexByte(room, '/')
		room = room[:max(cut, 0)]
	}
	return 0, false
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range listPackages(t) {
		from, known := floorOf(p.ImportPath)
		if !known {
			t.Errorf("%s stands on no floor: add its room to floors", p.ImportPath)
		}
		for _, imported := range p.Imports {
			if !strings.HasPrefix(imported, module) {
				continue
			}
			to, _ := floorOf(imported)
			below := strings.HasPrefix(imported, p.ImportPath+"/")
			sameRoom := strings.HasPrefix(p.ImportPath, imported+"/") || below
			if to > from || to == from && to != 0 && !sameRoom {
				t.Errorf("%s (floor %d) imports %s (floor %d): what is used belongs to a room below both, or is handed in by one above both", p.ImportPath, from, imported, to)
			}
		}
	}
}

// What only one room imports stands under its internal/, where nobody else can. The rooms of a program need no such fence.
func TestRoomsKeepWhatIsTheirs(t *testing.T) {
	packages := listPackages(t)
	programs, importers := map[string]bool{}, map[string][]string{}
	for _, p := range packages {
		programs[p.ImportPath] = p.Name == "main"
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if imported != p.ImportPath {
				importers[imported] = append(importers[imported], p.ImportPath)
			}
		}
	}
	for _, p := range packages {
		room := path.Dir(p.ImportPath)
		if room+"/" == module {
			continue
		}
		outside := func(importer string) bool { return importer != room && !strings.HasPrefix(importer, room+"/") }
		if all := importers[p.ImportPath]; len(all) == 0 || slices.ContainsFunc(all, outside) {
			continue
		}
		if !programs[room] && !strings.Contains(p.ImportPath, "/internal/") {
			t.Errorf("%s is imported inside %s alone; move it to %s/internal/%s", p.ImportPath, room, room, path.Base(p.ImportPath))
		}
	}
}

func TestGatewayNeverImportsTheIdentityProvider(t *testing.T) {
	for _, p := range listPackages(t) {
		if strings.HasPrefix(p.ImportPath, module+"gateway") && (slices.Contains(p.Deps, module+"idp") || slices.Contains(p.Deps, module+"idp/database")) {
			t.Errorf("%s reaches the identity provider", p.ImportPath)
		}
	}
}

func TestFewRoomsTouchRedisAndCertificates(t *testing.T) {
	for _, p := range listPackages(t) {
		room := strings.TrimPrefix(p.ImportPath, module)
		for dependency, rooms := range only {
			if slices.Contains(p.Imports, dependency) && !slices.Contains(rooms, room) {
				t.Errorf("%s imports %s, which only %v may", room, dependency, rooms)
			}
		}
	}
}

func TestOnlyTestsImportTestSupport(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, room := range support {
			if slices.Contains(p.Imports, module+room) {
				t.Errorf("%s imports %s, which is for tests", p.ImportPath, room)
			}
		}
	}
}

func TestPureRoomsStayPure(t *testing.T) {
	for _, p := range listPackages(t) {
		for _, forbidden := range pure[strings.TrimPrefix(p.ImportPath, module)] {
			if slices.Contains(p.Imports, forbidden) {
				t.Errorf("%s is pure, and imports %s: have what it is for handed in", p.ImportPath, forbidden)
			}
		}
	}
}
