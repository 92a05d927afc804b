package revocation

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
)

// minSecret is the shortest secret, in bytes, that keys are derived from.
const minSecret = 32

// sealSize is by how much a seal lengthens what it is on.
const sealSize = sha256.Size

var errSecret = errors.New("the secret has fewer than 32 bytes")

// A seal marks what was written by somebody who knows the fleet's secret. Each purpose has its own, so that nothing
// written for one is taken for another.
type seal struct{ key []byte }

func newSeal(secret []byte, purpose string) (seal, error) {
	if len(secret) < minSecret {
		return seal{}, errSecret
	}
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
	return seal{key}, err
}

// seal returns content with its MAC behind it.
func (s seal) seal(content []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	mac.Write(content)
	return mac.Sum(content)
}

// open returns the content of what put returned, and whether it was put.
func (s seal) open(sealed []byte) (content []byte, ok bool) {
	if len(sealed) < sealSize {
		return nil, false
	}
	content = sealed[: len(sealed)-sealSize : len(sealed)-sealSize]
	mac := hmac.New(sha256.New, s.key)
	mac.Write(content)
	return content, hmac.Equal(mac.Sum(nil), sealed[len(content):])
}
