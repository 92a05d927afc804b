package acme

import (
	"context"
	"crypto"
	"crypto/x509"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
)

// An issuance is one attempt to get one certificate, the way of RFC 8555, section
// 7.1. It belongs to the goroutine that holds the lock of the name.
type issuance struct {
	*Manager
	name    string
	current *certificate // to be replaced; nil where there is none
	solver  *solver
	pending *pendingOrder // stored whenever it changes
	key     crypto.Signer
	resumed bool // the order is one of a process before this one
}

// resume loads the pending order with its key, if there is one. Else a new key is
// stored, which shows too that the storage is writable.
func (i *issuance) resume(ctx context.Context) error {
	i.pending = &pendingOrder{}
	if _, err := readOrNot(ctx, i.opts.Storage, key(kindPending, i.issuer, i.name), i.pending, i.opts.Log); err != nil {
		return err
	}
	private, err := certmagic.PEMDecodePrivateKey(i.pending.Key)
	if err != nil || i.current != nil && matchesKey(i.current.leaf(), private.Public()) {
		// There is none, or it has led to what is there already.
		return i.abandon(ctx)
	}
	i.key, i.resumed = private, i.pending.Order != ""
	return nil
}

// abandon drops the pending order, and starts over with a new key. TXT records that
// may have been left behind stay listed for cleanup.
func (i *issuance) abandon(ctx context.Context) (err error) {
	since := i.opts.Now().Add(-txtRetention)
	fresh := &pendingOrder{TXT: slices.DeleteFunc(i.pending.TXT, func(t txt) bool { return t.Since.Before(since) })}
	if i.key, fresh.Key, err = newKey(); err != nil {
		return err
	}
	i.pending, i.resumed = fresh, false
	return i.savePending(ctx)
}

// savePending stores the pending order.
func (i *issuance) savePending(ctx context.Context) error {
	return write(ctx, i.opts.Storage, key(kindPending, i.issuer, i.name), i.pending)
}

// clearPending deletes the finished order, but for TXT records that may have been
// left behind.
func (i *issuance) clearPending(ctx context.Context) error {
	if len(i.pending.TXT) > 0 {
		i.pending = &pendingOrder{TXT: i.pending.TXT}
		return i.savePending(ctx)
	}
	return i.opts.Storage.Delete(ctx, key(kindPending, i.issuer, i.name))
}

// matchesKey reports whether a certificate is for a key.
func matchesKey(leaf *x509.Certificate, public crypto.PublicKey) bool {
	comparable, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	return ok && comparable.Equal(leaf.PublicKey)
}

// txtRetention is how long the cleanup of a leftover TXT record is retried: it does
// no harm, and may be in a zone that is out of reach by now.
const txtRetention = 7 * 24 * time.Hour
