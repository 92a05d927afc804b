package acme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is the status of the certificate of one name. It holds no secret.
type Status struct {
	Name        string     `json:"name"`
	Names       []string   `json:"names"` // that the certificate is for; empty where there is none
	Issuer      string     `json:"issuer"`
	Serial      string     `json:"serial"` // hexadecimal
	NotBefore   *time.Time `json:"not_before"`
	NotAfter    *time.Time `json:"not_after"`
	NextAttempt *time.Time `json:"next_attempt"` // of the renewal, or of the first certificate
	Failures    int        `json:"failures"`     // in a row
	LastError   string     `json:"last_error"`
	LastErrorAt *time.Time `json:"last_error_at"`
	Stored      string     `json:"stored"` // where
}

// Status is the status of all certificates.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.names))
	now := m.opts.Now()
	for _, n := range m.names {
		s := Status{Name: n.name, Names: []string{}, Stored: fmt.Sprint(m.opts.Storage), LastError: n.storageError, NextAttempt: utcPtr(n.dueAt(now))}
		if n.served != nil {
			leaf := n.served.Leaf
			s.Names, s.Issuer, s.Serial = leaf.DNSNames, leaf.Issuer.String(), fmt.Sprintf("%x", leaf.SerialNumber)
			s.NotBefore, s.NotAfter = utcPtr(leaf.NotBefore), utcPtr(leaf.NotAfter)
		}
		if f := n.lastFailure; f.active(now) {
			s.Failures, s.LastError, s.LastErrorAt = f.Count, f.Text, utcPtr(f.At)
		}
		all = append(all, s)
	}
	return all
}

func utcPtr(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Ready is nil as soon as every name has a certificate. Else it says which have
// none, and why.
func (m *Manager) Ready() error {
	var missing []string
	for _, s := range m.Status() {
		switch {
		case s.NotAfter != nil:
		case s.LastError != "":
			missing = append(missing, fmt.Sprintf("there is no certificate for %s yet: %s", s.Name, s.LastError))
		default:
			missing = append(missing, fmt.Sprintf("there is no certificate for %s yet; it is being obtained", s.Name))
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// Overdue says which renewals are overdue, and why; nil where none is.
func (m *Manager) Overdue() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var overdue []string
	now := m.opts.Now()
	for _, n := range m.names {
		if n.issued == nil || now.Before(warnAt(n.issued, n.renewal())) {
			continue
		}
		why := "nothing is known of why it was not renewed"
		if n.lastFailure.active(now) {
			why = n.lastFailure.Text
		}
		overdue = append(overdue, fmt.Sprintf("the certificate for %s ends at %s: %s", n.name, n.issued.leaf().NotAfter.UTC().Format(time.RFC3339), why))
	}
	if len(overdue) > 0 {
		return errors.New(strings.Join(overdue, "; "))
	}
	return nil
}

// Load takes over what is stored, and returns what is wrong there. It is for a
// manager without Run.
func (m *Manager) Load(ctx context.Context) error {
	var errs []error
	for _, n := range m.names {
		errs = append(errs, m.syncFromStorage(ctx, n))
	}
	return errors.Join(errs...)
}

// Obtain makes one attempt for a name, or for all names for "": where a renewal
// is due, and with force in any case. It is for a manager without Run.
func (m *Manager) Obtain(ctx context.Context, name string, force bool) error {
	if err := m.checkName(name); err != nil {
		return err
	}
	return m.obtain(ctx, name, force, m.issuedByName())
}

// Renew obtains the certificate of a name now, due or not, and returns the result;
// "" means all names. What another process renews meanwhile is good enough. Run
// must be running.
func (m *Manager) Renew(ctx context.Context, name string) error {
	if err := m.checkName(name); err != nil {
		return err
	}
	d := renewRequest{ctx: ctx, name: name, replacing: m.issuedByName(), reply: make(chan error, 1)}
	select {
	case m.renewRequests <- d:
		return <-d.reply
	case <-ctx.Done():
		return fmt.Errorf("an attempt is under way already; `vilogate cert status` says what comes of it: %w", ctx.Err())
	}
}

// checkName refuses a name that is not configured.
func (m *Manager) checkName(name string) error {
	if name != "" && !slices.Contains(m.opts.Names, name) {
		return fmt.Errorf("no certificate is configured for %s, only for %s", name, strings.Join(m.opts.Names, ", "))
	}
	return nil
}

// issuedByName are the certificates in force, by name.
func (m *Manager) issuedByName() map[string]*certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]*certificate{}
	for _, n := range m.names {
		all[n.name] = n.issued
	}
	return all
}

// handleRenew serves a renewal request, until its context or Run's ends.
func (m *Manager) handleRenew(ctx context.Context, d renewRequest) error {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	return m.obtain(both, d.name, true, d.replacing)
}

// obtain makes attempts. Backoff after earlier failures is skipped; the authority's
// Retry-After is respected.
func (m *Manager) obtain(ctx context.Context, name string, force bool, replacing map[string]*certificate) error {
	var errs []error
	for _, n := range m.names {
		now := m.opts.Now()
		if name != "" && name != n.name || !force && n.issued != nil && now.Before(n.renewal()) {
			continue
		}
		if f := n.lastFailure; f.active(now) && now.Before(f.RetryAfter) {
			errs = append(errs, fmt.Errorf("%s: nothing is asked before %s (the authority's Retry-After): %s", n.name, f.RetryAfter.Format(time.RFC3339), f.Text))
			continue
		}
		if err := m.obtainIfDue(ctx, n, true, replacing[n.name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}
