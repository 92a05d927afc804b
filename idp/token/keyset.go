package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// What a key set may be at most, and what an RSA key must be.
const (
	maxSetBytes = 256 << 10
	maxSetKeys  = 100
	minRSABits  = 2048
	maxRSABits  = 8192
)

var (
	errUnusableKey = errors.New("unusable key for signatures here")
	errBadKey      = errors.New("malformed")
)

// algorithms says which algorithms a key type may be bound to. Shared secrets are
// not among them: nobody can publish one.
var algorithms = map[string][]string{
	"P-256":   {algES256},
	"P-384":   {"ES384"},
	"P-521":   {"ES512"},
	"Ed25519": {"EdDSA"},
	"RSA":     {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"},
}

// isPublicAlgorithm reports whether a published key may be bound to an algorithm.
func isPublicAlgorithm(algorithm string) bool {
	for _, possible := range algorithms {
		if slices.Contains(possible, algorithm) {
			return true
		}
	}
	return false
}

// MarshalSet gives the keys as a JSON Web Key Set, in their order.
func MarshalSet(keys []PublicKey) []byte {
	set := []byte(`{"keys":[`)
	for i, k := range keys {
		if i > 0 {
			set = append(set, ',')
		}
		set = append(set, k.key.json...)
	}
	return append(set, `]}`...)
}

// ParseSet reads a JSON Web Key Set: at most 256 KiB and 100 keys. Keys for
// another use, of a type or algorithm unknown here, too weak, or published with
// their private half are left out (RFC 7517, section 5), and so are malformed ones.
// Each key is bound to one algorithm, its alg; one that does not say stands there
// once for each algorithm of its type.
func ParseSet(data []byte) ([]PublicKey, error) {
	keys, _, err := ParsePublished(data)
	return keys, err
}

// ParsePublished is ParseSet, and counts the malformed keys that it left out.
func ParsePublished(data []byte) (keys []PublicKey, malformed int, err error) {
	if len(data) > maxSetBytes {
		return nil, 0, errors.New("token: key set: longer than 256 KiB")
	}
	set, err := readObject(string(data))
	if err != nil {
		return nil, 0, fmt.Errorf("token: key set: %w", err)
	}
	list, ok := set.get("keys")
	if !ok || list.kind != kindArray {
		return nil, 0, errors.New("token: key set: no list of keys")
	}
	if len(list.list) > maxSetKeys {
		return nil, 0, errors.New("token: key set: more than 100 keys")
	}
	for _, v := range list.list {
		switch bound, err := parseKey(v); {
		case err == nil:
			keys = append(keys, bound...)
		case !errors.Is(err, errUnusableKey):
			malformed++
		}
	}
	return keys, malformed, nil
}

// parseKey reads a key, once for each algorithm that it may be bound to.
func parseKey(v value) ([]PublicKey, error) {
	if v.kind != kindObject {
		return nil, errBadKey
	}
	m := jwkMembers{v.members}
	if err := m.checkUse(); err != nil {
		return nil, err
	}
	id, err := m.text("kid")
	if err != nil {
		return nil, err
	}
	if id != "" && checkIdentifier(id) != nil {
		return nil, errBadKey
	}
	verify, family, err := m.key()
	if err != nil {
		return nil, err
	}
	algorithm, err := m.text("alg")
	if err != nil {
		return nil, err
	}
	if algorithm == "Ed25519" { // RFC 9864's name of what golang-jwt calls by the older one
		algorithm = "EdDSA"
	}
	possible := algorithms[family]
	if algorithm != "" {
		if !slices.Contains(possible, algorithm) {
			return nil, errUnusableKey
		}
		possible = []string{algorithm}
	}
	keys := make([]PublicKey, len(possible))
	for i, algorithm := range possible {
		if keys[i], err = newPublicKey(verify, id, algorithm); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// jwkMembers reads the members of one JWK. One that is null is as good as absent.
type jwkMembers struct{ object }

func (m jwkMembers) get(name string) (value, bool) {
	v, ok := m.object.get(name)
	return v, ok && v.kind != kindNull
}

func (m jwkMembers) text(name string) (string, error) {
	v, ok := m.get(name)
	if !ok {
		return "", nil
	}
	if v.kind != kindString {
		return "", errBadKey
	}
	return v.text, nil
}

// bytes reads a member in canonical base64url.
func (m jwkMembers) bytes(name string) ([]byte, error) {
	s, err := m.text(name)
	if err != nil || s == "" {
		return nil, errBadKey
	}
	b, err := decodeSegment(s)
	if err != nil {
		return nil, errBadKey
	}
	return b, nil
}

// checkUse judges use and key_ops, and refuses a key whose private half
// stands beside it: anybody could sign with that one.
func (m jwkMembers) checkUse() error {
	use, err := m.text("use")
	if err != nil {
		return err
	}
	if use != "" && use != "sig" {
		return errUnusableKey
	}
	if v, ok := m.get("key_ops"); ok {
		operations, err := v.strings()
		if err != nil {
			return errBadKey
		}
		if !slices.Contains(operations, "verify") {
			return errUnusableKey
		}
	}
	for _, private := range []string{"d", "k"} {
		if _, ok := m.get(private); ok {
			return errUnusableKey
		}
	}
	return nil
}

// key reads the key itself, and the family of algorithms that it can be bound to.
func (m jwkMembers) key() (crypto.PublicKey, string, error) {
	kty, err := m.text("kty")
	if err != nil || kty == "" {
		return nil, "", errBadKey
	}
	crv, err := m.text("crv")
	if err != nil {
		return nil, "", err
	}
	switch kty {
	case "EC":
		return m.elliptic(crv)
	case "OKP":
		return m.edwards(crv)
	case "RSA":
		return m.rsa()
	}
	return nil, "", errUnusableKey
}

func (m jwkMembers) elliptic(name string) (crypto.PublicKey, string, error) {
	var curve elliptic.Curve
	switch name {
	case "P-256":
		curve = elliptic.P256()
	case "P-384":
		curve = elliptic.P384()
	case "P-521":
		curve = elliptic.P521()
	default:
		return nil, "", errUnusableKey
	}
	x, errX := m.bytes("x")
	y, errY := m.bytes("y")
	size := (curve.Params().BitSize + 7) / 8
	if errX != nil || errY != nil || len(x) != size || len(y) != size {
		return nil, "", errBadKey
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, "", errBadKey // not a point on the curve
	}
	return key, name, nil
}

func (m jwkMembers) edwards(name string) (crypto.PublicKey, string, error) {
	if name != "Ed25519" {
		return nil, "", errUnusableKey
	}
	x, err := m.bytes("x")
	if err != nil || len(x) != ed25519.PublicKeySize {
		return nil, "", errBadKey
	}
	return ed25519.PublicKey(x), name, nil
}

func (m jwkMembers) rsa() (crypto.PublicKey, string, error) {
	n, errN := m.bytes("n")
	e, errE := m.bytes("e")
	if errN != nil || errE != nil || len(e) > 4 {
		return nil, "", errBadKey
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, "", errUnusableKey
	}
	if exponent < 3 || exponent > 1<<31-1 || exponent%2 == 0 || modulus.Bit(0) == 0 {
		return nil, "", errBadKey
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent)}, "RSA", nil
}
