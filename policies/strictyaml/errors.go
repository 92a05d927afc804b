package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Place is a position in a file. The zero Place is nowhere.
type Place struct {
	File         string
	Line, Column int // from 1; Column counts bytes
}

// String is "file:line:column", as editors understand it.
func (p Place) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// Places are the places of a mapping's values by key; that of the mapping itself is under "".
type Places map[string]Place

// Of is the place of the value of key, or that of the mapping where the key is not given.
func (p Places) Of(key string) Place {
	if at, ok := p[key]; ok {
		return at
	}
	return p[""]
}

// An Error is something wrong at a place.
type Error struct {
	Place Place
	Msg   string
}

func (e *Error) Error() string { return e.Place.String() + ": " + e.Msg }

// Errors are all that is wrong, sorted by place.
type Errors []*Error

// Error is the errors, one a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the errors to errors.Is and errors.As.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, err := range e {
		all[i] = err
	}
	return all
}

// Sorted puts the errors in the order of their places; nil when there is none.
func (e Errors) Sorted() error { return slices.Clone(e).sorted() }

func (e Errors) sorted() error {
	if len(e) == 0 {
		return nil
	}
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.Place.File, b.Place.File), a.Place.Line-b.Place.Line, a.Place.Column-b.Place.Column)
	})
	return e
}
