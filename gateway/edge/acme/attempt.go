package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// attemptTime is how long an attempt may take besides the propagation of the
// record; requestTime any step of it that is one request, and lastTime what is
// still done when the process ends.
const (
	attemptTime = 4 * time.Minute
	requestTime = 20 * time.Second
	lastTime    = 3 * time.Second
)

// tend makes an attempt for a name where one is due. With force it makes one in
// any case, as long as instead is still the certificate there is: whoever asks
// wants that one replaced. The lock of the name is held from the first look to the
// last word, so that what one process does, or fails to do, holds for all.
func (m *Manager) tend(ctx context.Context, n *managed, force bool, instead *certificate) error {
	limited, cancel := context.WithTimeout(ctx, m.o.PropagationTimeout+attemptTime)
	defer cancel()
	release, err := m.lock(limited, n.name, force)
	if errors.Is(err, errBusy) {
		return nil // what comes of it is seen at the next look
	}
	if err == nil {
		defer release()
		err = m.attempt(limited, n, force, instead)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err() // whoever ends the process, or waits no longer, has not failed
	}
	return m.fail(ctx, n, problemOf(err, n.name))
}

// attempt does the work under the lock.
func (m *Manager) attempt(ctx context.Context, n *managed, force bool, instead *certificate) error {
	if err := m.lookInto(ctx, n); err != nil {
		return err
	}
	if force && !n.own.same(instead) || !force && !m.due(n) {
		return nil // somebody else has done it, or tried in vain, meanwhile
	}
	m.o.Log.Info("obtaining a certificate", "name", n.name, "authority", m.o.Directory, "renewal", n.own != nil)
	i := &issuance{Manager: m, name: n.name, current: n.own, solver: newSolver(&m.o, m.api)}
	c, err := i.run(ctx)
	if err != nil {
		return err
	}
	if err := write(ctx, m.o.Storage, key(kindRecord, m.issuer, n.name), c.record); err != nil {
		return err
	}
	m.use(ctx, n, c)
	// What is left to do may fail: the next attempt, or look, does it again.
	err = errors.Join(i.settle(ctx), m.o.Storage.Delete(ctx, key(kindFailure, m.issuer, n.name)))
	if err != nil {
		m.o.Log.Warn("a certificate was obtained, and traces of the attempt are left", "name", n.name, "error", err)
	}
	m.mu.Lock()
	n.failed = nil
	m.mu.Unlock()
	return nil
}

// errBusy says that another process is at work on a name.
var errBusy = errors.New("acme: another process is at work")

// lockTime is how long somebody waits for a lock who can come again.
const lockTime = 2 * time.Second

// lock takes the lock of a name, and waits for it where it has to be.
func (m *Manager) lock(ctx context.Context, name string, wait bool) (release func(), err error) {
	lock := "certificate " + name
	waiting, cancel := ctx, func() {}
	if !wait {
		waiting, cancel = context.WithTimeout(ctx, lockTime)
	}
	defer cancel()
	if err := m.o.Storage.Lock(waiting, lock); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil, errBusy
		}
		return nil, fmt.Errorf("taking the lock: %w", err)
	}
	return func() {
		if err := m.o.Storage.Unlock(context.WithoutCancel(ctx), lock); err != nil {
			m.o.Log.Warn("the lock of a certificate was not released", "name", name, "error", err)
		}
	}, nil
}

// fail writes a failure down, says so, and returns it.
func (m *Manager) fail(ctx context.Context, n *managed, p *Problem) error {
	now, count := m.o.Now(), 1
	if n.failed.holds(now) {
		count += n.failed.Count
	}
	f := &failure{
		Count: count, At: now.UTC(), Text: p.Error(), Settings: m.settings,
		NotBefore: retryAt(now, p, count, rand.Float64()).UTC(), Patience: atMost(p.NotBefore, now).UTC(),
	}
	short, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	if !p.Ours {
		if err := write(short, m.o.Storage, key(kindFailure, m.issuer, n.name), f); err != nil {
			m.o.Log.Warn("a failure could not be written down, so that nobody else knows of it", "name", n.name, "error", err)
		} else {
			f.kept = true
		}
	}
	m.mu.Lock()
	n.failed = f
	m.mu.Unlock()
	level, left := slog.LevelError, "none"
	if n.own != nil {
		left = n.own.leaf().NotAfter.Sub(now).Round(time.Minute).String()
		if now.Before(warnAt(n.own, n.renewal())) {
			level = slog.LevelWarn // there is time
		}
	}
	m.o.Log.Log(ctx, level, "no new certificate", "name", n.name, "problem", f.Text, "failures", count, "next_attempt", f.NotBefore, "current_ends_in", left)
	return p
}
