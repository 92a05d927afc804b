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

// EAB binds the account to one that the authority knows already (RFC 8555,
// section 7.3.4).
type EAB struct{ KeyID, MACKey string }

// storedAccount is our account at an authority. The key is stored before the
// authority hears of it: registering a key again is no second account.
type storedAccount struct {
	Key     []byte         `json:"key"`     // PEM
	Account *acmez.Account `json:"account"` // nil as long as it is not registered
}

// account is our account at the authority, registered the first time.
func (m *Manager) account(ctx context.Context) (account acmez.Account, err error) {
	const lock = "acme account"
	if err := m.o.Storage.Lock(ctx, lock); err != nil {
		return account, fmt.Errorf("taking the lock of the account: %w", err)
	}
	defer func() { err = errors.Join(err, m.o.Storage.Unlock(context.WithoutCancel(ctx), lock)) }()
	name := key(kindAccount, m.issuer, "account")
	var stored storedAccount
	if _, err := readOrNot(ctx, m.o.Storage, name, &stored, m.o.Log); err != nil {
		return account, err
	}
	private, err := certmagic.PEMDecodePrivateKey(stored.Key)
	if err != nil {
		if private, stored.Key, err = newKey(); err != nil {
			return account, err
		}
		stored.Account = nil
		if err := write(ctx, m.o.Storage, name, stored); err != nil {
			return account, err
		}
	}
	if stored.Account != nil {
		account = *stored.Account
		account.PrivateKey = private
		return account, nil
	}
	if account, err = m.register(ctx, private); err != nil {
		return account, err
	}
	stored.Account = &account
	return account, write(ctx, m.o.Storage, name, stored)
}

// register makes the account at the authority.
func (m *Manager) register(ctx context.Context, private crypto.Signer) (acmez.Account, error) {
	account := acmez.Account{TermsOfServiceAgreed: true, PrivateKey: private}
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
	return account, nil
}

// forgetAccount has the account registered anew, by the same key: the authority
// does not know it any more.
func (m *Manager) forgetAccount(ctx context.Context) error {
	name := key(kindAccount, m.issuer, "account")
	var stored storedAccount
	if _, err := readOrNot(ctx, m.o.Storage, name, &stored, m.o.Log); err != nil {
		return err
	}
	stored.Account = nil
	return write(ctx, m.o.Storage, name, stored)
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
