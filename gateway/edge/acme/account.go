package acme

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// storedAccount is our account at an authority. The key is stored before the
// authority hears of it: registering a key again is no second account.
type storedAccount struct {
	Key        []byte         `json:"key"`     // PEM
	Registered *acmez.Account `json:"account"` // nil as long as it is not registered
}

// account is our account at the authority, registered the first time.
func (m *Manager) account(ctx context.Context) (account acmez.Account, err error) {
	const lock = "acme account"
	if err := m.opts.Storage.Lock(ctx, lock); err != nil {
		return account, fmt.Errorf("taking the lock of the account: %w", err)
	}
	defer func() { err = errors.Join(err, m.opts.Storage.Unlock(context.WithoutCancel(ctx), lock)) }()
	name := key(kindAccount, m.issuer, "account")
	var stored storedAccount
	if _, err := readOrNot(ctx, m.opts.Storage, name, &stored, m.opts.Log); err != nil {
		return account, err
	}
	private, err := certmagic.PEMDecodePrivateKey(stored.Key)
	if err != nil {
		if private, stored.Key, err = newKey(); err != nil {
			return account, err
		}
		stored.Registered = nil
		if err := write(ctx, m.opts.Storage, name, stored); err != nil {
			return account, err
		}
	}
	if stored.Registered != nil {
		account = *stored.Registered
		account.PrivateKey = private
		return account, nil
	}
	if account, err = m.register(ctx, private); err != nil {
		return account, err
	}
	stored.Registered = &account
	return account, write(ctx, m.opts.Storage, name, stored)
}

// register makes the account at the authority.
func (m *Manager) register(ctx context.Context, private crypto.Signer) (acmez.Account, error) {
	account := acmez.Account{TermsOfServiceAgreed: true, PrivateKey: private}
	if m.opts.Email != "" {
		account.Contact = []string{"mailto:" + m.opts.Email}
	}
	op := "registering an account at the authority"
	if m.opts.EAB != nil {
		err := account.SetExternalAccountBinding(ctx, m.client, acmez.EAB{KeyID: m.opts.EAB.KeyID, MACKey: m.opts.EAB.MACKey})
		if err != nil {
			return account, m.authorityProblem(op, err)
		}
	}
	account, err := m.client.NewAccount(ctx, account)
	if err != nil {
		return account, m.authorityProblem(op, err)
	}
	account.ExternalAccountBinding = nil
	return account, nil
}

// unregister has the account registered again, with the same key: the authority
// does not know it any more (accountDoesNotExist).
func (m *Manager) unregister(ctx context.Context) error {
	name := key(kindAccount, m.issuer, "account")
	var stored storedAccount
	if _, err := readOrNot(ctx, m.opts.Storage, name, &stored, m.opts.Log); err != nil {
		return err
	}
	stored.Registered = nil
	return write(ctx, m.opts.Storage, name, stored)
}

// newKey makes a key of the curve P-256, and its PEM.
func newKey() (crypto.Signer, []byte, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := certmagic.PEMEncodePrivateKey(private)
	return private, encoded, err
}
