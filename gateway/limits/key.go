package limits

import (
	"crypto/sha256"
	"encoding/binary"
)

// A Key is whom a rate is counted for, as a hash that only those can make who know the limiter's secret.
type Key [16]byte

// setIndex picks the set of a key.
func (k Key) setIndex() uint32 { return binary.LittleEndian.Uint32(k[:4]) }

// maxKeyPart bounds a part of a key that is hashed as it is, in bytes; a longer one is hashed before.
const maxKeyPart = 128

// appendPart appends a part with its length before it (injective encoding), so that no two parts can be taken for others.
func appendPart(b []byte, part string) []byte {
	if len(part) > maxKeyPart {
		sum := sha256.Sum256([]byte(part))
		return append(append(b, maxKeyPart+1), sum[:]...)
	}
	return append(append(b, byte(len(part))), part...)
}

// A Scope is what is counted apart: a route, and what its rate is for. It is the same at every gateway of a fleet.
type Scope [16]byte

// NewScope is the scope of these names in this order.
func NewScope(names ...string) Scope {
	var b []byte
	for _, name := range names {
		b = binary.BigEndian.AppendUint64(b, uint64(len(name)))
		b = append(b, name...)
	}
	sum := sha256.Sum256(b)
	return Scope(sum[:len(Scope{})])
}
