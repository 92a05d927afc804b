package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/caddyserver/certmagic"
	acmez "github.com/mholt/acmez/v3/acme"
)

// keys are the names of what is kept in the storage.
var keys certmagic.KeyBuilder

// A resource is a certificate chain and its key, both PEM, and what the authority
// said about it: the three values that certmagic stores, in one.
type resource struct {
	Chain []byte `json:"chain"`
	Key   []byte `json:"key"`
	Meta  []byte `json:"meta"` // certmagic's JSON, in which the authority's renewal information is
}

// errUnusable says that what is stored is not a certificate with its key.
var errUnusable = errors.New("certificate and key do not belong together")

func (r *resource) equal(other *resource) bool {
	return bytes.Equal(r.Chain, other.Chain) && bytes.Equal(r.Key, other.Key) && bytes.Equal(r.Meta, other.Meta)
}

// pair makes what TLS serves.
func (r *resource) pair() (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(r.Chain, r.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return &pair, nil
}

// renewalInfo is what the authority suggested when it was last asked.
func (r *resource) renewalInfo() (info acmez.RenewalInfo) {
	var meta certmagic.CertificateResource
	var said acmez.Certificate
	if json.Unmarshal(r.Meta, &meta) != nil || json.Unmarshal(meta.IssuerData, &said) != nil || said.RenewalInfo == nil {
		return info
	}
	return *said.RenewalInfo
}

// withRenewalInfo is the metadata with another suggestion in it.
func (r *resource) withRenewalInfo(info acmez.RenewalInfo) ([]byte, error) {
	var meta certmagic.CertificateResource
	var said acmez.Certificate
	if err := json.Unmarshal(r.Meta, &meta); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(meta.IssuerData, &said); err != nil {
		return nil, err
	}
	said.RenewalInfo = &info
	var err error
	if meta.IssuerData, err = json.Marshal(said); err != nil {
		return nil, err
	}
	return json.MarshalIndent(meta, "", "\t")
}

// load reads the certificate of a name from the storage. The error is
// fs.ErrNotExist where there is none, and errUnusable where it is broken.
func load(ctx context.Context, from certmagic.Storage, issuer, name string) (*resource, error) {
	r := &resource{}
	for _, part := range []struct {
		into *[]byte
		key  string
	}{
		{&r.Chain, keys.SiteCert(issuer, name)}, {&r.Key, keys.SitePrivateKey(issuer, name)}, {&r.Meta, keys.SiteMeta(issuer, name)},
	} {
		var err error
		if *part.into, err = from.Load(ctx, part.key); err != nil {
			return nil, fmt.Errorf("reading %s: %w", part.key, err)
		}
	}
	return r, nil
}

// save writes it into a storage that has lost it, the certificate last: without
// it the rest counts for nothing.
func (r *resource) save(ctx context.Context, to certmagic.Storage, issuer, name string) error {
	return errors.Join(
		to.Store(ctx, keys.SitePrivateKey(issuer, name), r.Key),
		to.Store(ctx, keys.SiteMeta(issuer, name), r.Meta),
		to.Store(ctx, keys.SiteCert(issuer, name), r.Chain),
	)
}

// servedFolder is where the copies of what is served stand.
const servedFolder = "served"

// copyKey is where the copy of what is served for a name stands. It names the
// issuer, so that another authority in the configuration starts afresh.
func copyKey(issuer, name string) string {
	return servedFolder + "/" + keys.Safe(issuer) + "/" + keys.Safe(name) + ".json"
}

// loadCopy reads the copy of what was served; nil where there is none that can be used.
func loadCopy(ctx context.Context, from certmagic.Storage, issuer, name string) (*resource, error) {
	data, err := from.Load(ctx, copyKey(issuer, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	r := &resource{}
	if err == nil {
		err = json.Unmarshal(data, r)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the copy of the certificate for %s: %w", name, err)
	}
	return r, nil
}

func (r *resource) saveCopy(ctx context.Context, to certmagic.Storage, issuer, name string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := to.Store(ctx, copyKey(issuer, name), data); err != nil {
		return fmt.Errorf("keeping a copy of the certificate for %s: %w", name, err)
	}
	return nil
}

// Stored reads the certificates of all names from a storage, whichever authority
// they are of, for a server that only serves what was obtained before: those that
// are good the longest. There are none where one is missing, or over.
func Stored(ctx context.Context, from certmagic.Storage, names []string, now time.Time) ([]*tls.Certificate, error) {
	issuers, err := from.List(ctx, "certificates", false)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("looking for certificates: %w", err)
	}
	var all []*tls.Certificate
	for _, name := range names {
		var best *tls.Certificate
		for _, issuer := range issuers {
			r, err := load(ctx, from, path.Base(issuer), name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			pair, err := r.pair()
			if err != nil {
				return nil, fmt.Errorf("the stored certificate for %s: %w", name, err)
			}
			if now.Before(pair.Leaf.NotAfter) && (best == nil || pair.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
				best = pair
			}
		}
		if best == nil {
			return nil, nil
		}
		all = append(all, best)
	}
	return all, nil
}
