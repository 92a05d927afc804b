package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// A record is a certificate as it is stored: all of it in one value, so that it is
// there whole or not at all.
type record struct {
	Chain    []byte    `json:"chain"` // PEM
	Key      []byte    `json:"key"`   // PEM
	Obtained time.Time `json:"obtained"`
}

// renewalInfo is what the authority suggests for one certificate (RFC 9773). It
// stands apart from the certificate, because it changes on its own.
type renewalInfo struct {
	Certificate string            `json:"certificate"` // its unique identifier
	Info        acmez.RenewalInfo `json:"info"`
	Asked       time.Time         `json:"asked"`
}

// pendingOrder is an order in progress: what another process needs to resume it.
type pendingOrder struct {
	Key   []byte `json:"key"`   // the certificate's, PEM
	Order string `json:"order"` // its URL; "" as long as there is none
	TXT   []txt  `json:"txt"`   // records that may have been left behind
}

// txt is a TXT record by its full name, without the final dot.
type txt struct {
	Name  string    `json:"name"`
	Value string    `json:"value"`
	Since time.Time `json:"since"`
}

// failure is the last attempt, where it failed: known to the whole fleet, and to
// the process that comes after this one.
type failure struct {
	Count      int       `json:"count"` // in a row
	At         time.Time `json:"at"`
	NotBefore  time.Time `json:"not_before"` // of the next attempt
	RetryAfter time.Time `json:"patience"`   // the authority's Retry-After; zero where it had none
	Settings   string    `json:"settings"`   // that it failed with
	Text       string    `json:"text"`

	stored bool // it is in the storage, for the fleet
}

// What is stored, by kind. The name of the authority is part of every name, so
// that another one in the configuration starts afresh.
const (
	kindRecord  = "certificates"
	kindRenewal = "renewals"
	kindPending = "orders"
	kindFailure = "failures"
	kindAccount = "accounts"
)

var keys certmagic.KeyBuilder

// key is where something about a name stands.
func key(kind, issuer, name string) string {
	return kind + "/" + keys.Safe(issuer) + "/" + keys.Safe(name) + ".json"
}

// issuerKey names an authority in the storage, by its directory.
func issuerKey(directory string) string {
	return (&certmagic.ACMEIssuer{CA: directory}).IssuerKey()
}

// errCorrupt says that a stored value cannot be decoded.
var errCorrupt = errors.New("corrupt value")

// read decodes a value from the storage; false where there is none. One that cannot
// be decoded is errCorrupt.
func read(ctx context.Context, from certmagic.Storage, key string, into any) (bool, error) {
	data, err := from.Load(ctx, key)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading %s: %w", key, err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return false, fmt.Errorf("reading %s: %w: %w", key, errCorrupt, err)
	}
	return true, nil
}

// readOrNot is read where a corrupt value counts as none: it is recreated.
func readOrNot(ctx context.Context, from certmagic.Storage, key string, into any, log *slog.Logger) (bool, error) {
	found, err := read(ctx, from, key, into)
	if errors.Is(err, errCorrupt) {
		log.Warn("corrupt value in the certificate storage, recreating it", "error", err)
		return false, nil
	}
	return found, err
}

func write(ctx context.Context, to certmagic.Storage, key string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := to.Store(ctx, key, data); err != nil {
		return fmt.Errorf("writing %s: %w", key, err)
	}
	return nil
}

// loadRecord reads the certificate for a name; nil where there is none. One that
// cannot be used for the name is errCorrupt.
func loadRecord(ctx context.Context, from certmagic.Storage, issuer, name string) (*certificate, error) {
	r := &record{}
	found, err := read(ctx, from, key(kindRecord, issuer, name), r)
	if err != nil || !found {
		return nil, err
	}
	c, err := r.certificate(name)
	if err != nil {
		return nil, fmt.Errorf("the stored certificate for %s: %w: %w", name, errCorrupt, err)
	}
	return c, nil
}

// A certificate is a record that can be served. It is never written again.
type certificate struct {
	record
	pair *tls.Certificate
}

func (r *record) certificate(name string) (*certificate, error) {
	pair, err := tls.X509KeyPair(r.Chain, r.Key)
	switch {
	case err != nil:
		return nil, err
	case !slices.Contains(pair.Leaf.DNSNames, name):
		return nil, fmt.Errorf("it is for %v", pair.Leaf.DNSNames)
	}
	return &certificate{*r, &pair}, nil
}

func (c *certificate) leaf() *x509.Certificate { return c.pair.Leaf }

// equal reports whether two certificates are the same; nil is none.
func (c *certificate) equal(other *certificate) bool {
	if c == nil || other == nil {
		return c == other
	}
	return bytes.Equal(c.pair.Certificate[0], other.pair.Certificate[0])
}

// id is the certificate's unique identifier of ARI (RFC 9773, section 4.1); "" where
// it has none.
func (c *certificate) id() string {
	id, err := acmez.ARIUniqueIdentifier(c.leaf())
	if err != nil {
		return ""
	}
	return id
}

// leafOf is the first certificate of a PEM chain; nil where there is none.
func leafOf(chain []byte) *x509.Certificate {
	block, _ := pem.Decode(bytes.TrimSpace(chain))
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}

// latestStored is the certificate for a name that was obtained last, whichever
// authority it is of; nil where there is none that can be used.
func latestStored(ctx context.Context, from certmagic.Storage, name string) *certificate {
	issuers, err := from.List(ctx, kindRecord, false)
	if err != nil {
		return nil
	}
	var best *certificate
	for _, issuer := range issuers {
		c, err := loadRecord(ctx, from, path.Base(issuer), name)
		if err == nil && c != nil && (best == nil || c.Obtained.After(best.Obtained)) {
			best = c
		}
	}
	return best
}

// Stored reads the certificates for all names from a storage, whichever authority
// they are of, for a server that only serves what was obtained before. There are
// none where one is missing, or over.
func Stored(ctx context.Context, from certmagic.Storage, names []string, now time.Time) []*tls.Certificate {
	var all []*tls.Certificate
	for _, name := range names {
		c := latestStored(ctx, from, name)
		if c == nil || now.After(c.leaf().NotAfter) {
			return nil
		}
		all = append(all, c.pair)
	}
	return all
}
