package acme

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"
)

// serveCopies serves what was served before. Where that was another authority's,
// because the configuration has changed, it is good until there is something of
// this one.
func (m *Manager) serveCopies(ctx context.Context) {
	for _, n := range m.names {
		r, err := loadCopy(ctx, m.o.Copy, m.issuer, n.name)
		if err == nil && r != nil {
			err = m.take(n, r)
		}
		if err != nil {
			m.o.Log.Warn("the copy of a certificate cannot be used", "name", n.name, "error", err)
		}
		if n.pair == nil {
			n.pair = m.foreignCopy(ctx, n.name)
		}
	}
	m.publish()
}

// foreignCopy is what was served for a name when another authority was
// configured: what ends last. nil where there is none.
func (m *Manager) foreignCopy(ctx context.Context, name string) (best *tls.Certificate) {
	issuers, err := m.o.Copy.List(ctx, servedFolder, false)
	if err != nil {
		return nil
	}
	for _, issuer := range issuers {
		r, err := loadCopy(ctx, m.o.Copy, path.Base(issuer), name)
		if err != nil || r == nil {
			continue
		}
		if pair, err := r.pair(); err == nil && (best == nil || pair.Leaf.NotAfter.After(best.Leaf.NotAfter)) {
			best = pair
		}
	}
	return best
}

// take makes a resource the one of a name. It reports what is wrong with it.
func (m *Manager) take(n *managed, r *resource) error {
	pair, err := r.pair()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.pair != nil && bytes.Equal(n.pair.Certificate[0], pair.Certificate[0]) {
		pair.OCSPStaple = n.pair.OCSPStaple
	} else {
		n.broken, n.stapleAt = false, time.Time{}
	}
	n.resource, n.pair, n.info = r, pair, r.renewalInfo()
	return nil
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

// look takes over what stands in the storage: another gateway's work, or our own
// of before. It may take as long as the storage does, and nobody waits for it.
func (m *Manager) look(ctx context.Context, n *managed) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	err := m.lookInto(ctx, n)
	trouble := ""
	if err != nil && ctx.Err() == nil {
		trouble = err.Error()
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
	var failed failure
	found, err := read(ctx, m.o.Storage, failureKey(m.issuer, n.name), &failed)
	if err != nil {
		return err
	}
	m.mu.Lock()
	if n.failed = nil; found {
		n.failed = &failed
	}
	m.mu.Unlock()
	r, err := load(ctx, m.o.Storage, m.issuer, n.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return m.putBack(ctx, n)
	case err != nil:
		return err
	case n.resource != nil && n.resource.equal(r):
		return nil
	}
	before := n.pair
	if m.isOlder(n, r) {
		return m.putBack(ctx, n)
	}
	if err := m.take(n, r); err != nil {
		return m.repair(ctx, n, fmt.Errorf("the stored certificate for %s: %w", n.name, err))
	}
	m.publish()
	if before == nil || !slices.Equal(before.Certificate[0], n.pair.Certificate[0]) {
		m.o.Log.Info("a certificate is in force", "name", n.name, "not_after", n.pair.Leaf.NotAfter, "issuer", n.pair.Leaf.Issuer.CommonName)
	}
	return r.saveCopy(ctx, m.o.Copy, m.issuer, n.name)
}

// isOlder reports whether what is stored was issued before what is served: a
// gateway that had not heard of a renewal gave it to a storage that had lost it.
func (m *Manager) isOlder(n *managed, stored *resource) bool {
	if n.resource == nil || n.broken {
		return false
	}
	leaf := leafOf(stored.Chain)
	return leaf != nil && leaf.NotBefore.Before(n.pair.Leaf.NotBefore)
}

// putBack gives a storage that has lost a certificate the one that is served, so
// that it is not ordered again.
func (m *Manager) putBack(ctx context.Context, n *managed) error {
	if n.resource == nil || !m.o.Now().Before(renewAt(n.pair.Leaf, n.info)) {
		return nil
	}
	if err := n.resource.save(ctx, m.o.Storage, m.issuer, n.name); err != nil {
		return fmt.Errorf("putting the certificate for %s back: %w", n.name, err)
	}
	m.o.Log.Info("the storage had lost a certificate, and was given what is served", "name", n.name)
	return nil
}

// repair has a stored certificate replaced that cannot be used, as when a process
// ended between the writing of the key and of the certificate: by what the order
// under way led to, else by what is served.
func (m *Manager) repair(ctx context.Context, n *managed, cause error) error {
	var order pending
	found, err := read(ctx, m.o.Storage, pendingKey(m.issuer, n.name), &order)
	if err != nil {
		return errors.Join(cause, err)
	}
	if !found && n.resource != nil && m.o.Now().Before(renewAt(n.pair.Leaf, n.info)) {
		return m.putBack(ctx, n)
	}
	m.mu.Lock()
	n.broken = true
	m.mu.Unlock()
	return cause
}
