package acme

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Status is how the certificate of one name is. It holds no secret.
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

// Status tells how all certificates are.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.names))
	now := m.o.Now()
	for _, n := range m.names {
		s := Status{Name: n.name, Names: []string{}, Stored: fmt.Sprint(m.o.Storage), LastError: n.trouble, NextAttempt: moment(n.dueAt(now))}
		if n.pair != nil {
			leaf := n.pair.Leaf
			s.Names, s.Issuer, s.Serial = leaf.DNSNames, leaf.Issuer.String(), fmt.Sprintf("%x", leaf.SerialNumber)
			s.NotBefore, s.NotAfter = moment(leaf.NotBefore), moment(leaf.NotAfter)
		}
		if f := n.failed; f.holds(now) {
			s.Failures, s.LastError, s.LastErrorAt = f.Count, f.Text, moment(f.At)
		}
		all = append(all, s)
	}
	return all
}

func moment(t time.Time) *time.Time {
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

// Trouble says which certificates should have been renewed some time ago, and why
// they were not; nil where all is well.
func (m *Manager) Trouble() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var late []string
	now := m.o.Now()
	for _, n := range m.names {
		if n.own == nil || now.Before(warnAt(n.own, n.renewal())) {
			continue
		}
		why := "nothing is known of why it was not renewed"
		if n.failed.holds(now) {
			why = n.failed.Text
		}
		late = append(late, fmt.Sprintf("the certificate for %s ends at %s: %s", n.name, n.own.leaf().NotAfter.UTC().Format(time.RFC3339), why))
	}
	if len(late) > 0 {
		return errors.New(strings.Join(late, "; "))
	}
	return nil
}

// Look takes over what stands in the storage, and says what is wrong there. It is
// for a manager that nobody runs.
func (m *Manager) Look(ctx context.Context) error {
	var errs []error
	for _, n := range m.names {
		errs = append(errs, m.lookInto(ctx, n))
	}
	return errors.Join(errs...)
}

// Obtain makes one attempt for a name, or for all names for "": where there is no
// certificate that is good for some time, and with force in any case. It is for a
// manager that nobody runs.
func (m *Manager) Obtain(ctx context.Context, name string, force bool) error {
	if err := m.knows(name); err != nil {
		return err
	}
	return m.obtain(ctx, name, force, m.present())
}

// Renew obtains the certificate of a name now, due or not, and says what came of
// it; "" means all names. What somebody else renews meanwhile is good enough. Run
// must be running.
func (m *Manager) Renew(ctx context.Context, name string) error {
	if err := m.knows(name); err != nil {
		return err
	}
	d := demand{ctx: ctx, name: name, instead: m.present(), reply: make(chan error, 1)}
	select {
	case m.asked <- d:
		return <-d.reply
	case <-ctx.Done():
		return fmt.Errorf("an attempt is under way already; `vilogate cert status` says what comes of it: %w", ctx.Err())
	}
}

// knows refuses a name that nobody configured.
func (m *Manager) knows(name string) error {
	if name != "" && !slices.Contains(m.o.Names, name) {
		return fmt.Errorf("no certificate is configured for %s, only for %s", name, strings.Join(m.o.Names, ", "))
	}
	return nil
}

// present are the certificates that there are, by name.
func (m *Manager) present() map[string]*certificate {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]*certificate{}
	for _, n := range m.names {
		all[n.name] = n.own
	}
	return all
}

// comply does what somebody asked for, until either ends.
func (m *Manager) comply(ctx context.Context, d demand) error {
	both, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(d.ctx, cancel)()
	return m.obtain(both, d.name, true, d.instead)
}

// obtain makes attempts. Of what failed before, only the authority's own wish to
// be left alone is respected.
func (m *Manager) obtain(ctx context.Context, name string, force bool, instead map[string]*certificate) error {
	var errs []error
	for _, n := range m.names {
		now := m.o.Now()
		if name != "" && name != n.name || !force && n.own != nil && now.Before(n.renewal()) {
			continue
		}
		if f := n.failed; f.holds(now) && now.Before(f.Patience) {
			errs = append(errs, fmt.Errorf("%s: nothing is asked before %s, because the authority wants it so: %s", n.name, f.Patience.Format(time.RFC3339), f.Text))
			continue
		}
		if err := m.tend(ctx, n, true, instead[n.name]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", n.name, err))
		}
	}
	return errors.Join(errs...)
}
