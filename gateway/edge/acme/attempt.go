package acme

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"
)

// attemptTimeout bounds an attempt besides the propagation of the record.
const attemptTimeout = 4 * time.Minute

// obtainIfDue makes an attempt for a name where one is due. With force it makes one
// in any case, as long as replacing is still the certificate in force: whoever asks
// wants that one replaced. The lock of the name is held throughout, so that what
// one process does, or fails to do, holds for all.
func (m *Manager) obtainIfDue(ctx context.Context, n *managed, force bool, replacing *certificate) error {
	attemptCtx, cancel := context.WithTimeout(ctx, m.opts.PropagationTimeout+attemptTimeout)
	defer cancel()
	release, err := m.lock(attemptCtx, n.name, force)
	if errors.Is(err, errLocked) {
		return nil // the result is seen at the next poll
	}
	if err == nil {
		defer release()
		err = m.attempt(attemptCtx, n, force, replacing)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err() // shutdown, or a canceled request, is no failure
	}
	return m.recordFailure(ctx, n, asProblem(err, n.name))
}

// attempt does the work under the lock.
func (m *Manager) attempt(ctx context.Context, n *managed, force bool, replacing *certificate) error {
	if err := m.syncFromStorage(ctx, n); err != nil {
		return err
	}
	if force && !n.issued.equal(replacing) || !force && !m.due(n) {
		return nil // another process has done it, or failed to, meanwhile
	}
	m.opts.Log.Info("obtaining a certificate", "name", n.name, "authority", m.opts.Directory, "renewal", n.issued != nil)
	i := &issuance{Manager: m, name: n.name, current: n.issued, solver: newSolver(&m.opts, m.cloudflare)}
	c, err := i.run(ctx)
	if err != nil {
		return err
	}
	if err := write(ctx, m.opts.Storage, key(kindRecord, m.issuer, n.name), c.record); err != nil {
		return err
	}
	m.activate(ctx, n, c)
	// The cleanup may fail: the next attempt, or poll, retries it.
	err = errors.Join(i.clearPending(ctx), m.opts.Storage.Delete(ctx, key(kindFailure, m.issuer, n.name)))
	if err != nil {
		m.opts.Log.Warn("cleanup after issuance failed", "name", n.name, "error", err)
	}
	m.mu.Lock()
	n.lastFailure = nil
	m.mu.Unlock()
	return nil
}

// errLocked says that another process holds the lock of a name.
var errLocked = errors.New("acme: another process holds the lock")

// tryLockTimeout bounds the wait for a lock where there is another poll.
const tryLockTimeout = 2 * time.Second

// lock takes the lock of a name, and waits for it where it has to be.
func (m *Manager) lock(ctx context.Context, name string, wait bool) (release func(), err error) {
	lock := "certificate " + name
	waiting, cancel := ctx, func() {}
	if !wait {
		waiting, cancel = context.WithTimeout(ctx, tryLockTimeout)
	}
	defer cancel()
	if err := m.opts.Storage.Lock(waiting, lock); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return nil, errLocked
		}
		return nil, fmt.Errorf("taking the lock: %w", err)
	}
	return func() {
		if err := m.opts.Storage.Unlock(context.WithoutCancel(ctx), lock); err != nil {
			m.opts.Log.Warn("releasing a certificate lock failed", "name", name, "error", err)
		}
	}, nil
}

// recordFailure stores a failure, logs it, and returns it.
func (m *Manager) recordFailure(ctx context.Context, n *managed, p *Problem) error {
	now, count := m.opts.Now(), 1
	if n.lastFailure.active(now) {
		count += n.lastFailure.Count
	}
	f := &failure{
		Count: count, At: now.UTC(), Text: p.Error(), Settings: m.settingsDigest,
		NotBefore: retryAt(now, p, count, rand.Float64()).UTC(), RetryAfter: capBackoff(p.NotBefore, now).UTC(),
	}
	short, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if !p.Local {
		if err := write(short, m.opts.Storage, key(kindFailure, m.issuer, n.name), f); err != nil {
			m.opts.Log.Warn("storing a failure failed; the rest of the fleet does not know of it", "name", n.name, "error", err)
		} else {
			f.stored = true
		}
	}
	m.mu.Lock()
	n.lastFailure = f
	m.mu.Unlock()
	level, left := slog.LevelError, "none"
	if n.issued != nil {
		left = n.issued.leaf().NotAfter.Sub(now).Round(time.Minute).String()
		if now.Before(warnAt(n.issued, n.renewal())) {
			level = slog.LevelWarn // there is time
		}
	}
	m.opts.Log.Log(ctx, level, "obtaining a certificate failed", "name", n.name, "problem", f.Text, "failures", count, "next_attempt", f.NotBefore, "current_ends_in", left)
	return p
}
