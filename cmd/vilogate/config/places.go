package config

import (
	"errors"

	"github.com/viloforge/vilogate/policies/strictyaml"
)

// Placed is err at the place in the configuration that it is about; one that has its places keeps them.
func Placed(at strictyaml.Place, err error) error {
	if err == nil || errors.As(err, new(strictyaml.Errors)) {
		return err
	}
	return strictyaml.Errors{{Place: at, Msg: err.Error()}}
}

// Together is all that is wrong, sorted by place where every error has one.
func Together(errs ...error) error {
	var all strictyaml.Errors
	for _, err := range errs {
		var places strictyaml.Errors
		switch {
		case err == nil:
		case errors.As(err, &places):
			all = append(all, places...)
		default:
			return errors.Join(errs...)
		}
	}
	return all.Sorted()
}

// isSet reports whether a mapping has a key.
func isSet(p strictyaml.Places, key string) bool {
	_, ok := p[key]
	return ok
}
