package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
)

// cache is the storage that is read without the network.
func (m *Manager) cache() certmagic.Storage {
	if m.opts.Cache != nil {
		return m.opts.Cache
	}
	return m.opts.Storage
}

// serveCached serves what was served before. Where that was another authority's,
// because the configuration has changed, it is good until there is something of
// this one.
func (m *Manager) serveCached(ctx context.Context) {
	for _, n := range m.names {
		c, err := loadRecord(ctx, m.cache(), m.issuer, n.name)
		if err != nil {
			m.opts.Log.Warn("cached certificate is unusable", "name", n.name, "error", err)
		}
		if c != nil {
			n.issued, n.served = c, c.pair
		} else if c := latestStored(ctx, m.cache(), n.name); c != nil {
			n.served = c.pair
		}
	}
	m.publish()
}

// publish passes all certificates to Options.Serve.
func (m *Manager) publish() {
	m.mu.Lock()
	var all []*tls.Certificate
	for _, n := range m.names {
		if n.served != nil {
			all = append(all, n.served)
		}
	}
	m.mu.Unlock()
	m.opts.Serve(all)
}

// activate serves a certificate, and caches it.
func (m *Manager) activate(ctx context.Context, n *managed, c *certificate) {
	same := n.issued.equal(c)
	m.mu.Lock()
	n.issued = c
	if !same {
		n.served, n.ari, n.revoked, n.nextOCSP = c.pair, renewalInfo{}, false, time.Time{}
	}
	m.mu.Unlock()
	if same {
		return
	}
	m.publish()
	m.opts.Log.Info("certificate activated", "name", n.name, "not_after", c.leaf().NotAfter, "issuer", c.leaf().Issuer.CommonName)
	if m.opts.Cache == nil {
		return
	}
	if err := write(ctx, m.opts.Cache, key(kindRecord, m.issuer, n.name), c.record); err != nil {
		m.opts.Log.Warn("caching a certificate failed; after a restart without the storage it is not served", "name", n.name, "error", err)
	}
}

// pollStorage takes over what is stored: another gateway's work, or our own of
// before. It may take as long as the storage does, and nobody waits for it.
func (m *Manager) pollStorage(ctx context.Context, n *managed) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	storageError := ""
	if err := m.syncFromStorage(ctx, n); err != nil {
		storageError = asProblem(err, n.name).Error()
	}
	m.mu.Lock()
	was := n.storageError
	n.storageError = storageError
	m.mu.Unlock()
	if storageError != "" && storageError != was {
		m.opts.Log.Warn("certificate storage failed; what is served stays", "name", n.name, "error", storageError)
	}
}

func (m *Manager) syncFromStorage(ctx context.Context, n *managed) error {
	if err := m.loadFailure(ctx, n); err != nil {
		return err
	}
	c, err := loadRecord(ctx, m.opts.Storage, m.issuer, n.name)
	switch {
	case errors.Is(err, errCorrupt):
		m.opts.Log.Warn("stored certificate is corrupt, restoring it", "name", n.name, "error", err)
		return m.restoreToStorage(ctx, n)
	case err != nil:
		return err
	case c == nil || n.issued != nil && c.leaf().NotBefore.Before(n.issued.leaf().NotBefore):
		return m.restoreToStorage(ctx, n)
	}
	m.activate(ctx, n, c)
	return m.loadRenewalInfo(ctx, n)
}

// loadFailure takes over the stored failure of the last attempt. One that is not
// stored stays.
func (m *Manager) loadFailure(ctx context.Context, n *managed) error {
	f := &failure{stored: true}
	found, err := readOrNot(ctx, m.opts.Storage, key(kindFailure, m.issuer, n.name), f, m.opts.Log)
	if err != nil {
		return err
	}
	if !found {
		f = nil
	} else if f.Settings != m.settingsDigest {
		f.NotBefore = f.RetryAfter // what it failed by has changed since
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.lastFailure == nil || n.lastFailure.stored || f != nil && f.At.After(n.lastFailure.At) {
		n.lastFailure = f
	}
	return nil
}

// loadRenewalInfo takes over the stored ACME Renewal Information (ARI) of the certificate.
func (m *Manager) loadRenewalInfo(ctx context.Context, n *managed) error {
	var info renewalInfo
	found, err := readOrNot(ctx, m.opts.Storage, key(kindRenewal, m.issuer, n.name), &info, m.opts.Log)
	if err != nil || !found || info.Certificate != n.issued.id() {
		return err
	}
	m.mu.Lock()
	n.ari = info
	m.mu.Unlock()
	return nil
}

// restoreToStorage stores the certificate that is served again, where the storage
// has lost it or gone back to an older one, so that it is not ordered again.
func (m *Manager) restoreToStorage(ctx context.Context, n *managed) error {
	if n.issued == nil || !m.opts.Now().Before(n.renewal()) {
		return nil
	}
	if err := write(ctx, m.opts.Storage, key(kindRecord, m.issuer, n.name), n.issued.record); err != nil {
		return fmt.Errorf("restoring the certificate for %s to the storage: %w", n.name, err)
	}
	m.opts.Log.Info("restored a certificate that the storage had lost", "name", n.name)
	return nil
}

// How often ACME Renewal Information (ARI) is polled, whatever its Retry-After says
// (RFC 9773, section 4.3).
const (
	ariInterval    = 6 * time.Hour // without a Retry-After
	minARIInterval = time.Minute
	maxARIInterval = 24 * time.Hour
)

// nextARI is when the renewal information is next polled.
func (n *managed) nextARI() time.Time {
	if n.ari.Asked.IsZero() {
		return time.Time{}
	}
	next := n.ari.Asked.Add(ariInterval)
	if retry := n.ari.Info.RetryAfter; retry != nil {
		next = *retry
	}
	if earliest := n.ari.Asked.Add(minARIInterval); next.Before(earliest) {
		return earliest
	}
	if latest := n.ari.Asked.Add(maxARIInterval); next.After(latest) {
		return latest
	}
	return next
}

// refreshARI polls the ACME Renewal Information of the certificate (RFC 9773), as
// often as the authority's Retry-After says. An authority without it changes
// nothing.
func (m *Manager) refreshARI(ctx context.Context, n *managed) {
	now := m.opts.Now()
	if n.issued == nil || !now.Before(n.issued.leaf().NotAfter) || now.Before(n.nextARI()) {
		return
	}
	short, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info := renewalInfo{Certificate: n.issued.id(), Info: n.ari.Info, Asked: now.UTC()}
	suggested, err := m.client.GetRenewalInfo(short, n.issued.leaf())
	switch {
	case err != nil:
		m.opts.Log.Debug("no ACME renewal information (ARI)", "name", n.name, "error", err)
		info.Info.RetryAfter = nil
	default:
		if suggested.SameWindow(info.Info) && !info.Info.SelectedTime.IsZero() {
			suggested.SelectedTime = info.Info.SelectedTime // one choice for one window
		}
		info.Info = suggested
	}
	m.mu.Lock()
	n.ari = info
	m.mu.Unlock()
	if err := write(ctx, m.opts.Storage, key(kindRenewal, m.issuer, n.name), info); err != nil && ctx.Err() == nil {
		m.opts.Log.Warn("storing ACME renewal information (ARI) failed", "name", n.name, "error", err)
	}
}
