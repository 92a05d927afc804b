package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// algES256 is what our own tokens are signed with: the IdP's and the gateway's alike.
const algES256 = "ES256"

// ErrUnknownKey says that a key source is up but has no key of that id.
var ErrUnknownKey = errors.New("token: unknown key")

// ErrKeyPending is ErrUnknownKey while it is not known whether the issuer has
// published the key: a fetch that began after its kid was first seen has not ended
// yet. The token may be good, so it is ErrKeysNotLoaded too.
var ErrKeyPending error = keyPendingError{}

type keyPendingError struct{}

func (keyPendingError) Error() string {
	return "token: unknown key, and the issuer's keys are being fetched"
}

func (keyPendingError) Unwrap() []error { return []error{ErrUnknownKey, ErrKeysNotLoaded} }

// KeySource answers with the public key of an issuer by its id. It is called
// on the hot path, from many goroutines: it must neither block nor do I/O.
//
// Its errors are [ErrUnknownKey], when the source is up but has no such key,
// and [ErrKeysNotLoaded], when it has none yet. The empty id stands for a token
// without a kid.
type KeySource interface {
	Key(kid string, now time.Time) (PublicKey, error)
}

// KeySet is a key source that may have several keys for one token: of one kid,
// for several algorithms; where the token or the key has no kid, whichever fit.
type KeySet interface {
	KeySource

	// Keys are the keys that a token with this kid, or without one, may be signed
	// with. Its errors are those of Key, and [ErrKeyPending]. The slice is shared:
	// read it only.
	Keys(kid string, now time.Time) ([]PublicKey, error)

	// KeyNotFound is told that the token was signed with none of them, and answers
	// as Keys where the key may be one that it does not know. nil says that the
	// signature is wrong.
	KeyNotFound(kid string) error
}

// KeySourceFunc is a function as a key source.
type KeySourceFunc func(kid string, now time.Time) (PublicKey, error)

// Key calls f.
func (f KeySourceFunc) Key(kid string, now time.Time) (PublicKey, error) { return f(kid, now) }

// PrivateKey signs tokens with ES256. It never leaves the process but through
// Marshal, and prints as nothing but its id.
type PrivateKey struct {
	key    *ecdsa.PrivateKey
	public PublicKey
}

// GenerateKey makes a new P-256 key.
func GenerateKey() (*PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("token: generate a key: %w", err)
	}
	return newPrivateKey(key)
}

// ParsePrivateKey reads what Marshal wrote: PKCS #8, DER. Only P-256 is taken.
func ParsePrivateKey(pkcs8 []byte) (*PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, errors.New("token: not a private key in PKCS #8") // the cause might quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("token: not a P-256 private key")
	}
	return newPrivateKey(key)
}

func newPrivateKey(key *ecdsa.PrivateKey) (*PrivateKey, error) {
	public, err := newPublicKey(&key.PublicKey, "", algES256)
	if err != nil {
		return nil, err
	}
	public.key.named = true // signed tokens have the thumbprint as their kid
	return &PrivateKey{key: key, public: public}, nil
}

// Marshal gives the key as PKCS #8, DER: what to seal and store.
func (k *PrivateKey) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return nil, fmt.Errorf("token: marshal a private key: %w", err)
	}
	return der, nil
}

// ID is the key's RFC 7638 thumbprint, which is its kid too.
func (k *PrivateKey) ID() string { return k.public.ID() }

// Public is the half that everybody may have.
func (k *PrivateKey) Public() PublicKey { return k.public }

// String names the key without showing it, whatever the verb of a log or an error.
func (k *PrivateKey) String() string { return "private key " + k.ID() }

// GoString is String.
func (k *PrivateKey) GoString() string { return k.String() }

// PublicKey is a key that verifies signatures of exactly one algorithm
// (RFC 8725, 3.1). It is immutable; copying it is cheap. The zero value is no key.
type PublicKey struct{ key *publicKey }

type publicKey struct {
	id         string
	named      bool // id was published as its kid
	algorithm  string
	verify     crypto.PublicKey
	thumbprint [sha256.Size]byte // of the key alone (RFC 7638), whatever its id
	json       []byte
}

// jwk is a public key as RFC 7517 and RFC 8037 write it. The members needed for
// a thumbprint come first and in alphabetical order, as RFC 7638 wants them.
type jwk struct {
	Curve     string `json:"crv,omitempty"`
	Exponent  string `json:"e,omitempty"`
	Type      string `json:"kty"`
	Modulus   string `json:"n,omitempty"`
	X         string `json:"x,omitempty"`
	Y         string `json:"y,omitempty"`
	ID        string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"alg,omitempty"`
}

func newPublicKey(verify crypto.PublicKey, id, algorithm string) (PublicKey, error) {
	bare, err := toJWK(verify)
	if err != nil {
		return PublicKey{}, err
	}
	canonical, err := json.Marshal(bare)
	if err != nil {
		return PublicKey{}, fmt.Errorf("token: describe a key: %w", err)
	}
	k := &publicKey{id: id, named: id != "", algorithm: algorithm, verify: verify, thumbprint: sha256.Sum256(canonical)}
	if k.id == "" {
		k.id = base64.RawURLEncoding.EncodeToString(k.thumbprint[:])
	}
	bare.ID, bare.Use, bare.Algorithm = k.id, "sig", algorithm
	if k.json, err = json.Marshal(bare); err != nil {
		return PublicKey{}, fmt.Errorf("token: describe a key: %w", err)
	}
	return PublicKey{k}, nil
}

func toJWK(verify crypto.PublicKey) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := verify.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			return jwk{}, fmt.Errorf("token: %w", err)
		}
		half := (len(point) - 1) / 2
		return jwk{Type: "EC", Curve: k.Params().Name, X: b64(point[1 : 1+half]), Y: b64(point[1+half:])}, nil
	case *rsa.PublicKey:
		return jwk{Type: "RSA", Modulus: b64(k.N.Bytes()), Exponent: b64(big.NewInt(int64(k.E)).Bytes())}, nil
	case ed25519.PublicKey:
		return jwk{Type: "OKP", Curve: "Ed25519", X: b64(k)}, nil
	}
	return jwk{}, fmt.Errorf("token: no key type that signs tokens: %T", verify)
}

// ID is the kid under which the key was published; for a key of ours its thumbprint.
func (k PublicKey) ID() string { return k.key.id }

// Named reports whether the key was published under a kid. The ID of one that was
// not is its thumbprint, which its issuer's tokens need not say.
func (k PublicKey) Named() bool { return k.key.named }

// Algorithm is the one JWS algorithm that the key is bound to.
func (k PublicKey) Algorithm() string { return k.key.algorithm }

// JSON is the key as a JWK, with kid, use and alg.
func (k PublicKey) JSON() []byte { return append([]byte(nil), k.key.json...) }

// IsZero reports whether k is no key at all.
func (k PublicKey) IsZero() bool { return k.key == nil }

// Equal reports whether both are the same key for the same algorithm, whatever their ids.
func (k PublicKey) Equal(other PublicKey) bool {
	if k.key == nil || other.key == nil {
		return k.key == other.key
	}
	return k.key == other.key || k.key.thumbprint == other.key.thumbprint && k.key.algorithm == other.key.algorithm
}
