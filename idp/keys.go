package idp

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/token"
)

// errSeal means that a signing key was sealed with something else than the seal key at hand, or was changed.
var errSeal = errors.New("a signing key cannot be unsealed: the seal key (seal.key of the state folder, or secret) is not the one it was sealed with")

// Key is a key that signs logins, as far as anybody may know it.
type Key struct {
	ID        string    `json:"id"`
	Algorithm string    `json:"algorithm"`
	Created   time.Time `json:"created"`
}

// keyring holds the signing keys: the newest signs, all verify. It never changes once it is made.
type keyring struct {
	signing *token.PrivateKey
	byID    map[string]token.PublicKey
	set     []byte // the JWKS
}

// openKeyring unseals the keys of the database, and makes the first.
func openKeyring(ctx context.Context, db *database.DB, seal [32]byte, now time.Time) (*keyring, error) {
	block, err := aes.NewCipher(seal[:])
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	keys, err := unsealKeys(ctx, db, aead)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	if len(keys) == 0 {
		key, err := addKey(ctx, db, aead, now)
		if err != nil {
			return nil, fmt.Errorf("signing keys: %w", err)
		}
		keys = append(keys, key)
	}
	ring := &keyring{signing: keys[0], byID: map[string]token.PublicKey{}}
	var public []token.PublicKey
	for _, key := range keys {
		ring.byID[key.ID()] = key.Public()
		public = append(public, key.Public())
	}
	ring.set = token.MarshalSet(public)
	return ring, nil
}

// unsealKeys returns the keys, the newest first.
func unsealKeys(ctx context.Context, db *database.DB, aead cipher.AEAD) (keys []*token.PrivateKey, err error) {
	rows, err := db.SQL().QueryContext(ctx, "SELECT id, sealed FROM signing_keys ORDER BY created DESC, id")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id string
		var sealed []byte
		if err := rows.Scan(&id, &sealed); err != nil {
			return nil, err
		}
		plain, err := aead.Open(nil, nil, sealed, sealAAD(id))
		if err != nil {
			return nil, errSeal
		}
		key, err := token.ParsePrivateKey(plain)
		if err != nil || key.ID() != id {
			return nil, errors.Join(errSeal, err)
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

func addKey(ctx context.Context, db *database.DB, aead cipher.AEAD, now time.Time) (*token.PrivateKey, error) {
	key, err := token.GenerateKey()
	if err != nil {
		return nil, err
	}
	plain, err := key.Marshal()
	if err != nil {
		return nil, err
	}
	_, err = db.SQL().ExecContext(ctx, "INSERT INTO signing_keys (id, sealed, created) VALUES (?, ?, ?)",
		key.ID(), aead.Seal(nil, nil, plain, sealAAD(key.ID())), now.Unix())
	return key, err
}

// sealAAD is the additional data of the AEAD: it binds a sealed key to its purpose and its row.
func sealAAD(id string) []byte { return []byte("vilogate signing key\x00" + id) }

// Key finds a key for verification; it is a token.KeySource.
func (k *keyring) Key(kid string, _ time.Time) (token.PublicKey, error) {
	if kid == "" && len(k.byID) == 1 {
		kid = k.signing.ID()
	}
	if key, ok := k.byID[kid]; ok {
		return key, nil
	}
	return token.PublicKey{}, token.ErrUnknownKey
}

// keys lists the keys in the database, which need not be unsealed for that.
func (d *directory) keys(ctx context.Context) (keys []Key, err error) {
	rows, err := d.db.SQL().QueryContext(ctx, "SELECT id, created FROM signing_keys ORDER BY created DESC, id")
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	keys = []Key{}
	for rows.Next() {
		key := Key{Algorithm: "ES256"}
		var created int64
		if err := rows.Scan(&key.ID, &created); err != nil {
			return nil, fmt.Errorf("listing keys: %w", err)
		}
		key.Created = time.Unix(created, 0)
		keys = append(keys, key)
	}
	return keys, rows.Err()
}
