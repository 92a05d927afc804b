package jwks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// maxBytes is the longest key set that is read.
const maxBytes = 256 << 10

// errEmpty: a set without a key that could verify a signature is no set.
var errEmpty = errors.New("no key that verifies signatures")

// Set is a fixed set of keys. It is immutable.
type Set struct {
	all       []token.PublicKey
	byID      map[string][]token.PublicKey
	unnamed   []token.PublicKey // published without a kid
	malformed int               // left out
}

// Static makes a set of the keys. Several may have one id.
func Static(keys []token.PublicKey) *Set {
	s := &Set{byID: make(map[string][]token.PublicKey, len(keys))}
	for _, k := range keys {
		if slices.ContainsFunc(s.byID[k.ID()], k.Equal) {
			continue // it stands there twice
		}
		s.all = append(s.all, k)
		s.byID[k.ID()] = append(s.byID[k.ID()], k)
		if !k.Named() {
			s.unnamed = append(s.unnamed, k)
		}
	}
	return s
}

// File reads a key set from a file, once.
func File(path string) (*Set, error) {
	s, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("jwks: %s: %w", path, err)
	}
	return s, nil
}

func readFile(path string) (set *Set, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, err
	}
	return parse(data)
}

func parse(data []byte) (*Set, error) {
	keys, malformed, err := token.ParsePublished(data)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errEmpty
	}
	s := Static(keys)
	s.malformed = malformed
	return s, nil
}

// Keys implements [token.KeySet]: the keys of that kid; all of them for a token
// without one; and those published without a kid for one that no key has.
func (s *Set) Keys(kid string, _ time.Time) ([]token.PublicKey, error) {
	keys := s.all
	if kid != "" {
		named, ok := s.byID[kid]
		if keys = named; !ok {
			keys = s.unnamed
		}
	}
	if len(keys) == 0 {
		return nil, token.ErrUnknownKey
	}
	return keys, nil
}

// KeyNotFound implements [token.KeySet]: no other keys will come.
func (s *Set) KeyNotFound(string) error { return nil }

// Key implements [token.KeySource]. Of several with one id the first counts.
func (s *Set) Key(kid string, now time.Time) (token.PublicKey, error) {
	return first(s.Keys(kid, now))
}

func first(keys []token.PublicKey, err error) (token.PublicKey, error) {
	if err != nil {
		return token.PublicKey{}, err
	}
	return keys[0], nil
}

// Len is the number of keys, one for each id.
func (s *Set) Len() int { return len(s.byID) }
