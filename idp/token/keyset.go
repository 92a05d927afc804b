package token

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// What a key set may be at most, and what an RSA key must be.
const (
	maxSetBytes = 256 << 10
	maxSetKeys  = 100
	minRSABits  = 2048
	maxRSABits  = 8192
)

// ErrPrivateKey says of an entry of a key set that it is a shared secret, or has
// its private half beside it: whoever reads it can sign.
var ErrPrivateKey = errors.New("it is secret, a private key or a shared one")

var (
	errUnusableKey = errors.New("unusable for signatures here")
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
	list, err := readSet(data)
	if err != nil {
		return nil, 0, err
	}
	for _, v := range list {
		switch bound, err := parseKey(v); {
		case err == nil:
			keys = append(keys, bound...)
		case !errors.Is(err, errUnusableKey):
			malformed++
		}
	}
	return keys, malformed, nil
}

// readSet reads the entries of a key set, good ones and others.
func readSet(data []byte) ([]value, error) {
	if len(data) > maxSetBytes {
		return nil, errors.New("token: key set: longer than 256 KiB")
	}
	set, err := readObject(string(data))
	if err != nil {
		return nil, fmt.Errorf("token: key set: %w", err)
	}
	list, ok := set.get("keys")
	if !ok || list.kind != kindArray {
		return nil, errors.New("token: key set: no list of keys")
	}
	if len(list.list) > maxSetKeys {
		return nil, errors.New("token: key set: more than 100 keys")
	}
	return list.list, nil
}

// parseKey reads a key, once for each algorithm that it may be bound to.
func parseKey(v value) ([]PublicKey, error) {
	if v.kind != kindObject {
		return nil, fmt.Errorf("%w: not an object", errBadKey)
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
		return nil, fmt.Errorf("%w: its kid is longer than 255 bytes, or not of visible ASCII characters", errBadKey)
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
			return nil, fmt.Errorf("%w: its alg %q is none of %s", errUnusableKey, algorithm, strings.Join(possible, ", "))
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
		return "", fmt.Errorf("%w: %s is no text", errBadKey, name)
	}
	return v.text, nil
}

// bytes reads a member in canonical base64url.
func (m jwkMembers) bytes(name string) ([]byte, error) {
	s, err := m.text(name)
	if err != nil {
		return nil, err
	}
	if s == "" {
		return nil, fmt.Errorf("%w: %s is missing", errBadKey, name)
	}
	b, err := decodeSegment(s)
	if err != nil {
		return nil, fmt.Errorf("%w: %s is not base64url without padding", errBadKey, name)
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
		return fmt.Errorf("%w: its use is %q", errUnusableKey, use)
	}
	if v, ok := m.get("key_ops"); ok {
		operations, err := v.strings()
		if err != nil {
			return fmt.Errorf("%w: key_ops is no list of texts", errBadKey)
		}
		if !slices.Contains(operations, "verify") {
			return fmt.Errorf("%w: its key_ops have no verify", errUnusableKey)
		}
	}
	if m.secret() {
		return fmt.Errorf("%w: %w", errUnusableKey, ErrPrivateKey)
	}
	return nil
}

// secret reports whether the key is a shared secret, or stands there with what is
// private of it (RFC 7518, section 6).
func (m jwkMembers) secret() bool {
	return slices.ContainsFunc([]string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"}, func(name string) bool {
		_, ok := m.get(name)
		return ok
	})
}

// key reads the key itself, and the family of algorithms that it can be bound to.
func (m jwkMembers) key() (crypto.PublicKey, string, error) {
	kty, err := m.text("kty")
	if err != nil {
		return nil, "", err
	}
	if kty == "" {
		return nil, "", fmt.Errorf("%w: kty is missing", errBadKey)
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
	return nil, "", fmt.Errorf("%w: its kty %q is none of EC, OKP, RSA", errUnusableKey, kty)
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
		return nil, "", fmt.Errorf("%w: its crv %q is none of P-256, P-384, P-521", errUnusableKey, name)
	}
	x, errX := m.bytes("x")
	y, errY := m.bytes("y")
	if err := cmp.Or(errX, errY); err != nil {
		return nil, "", err
	}
	if size := (curve.Params().BitSize + 7) / 8; len(x) != size || len(y) != size {
		return nil, "", fmt.Errorf("%w: x and y have to be of %d bytes", errBadKey, size)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, "", fmt.Errorf("%w: no point on the curve", errBadKey)
	}
	return key, name, nil
}

func (m jwkMembers) edwards(name string) (crypto.PublicKey, string, error) {
	if name != "Ed25519" {
		return nil, "", fmt.Errorf("%w: its crv %q is not Ed25519", errUnusableKey, name)
	}
	x, err := m.bytes("x")
	if err != nil {
		return nil, "", err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, "", fmt.Errorf("%w: x has to be of %d bytes", errBadKey, ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), name, nil
}

func (m jwkMembers) rsa() (crypto.PublicKey, string, error) {
	n, errN := m.bytes("n")
	e, errE := m.bytes("e")
	if err := cmp.Or(errN, errE); err != nil {
		return nil, "", err
	}
	if len(e) > 4 {
		return nil, "", fmt.Errorf("%w: e is longer than 4 bytes", errBadKey)
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e).Int64()
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, "", fmt.Errorf("%w: RSA with %d bits; %d to %d are taken", errUnusableKey, bits, minRSABits, maxRSABits)
	}
	if exponent < 3 || exponent > 1<<31-1 || exponent%2 == 0 || modulus.Bit(0) == 0 {
		return nil, "", fmt.Errorf("%w: n and e are no RSA key", errBadKey)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent)}, "RSA", nil
}
