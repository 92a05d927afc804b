package certstore

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/caddyserver/certmagic"
)

// hkdfInfo is HKDF's info (RFC 5869) for the encryption key.
const hkdfInfo = "vilogate certificates v1"

// A Sealer encrypts what is stored (AES-256-GCM) with a key derived from the
// fleet's secret (HKDF). The name is the associated data: what was sealed under
// one name opens under no other.
type Sealer struct{ aead cipher.AEAD }

// NewSealer derives the key from a secret of at least 32 bytes.
func NewSealer(secret []byte) (*Sealer, error) {
	if len(secret) < 32 {
		return nil, errors.New("certificates: the secret has fewer than 32 bytes")
	}
	key, err := hkdf.Key(sha256.New, secret, nil, hkdfInfo, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Sealer{aead}, nil
}

// sealVersion is the first byte of everything sealed.
const sealVersion = 1

func (s *Sealer) seal(name string, plain []byte) []byte {
	return s.aead.Seal([]byte{sealVersion}, nil, plain, []byte(name))
}

var errUnseal = errors.New("it cannot be opened: it was sealed with another `secret`, or changed; give the old secret back, " +
	"or remove what is stored (in Redis the hash vilogate:{fleet}:certificates, in the state folder certificates/) to have it made anew")

func (s *Sealer) open(name string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errUnseal
	}
	plain, err := s.aead.Open(nil, nil, sealed[1:], []byte(name))
	if err != nil {
		return nil, errUnseal
	}
	return plain, nil
}

// Sealed is a storage in which every value is encrypted; the names are not.
type Sealed struct {
	certmagic.Storage
	sealer *Sealer
}

// Seal puts a sealer before a storage.
func Seal(s certmagic.Storage, sealer *Sealer) *Sealed { return &Sealed{s, sealer} }

// Store implements certmagic.Storage.
func (s *Sealed) Store(ctx context.Context, key string, value []byte) error {
	return s.Storage.Store(ctx, key, s.sealer.seal(key, value))
}

// Load implements certmagic.Storage.
func (s *Sealed) Load(ctx context.Context, key string) ([]byte, error) {
	sealed, err := s.Storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	value, err := s.sealer.open(key, sealed)
	if err != nil {
		return nil, fmt.Errorf("%v: loading %s: %w", s.Storage, key, err)
	}
	return value, nil
}

// String says where it is, for people.
func (s *Sealed) String() string { return fmt.Sprintf("%v, sealed", s.Storage) }
