package config_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/viloforge/vilogate/cmd/vilogate/config"
)

// A text that is not known is no empty text: it is left out of a check without secrets, and refused in any other.
func TestAnEmptyTextIsRefusedAndAnUnknownOneIsNot(t *testing.T) {
	t.Parallel()
	const file = "domain: viloforge.com\ncertificates: { source: local }\nidp:\nupstreams: { app: { url: VALUE } }\npolicies: p\n"
	for _, c := range []struct {
		value     string
		noSecrets bool
		want      string
	}{
		{`""`, false, "v.yaml:4:26: must not be empty"},
		{`""`, true, "v.yaml:4:26: must not be empty"},
		{`''`, false, "v.yaml:4:26: must not be empty"},
		{`"${NOTHING}"`, false, "v.yaml:4:26: ${NOTHING}"},
		{`"${NOTHING}"`, true, ""},
		{`"http://127.0.0.1:1"`, false, ""},
	} {
		from := config.Sources{NoSecrets: c.noSecrets, Getenv: func(string) string { return "" }, ReadFile: func(path string) ([]byte, error) {
			if path == "v.yaml" {
				return []byte(strings.Replace(file, "VALUE", c.value, 1)), nil
			}
			return nil, fs.ErrNotExist
		}}
		_, err := config.Load("v.yaml", from)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.value, err, c.want)
		}
	}
}

func TestTheLoginHostHasADefaultWhereTheIdPIsHere(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"", "login:\n", "login: {}\n"} {
		from := config.Sources{Getenv: func(string) string { return "" }, ReadFile: func(string) ([]byte, error) {
			return []byte("domain: viloforge.com\ncertificates: { source: local }\nidp: {}\npolicies: p\n" + login), nil
		}}
		c, err := config.Load("v.yaml", from)
		if err != nil || c.Login.Host != "login.viloforge.com" {
			t.Errorf("%q: got %v, %v", login, c, err)
		}
	}
}
