package policies

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the errors of the bad policies into their files")

// testOptions are what the policies of these tests may name.
var testOptions = Options{
	Domain: "viloforge.com", LoginHost: "login.viloforge.com", PublicPort: 443,
	Upstreams: []string{"website", "billing", "inventory"}, Issuers: []string{"vilogate", "partner", "legacy-django"},
}

// wanted begins the lines at the end of a bad policy that are its errors.
const wanted = "# error: "

// TestBadPolicies: every file of testdata/bad is refused for just the reasons that stand at its end.
func TestBadPolicies(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			policy, comments := text, ""
			if i := strings.Index(text, wanted); i >= 0 {
				policy, comments = text[:i], text[i:]
			}
			base := filepath.Base(name)
			set, err := Compile([]File{{base, []byte(policy)}}, testOptions)
			if err == nil || set != nil {
				t.Fatal("it compiles")
			}
			got := wanted + strings.ReplaceAll(err.Error(), "\n", "\n"+wanted) + "\n"
			if *update {
				if err := os.WriteFile(name, []byte(policy+got), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if got != comments {
				t.Errorf("got\n%swant\n%sgo test ./policies -run BadPolicies -update writes what it got", got, comments)
			}
		})
	}
}

// TestOneHostOneFile: two files for a host are refused with the places of both, whatever their names and order.
func TestOneHostOneFile(t *testing.T) {
	t.Parallel()
	text := []byte("host: website.viloforge.com\nupstream: website\nroutes: [{ path: /, allow: public }]\n")
	_, err := Compile([]File{{"a.yaml", text}, {"b.yaml", text}}, testOptions)
	want := "b.yaml:1:7: website.viloforge.com has a policy already, at a.yaml:1:7; a host has one file"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestErrorsOfAllFiles: one broken file does not hide what is wrong with the next.
func TestErrorsOfAllFiles(t *testing.T) {
	t.Parallel()
	_, err := Compile([]File{{"b.yaml", []byte("hots: x\n")}, {"a.yaml", []byte("")}}, testOptions)
	if err == nil || !strings.HasPrefix(err.Error(), "a.yaml:1:1: ") || !strings.Contains(err.Error(), "\nb.yaml:1:1: ") {
		t.Errorf("got %v", err)
	}
}
