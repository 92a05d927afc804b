package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// EAB binds the account to one that the authority knows already (RFC 8555,
// section 7.3.4).
type EAB struct{ KeyID, MACKey string }

func accountKeyKey(issuer string) string { return "accounts/" + keys.Safe(issuer) + "/account.key" }
func accountKey(issuer string) string    { return "accounts/" + keys.Safe(issuer) + "/account.json" }

// account is our account at the authority, registered the first time. Its key is
// stored before the authority hears of it: registering a key again is no second
// account.
func (m *Manager) account(ctx context.Context) (account acmez.Account, err error) {
	known, err := read(ctx, m.o.Storage, accountKey(m.issuer), &account)
	if err != nil {
		return account, err
	}
	if known {
		account.PrivateKey, err = m.accountPrivateKey(ctx)
		return account, err
	}
	const lock = "acme account"
	if err := m.o.Storage.Lock(ctx, lock); err != nil {
		return account, fmt.Errorf("taking the lock of the account: %w", err)
	}
	defer func() { err = errors.Join(err, m.o.Storage.Unlock(context.WithoutCancel(ctx), lock)) }()
	if known, err = read(ctx, m.o.Storage, accountKey(m.issuer), &account); err != nil {
		return account, err
	}
	if account.PrivateKey, err = m.accountPrivateKey(ctx); err != nil || known {
		return account, err
	}
	return m.register(ctx, account.PrivateKey)
}

// register makes the account at the authority, and writes it down.
func (m *Manager) register(ctx context.Context, key crypto.Signer) (acmez.Account, error) {
	account := acmez.Account{TermsOfServiceAgreed: true, PrivateKey: key}
	if m.o.Email != "" {
		account.Contact = []string{"mailto:" + m.o.Email}
	}
	doing := "registering an account at the authority"
	if m.o.EAB != nil {
		err := account.SetExternalAccountBinding(ctx, m.client, acmez.EAB{KeyID: m.o.EAB.KeyID, MACKey: m.o.EAB.MACKey})
		if err != nil {
			return account, m.ofAuthority(doing, err)
		}
	}
	account, err := m.client.NewAccount(ctx, account)
	if err != nil {
		return account, m.ofAuthority(doing, err)
	}
	account.ExternalAccountBinding = nil
	return account, write(ctx, m.o.Storage, accountKey(m.issuer), account)
}

// forgetAccount has the account registered anew, by the same key: the authority
// does not know it any more.
func (m *Manager) forgetAccount(ctx context.Context) error {
	return m.o.Storage.Delete(ctx, accountKey(m.issuer))
}

// accountPrivateKey is the stored key of the account, or a new one.
func (m *Manager) accountPrivateKey(ctx context.Context) (crypto.Signer, error) {
	name := accountKeyKey(m.issuer)
	pem, err := m.o.Storage.Load(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		if pem, err = certmagic.PEMEncodePrivateKey(key); err != nil {
			return nil, err
		}
		if err := m.o.Storage.Store(ctx, name, pem); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	key, err := certmagic.PEMDecodePrivateKey(pem)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return key, nil
}
