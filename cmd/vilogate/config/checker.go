package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// checker says what is wrong with a configuration that was decoded. A value that was given and is still empty is one that
// could not be known (Sources.NoSecrets): it is not checked.
type checker struct {
	*Config
	errs strictyaml.Errors
}

func (c *checker) errorf(at strictyaml.Place, format string, a ...any) {
	c.errs = append(c.errs, &strictyaml.Error{Place: at, Msg: fmt.Sprintf(format, a...)})
}

// oneOf refuses a word that is none of the known ones.
func (c *checker) oneOf(at strictyaml.Place, key, word string, known ...string) {
	if word == "" || slices.Contains(known, word) {
		return
	}
	switch near := strictyaml.Nearest(word, known); {
	case near != "":
		c.errorf(at, "unknown %s %q, did you mean %q?", key, word, near)
	case len(known) == 0:
		c.errorf(at, "unknown %s %q: there is none", key, word)
	default:
		c.errorf(at, "unknown %s %q, expected one of: %s", key, word, strings.Join(known, ", "))
	}
}
