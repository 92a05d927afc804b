package jwks_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/idp/token"
	"github.com/viloforge/vilogate/idp/token/jwks"
)

func newKey(t testing.TB) token.PublicKey {
	t.Helper()
	key, err := token.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.Public()
}

func setOf(keys ...token.PublicKey) []byte { return token.MarshalSet(keys) }

func TestAFixedSet(t *testing.T) {
	t.Parallel()
	a, b := newKey(t), newKey(t)
	one, two := jwks.Static([]token.PublicKey{a}), jwks.Static([]token.PublicKey{a, b})
	for name, test := range map[string]struct {
		set  *jwks.Set
		kid  string
		want token.PublicKey
	}{
		"by its id":                      {two, b.ID(), b},
		"the only one, without an id":    {one, "", a},
		"the first of two without an id": {two, "", a},
		"another id":                     {one, b.ID(), token.PublicKey{}},
		"no keys":                        {jwks.Static(nil), "", token.PublicKey{}},
	} {
		key, err := test.set.Key(test.kid, time.Time{})
		if !key.Equal(test.want) || errors.Is(err, token.ErrUnknownKey) != test.want.IsZero() {
			t.Errorf("%s: %v, %v", name, key, err)
		}
	}
	if two.Len() != 2 {
		t.Errorf("%d keys", two.Len())
	}
}

func TestASetFromAFile(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, test := range map[string]struct{ content, want string }{
		"good.json":  {string(setOf(key)), ""},
		"empty.json": {string(setOf()), "no key"},
		"html.json":  {"<html>", "not a JSON object"},
		"odd.json":   {`{"keys":[null,{"kty":"RSA","n":"="},` + string(key.JSON()) + `]}`, ""},
		"bad.json":   {`{"keys":[null,{"kty":"RSA","n":"="}]}`, "no key"},
		"huge.json":  {string(setOf(key)) + strings.Repeat(" ", 300<<10), "longer than 256 KiB"},
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := jwks.File(path)
		switch {
		case test.want == "":
			if err != nil || set.Len() != 1 {
				t.Errorf("%s: %v", name, err)
			}
		case err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), path):
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := jwks.File(filepath.Join(t.TempDir(), "absent.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
