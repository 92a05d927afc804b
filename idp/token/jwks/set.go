package jwks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// maxBytes is the longest key set that is read.
const maxBytes = 256 << 10

// errEmpty: a set without a key that could verify a signature is no set.
var errEmpty = errors.New("no key that verifies signatures")

// Set is a fixed set of keys. It is immutable.
type Set struct {
	byID map[string]token.PublicKey
	only token.PublicKey // when there is exactly one
}

// Static makes a set of the keys. Of two with the same id the first counts.
func Static(keys []token.PublicKey) *Set {
	s := &Set{byID: make(map[string]token.PublicKey, len(keys))}
	for _, k := range keys {
		if _, duplicate := s.byID[k.ID()]; !duplicate {
			s.byID[k.ID()] = k
		}
	}
	if len(keys) == 1 {
		s.only = keys[0]
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
	keys, err := token.ParseSet(data)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errEmpty
	}
	return Static(keys), nil
}

// Key implements [token.KeySource].
func (s *Set) Key(kid string, _ time.Time) (token.PublicKey, error) {
	if kid == "" && !s.only.IsZero() {
		return s.only, nil
	}
	if k, ok := s.byID[kid]; ok {
		return k, nil
	}
	return token.PublicKey{}, token.ErrUnknownKey
}

// Len is the number of keys.
func (s *Set) Len() int { return len(s.byID) }
