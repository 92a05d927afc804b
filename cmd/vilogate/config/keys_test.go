package config_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
	"github.com/viloforge/vilogate/idp/token"
)

// An `iss` is whatever the issuer says; what its keys are then stands in the configuration, or beside it.
func TestIssuersThatAreNoAddressHaveKeys(t *testing.T) {
	t.Parallel()
	c := load(t, "keys")
	issuers := map[string]config.Issuer{}
	for _, i := range c.Tokens.Issuers {
		issuers[i.Name] = i
	}
	for name, kids := range map[string]string{"adfs": "", "adfs-file": "a", "mesh": "2026", "pasted": "", "discovered": ""} {
		i := issuers[name]
		keys, err := token.ParseSet([]byte(i.Keys.Set))
		if fetched := name == "adfs" || name == "discovered"; fetched {
			if i.Keys.Set != "" || i.CA != "testdata/good/ca.pem" || !strings.Contains(i.CAPEM, "CERTIFICATE") {
				t.Errorf("%s: %+v", name, i)
			}
			continue
		}
		if err != nil || len(keys) != 1 || kids != "" && keys[0].ID() != kids {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	if w := c.KeyWarnings(); len(w) != 1 || !strings.HasSuffix(w[0].Error(),
		`keys.yaml:6:72: issuer adfs-file: keys: testdata/good/adfs.json: key 2 is not used: unusable for signatures here: its use is "enc"`) {
		t.Errorf("%v", w)
	}
}

// Another key in the file, or another place of the same key, is seen as that by a reload.
func TestTheKeysInTheFileAreWhatIsCompared(t *testing.T) {
	t.Parallel()
	const text = "domain: corp.test\ncertificates: { source: local }\ntokens:\n  issuers: [ { name: a, issuer: x, audience: [a], keys: adfs.json, ca: ca.pem } ]\npolicies: p\n"
	from := func(yaml, keys string) config.Tokens {
		t.Helper()
		c, err := config.Load("testdata/good/v.yaml", config.Sources{Getenv: func(string) string { return "" }, ReadFile: func(path string) ([]byte, error) {
			switch filepath.Base(path) {
			case "v.yaml":
				return []byte(strings.Replace(yaml, ", ca: ca.pem", "", 1)), nil
			case "adfs.json":
				return []byte(keys), nil
			}
			return nil, fs.ErrNotExist
		}})
		if err != nil {
			t.Fatal(err)
		}
		return c.Tokens
	}
	data, err := os.ReadFile("testdata/good/adfs.json")
	if err != nil {
		t.Fatal(err)
	}
	one := from(text, string(data))
	if !config.Equal(one, from("# moved\n"+text, string(data))) {
		t.Error("moved down is changed")
	}
	if config.Equal(one, from(text, strings.Replace(string(data), `"kid":"a"`, `"kid":"b"`, 1))) {
		t.Error("another key is the same")
	}
}

func TestACheckWithoutSecretsLeavesOutFilesOfIssuersThatAreNotHere(t *testing.T) {
	t.Parallel()
	from := sources()
	from.ReadFile = func(path string) ([]byte, error) {
		if filepath.Ext(path) == ".yaml" {
			return os.ReadFile(path)
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	if _, err := config.Load("testdata/good/keys.yaml", from); err == nil || strings.Count(err.Error(), "cannot read") != 3 {
		t.Errorf("%v", err)
	}
	from.NoSecrets = true
	if c, err := config.Load("testdata/good/keys.yaml", from); err != nil || !c.Incomplete {
		t.Errorf("%v, %v", c, err)
	}
}
