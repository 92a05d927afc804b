package acme

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/certmagic"
)

// local is where certificates are found without asking anybody else.
func (m *Manager) local() certmagic.Storage {
	if m.o.Copy != nil {
		return m.o.Copy
	}
	return m.o.Storage
}

// serveLocal serves what was served before. Where that was another authority's,
// because the configuration has changed, it is good until there is something of
// this one.
func (m *Manager) serveLocal(ctx context.Context) {
	for _, n := range m.names {
		c, err := loadRecord(ctx, m.local(), m.issuer, n.name)
		if err != nil {
			m.o.Log.Warn("what was served before cannot be used", "name", n.name, "error", err)
		}
		if c != nil {
			n.own, n.pair = c, c.pair
		} else if c := latest(ctx, m.local(), n.name); c != nil {
			n.pair = c.pair
		}
	}
	m.publish()
}

// publish hands over all that there is.
func (m *Manager) publish() {
	m.mu.Lock()
	var all []*tls.Certificate
	for _, n := range m.names {
		if n.pair != nil {
			all = append(all, n.pair)
		}
	}
	m.mu.Unlock()
	m.o.Serve(all)
}

// use serves a certificate, and keeps a copy of it.
func (m *Manager) use(ctx context.Context, n *managed, c *certificate) {
	known := n.own.same(c)
	m.mu.Lock()
	n.own = c
	if !known {
		n.pair, n.info, n.revoked, n.stapleAt = c.pair, renewalInfo{}, false, time.Time{}
	}
	m.mu.Unlock()
	if known {
		return
	}
	m.publish()
	m.o.Log.Info("a certificate is in force", "name", n.name, "not_after", c.leaf().NotAfter, "issuer", c.leaf().Issuer.CommonName)
	if m.o.Copy == nil {
		return
	}
	if err := write(ctx, m.o.Copy, key(kindRecord, m.issuer, n.name), c.record); err != nil {
		m.o.Log.Warn("a certificate could not be copied, and is not served after a restart without the storage", "name", n.name, "error", err)
	}
}

// look takes over what stands in the storage: another gateway's work, or our own
// of before. It may take as long as the storage does, and nobody waits for it.
func (m *Manager) look(ctx context.Context, n *managed) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	trouble := ""
	if err := m.lookInto(ctx, n); err != nil {
		trouble = problemOf(err, n.name).Error()
	}
	m.mu.Lock()
	was := n.trouble
	n.trouble = trouble
	m.mu.Unlock()
	if trouble != "" && trouble != was {
		m.o.Log.Warn("the storage of certificates is in trouble; what is served stays", "name", n.name, "error", trouble)
	}
}

func (m *Manager) lookInto(ctx context.Context, n *managed) error {
	if err := m.lookForFailure(ctx, n); err != nil {
		return err
	}
	c, err := loadRecord(ctx, m.o.Storage, m.issuer, n.name)
	switch {
	case errors.Is(err, errDamaged):
		m.o.Log.Warn("a stored certificate cannot be used, and is replaced", "name", n.name, "error", err)
		return m.putBack(ctx, n)
	case err != nil:
		return err
	case c == nil || n.own != nil && c.leaf().NotBefore.Before(n.own.leaf().NotBefore):
		return m.putBack(ctx, n)
	}
	m.use(ctx, n, c)
	return m.lookForInfo(ctx, n)
}

// lookForFailure takes over what is known of the last attempt. What only we know
// stays.
func (m *Manager) lookForFailure(ctx context.Context, n *managed) error {
	f := &failure{kept: true}
	found, err := readOrNot(ctx, m.o.Storage, key(kindFailure, m.issuer, n.name), f, m.o.Log)
	if err != nil {
		return err
	}
	if !found {
		f = nil
	} else if f.Settings != m.settings {
		f.NotBefore = f.Patience // what it failed by has changed since
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.failed == nil || n.failed.kept || f != nil && f.At.After(n.failed.At) {
		n.failed = f
	}
	return nil
}

// lookForInfo takes over what the authority suggested about the certificate.
func (m *Manager) lookForInfo(ctx context.Context, n *managed) error {
	var info renewalInfo
	found, err := readOrNot(ctx, m.o.Storage, key(kindRenewal, m.issuer, n.name), &info, m.o.Log)
	if err != nil || !found || info.Certificate != n.own.id() {
		return err
	}
	m.mu.Lock()
	n.info = info
	m.mu.Unlock()
	return nil
}

// putBack gives a storage that has lost a certificate, or gone back to an older
// one, the one that is served, so that it is not ordered again.
func (m *Manager) putBack(ctx context.Context, n *managed) error {
	if n.own == nil || !m.o.Now().Before(n.renewal()) {
		return nil
	}
	if err := write(ctx, m.o.Storage, key(kindRecord, m.issuer, n.name), n.own.record); err != nil {
		return fmt.Errorf("putting the certificate for %s back: %w", n.name, err)
	}
	m.o.Log.Info("the storage had lost a certificate, and was given what is served", "name", n.name)
	return nil
}

// How often the authority is asked when to renew, whatever it says itself (RFC
// 9773, section 4.3).
const (
	askEvery = 6 * time.Hour // where it says nothing
	leastAsk = time.Minute
	mostAsk  = 24 * time.Hour
)

// nextInfo is when the authority is next asked when to renew.
func (n *managed) nextInfo() time.Time {
	if n.info.Asked.IsZero() {
		return time.Time{}
	}
	next := n.info.Asked.Add(askEvery)
	if retry := n.info.Info.RetryAfter; retry != nil {
		next = *retry
	}
	if least := n.info.Asked.Add(leastAsk); next.Before(least) {
		return least
	}
	if most := n.info.Asked.Add(mostAsk); next.After(most) {
		return most
	}
	return next
}

// refreshInfo asks the authority when the certificate should be renewed, as
// often as the authority wants to be asked. An authority that says nothing
// changes nothing.
func (m *Manager) refreshInfo(ctx context.Context, n *managed) {
	now := m.o.Now()
	if n.own == nil || !now.Before(n.own.leaf().NotAfter) || now.Before(n.nextInfo()) {
		return
	}
	short, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	info := renewalInfo{Certificate: n.own.id(), Info: n.info.Info, Asked: now.UTC()}
	said, err := m.client.GetRenewalInfo(short, n.own.leaf())
	switch {
	case err != nil:
		m.o.Log.Debug("the authority does not say when to renew", "name", n.name, "error", err)
		info.Info.RetryAfter = nil
	default:
		if said.SameWindow(info.Info) && !info.Info.SelectedTime.IsZero() {
			said.SelectedTime = info.Info.SelectedTime // one choice for one window
		}
		info.Info = said
	}
	m.mu.Lock()
	n.info = info
	m.mu.Unlock()
	if err := write(ctx, m.o.Storage, key(kindRenewal, m.issuer, n.name), info); err != nil && ctx.Err() == nil {
		m.o.Log.Warn("the authority's suggestion when to renew could not be stored", "name", n.name, "error", err)
	}
}
