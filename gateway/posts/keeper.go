package posts

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// Errors of a Keeper.
var (
	// ErrFull: the browser has as many posts kept as it may, or all browsers together have.
	ErrFull = errors.New("posts: no room for another")
	// ErrGone: no such post is kept: it was taken, or its time is over.
	ErrGone = errors.New("posts: not kept, or not any more")
)

// A Store keeps sealed values for Lifetime, no more than PerBrowser of an owner, and of len(value)+Overhead bytes each no
// more than Total. It answers within a few seconds, and is safe for concurrent use, in several processes where it is shared.
type Store interface {
	// Put keeps the value under the id, which is new; false where there is no room.
	Put(ctx context.Context, owner, id string, value []byte) (bool, error)
	// Get returns the value of the id; nil where there is none.
	Get(ctx context.Context, id string) ([]byte, error)
	// Take removes the value of the id and returns it, to one caller alone; nil where there is none.
	Take(ctx context.Context, owner, id string) ([]byte, error)
}

// Options are what a Keeper is made of.
type Options struct {
	// Store is what the gateways of a fleet share. Optional: the memory of this process.
	Store Store
	// Secret is theirs too, at least 32 bytes. Required with Store.
	Secret []byte
	// MaxBody is the longest body that is kept, in bytes.
	MaxBody int64
	// Now is the clock of what is kept in memory, and of sealed owners. Optional: time.Now.
	Now func() time.Time
}

// Keeper keeps posts. It is safe for concurrent use.
type Keeper struct {
	store   Store
	aead    cipher.AEAD
	macKey  []byte
	now     func() time.Time
	maxBody int64
	reading atomic.Int64 // bytes that are reserved for posts that are being received
}

// New verifies the options.
func New(o Options) (*Keeper, error) {
	switch {
	case o.MaxBody <= 0 || o.MaxBody > Total:
		return nil, fmt.Errorf("posts: a body of %d bytes is not to be kept", o.MaxBody)
	case o.Store != nil && len(o.Secret) < 32:
		return nil, errors.New("posts: a shared store needs a secret of at least 32 bytes")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	secret := o.Secret
	if o.Store == nil {
		o.Store = newMemory(o.Now)
		secret = make([]byte, 32)
		if _, err := rand.Read(secret); err != nil {
			return nil, err
		}
	}
	sealKey, err := hkdf.Key(sha256.New, secret, nil, "vilogate kept posts v1", 32)
	if err != nil {
		return nil, err
	}
	macKey, err := hkdf.Key(sha256.New, secret, nil, "vilogate kept posts cookie v1", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(sealKey)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Keeper{store: o.Store, aead: aead, macKey: macKey, now: o.Now, maxBody: o.MaxBody}, nil
}

// MaxBody is the longest body that is kept, in bytes.
func (k *Keeper) MaxBody() int64 { return k.maxBody }

// Reserve reserves memory for a body that is to be received, until release is called; false where all that are being
// received would take more than Total.
func (k *Keeper) Reserve(bytes int64) (release func(), ok bool) {
	if k.reading.Add(bytes) > Total {
		k.reading.Add(-bytes)
		return nil, false
	}
	return func() { k.reading.Add(-bytes) }, true
}

// Keep keeps a post, and returns its id. The error is ErrFull where there is no room.
func (k *Keeper) Keep(ctx context.Context, p *Post) (id string, err error) {
	id = rand.Text()
	return id, k.put(ctx, id, p)
}

// PutBack keeps a post that was taken, and was not sent, under its id for another Lifetime.
func (k *Keeper) PutBack(ctx context.Context, id string, p *Post) error { return k.put(ctx, id, p) }

func (k *Keeper) put(ctx context.Context, id string, p *Post) error {
	plain, err := p.encode()
	if err != nil {
		return fmt.Errorf("posts: %w", err)
	}
	kept, err := k.store.Put(ctx, k.owner(p.Owner), id, k.aead.Seal(nil, nil, plain, []byte(id)))
	switch {
	case err != nil:
		return fmt.Errorf("posts: keeping one: %w", err)
	case !kept:
		return ErrFull
	}
	return nil
}

// Find returns a post that stays where it is; ErrGone where there is none of that id.
func (k *Keeper) Find(ctx context.Context, id string) (*Post, error) {
	sealed, err := k.store.Get(ctx, id)
	return k.open(id, sealed, err)
}

// Take returns the post, of its owner, to one caller alone; to others it is gone.
func (k *Keeper) Take(ctx context.Context, owner Owner, id string) (*Post, error) {
	sealed, err := k.store.Take(ctx, k.owner(owner), id)
	return k.open(id, sealed, err)
}

func (k *Keeper) open(id string, sealed []byte, err error) (*Post, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("posts: reading one: %w", err)
	case sealed == nil:
		return nil, ErrGone
	}
	plain, err := k.aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, ErrGone // by somebody who does not know the secret
	}
	return decode(plain)
}

// owner is how a store tells browsers apart: a digest that tells nobody's name.
func (k *Keeper) owner(o Owner) string {
	return k.mac("owner", o.Issuer, o.Subject, o.Session)
}

// Proof is what the cookie of the browser that sent a post says, beside its id.
func (k *Keeper) Proof(id string) string { return k.mac("cookie", id) }

// Proves reports whether a cookie says what was set in it: whoever made it up learns nothing, and costs no look into the store.
func (k *Keeper) Proves(id, proof string) bool { return hmac.Equal([]byte(k.Proof(id)), []byte(proof)) }

// sealedOwner is an owner who is believed until a moment.
type sealedOwner struct {
	Owner
	Until int64 `json:"until"` // in seconds since 1970
}

// ownersData tells sealed owners from posts, which are sealed with their id.
const ownersData = "owner"

// SealOwner returns an owner as a text that nobody else can make, or read. It is good for Lifetime.
func (k *Keeper) SealOwner(o Owner) (string, error) {
	plain, err := json.Marshal(sealedOwner{o, k.now().Add(Lifetime).Unix()})
	if err != nil {
		return "", fmt.Errorf("posts: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(k.aead.Seal(nil, nil, plain, []byte(ownersData))), nil
}

// OpenOwner returns the owner of a text that SealOwner returned in this fleet; false for any other, and after its time.
func (k *Keeper) OpenOwner(text string) (Owner, bool) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return Owner{}, false
	}
	var o sealedOwner
	plain, err := k.aead.Open(nil, nil, sealed, []byte(ownersData))
	if err != nil || json.Unmarshal(plain, &o) != nil || k.now().Unix() >= o.Until {
		return Owner{}, false
	}
	return o.Owner, true
}

func (k *Keeper) mac(fields ...string) string {
	mac := hmac.New(sha256.New, k.macKey)
	mac.Write([]byte(strings.Join(fields, "\x00")))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// IDLength is the length of an id in bytes.
const IDLength = 26

// IsID reports whether a text may be an id.
func IsID(s string) bool {
	return len(s) == IDLength && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
