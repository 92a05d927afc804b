package config

import (
	"fmt"

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
