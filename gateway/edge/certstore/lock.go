package certstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// lockPollInterval is the time between two attempts to take a lock that is held.
const lockPollInterval = 250 * time.Millisecond

// Compare-and-set by the lock's token: only its holder renews or releases it.
var (
	renewScript   = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("PEXPIRE", KEYS[1], ARGV[2]) end return 0`)
	releaseScript = redis.NewScript(`if redis.call("GET", KEYS[1]) == ARGV[1] then return redis.call("DEL", KEYS[1]) end return 0`)
)

// Lock implements certmagic.Locker. It waits until the lock is free, or its
// holder's lease is over.
func (r *Redis) Lock(ctx context.Context, name string) error {
	token := rand.Text()
	for {
		taken, err := r.tryLock(ctx, name, token)
		if err != nil || taken {
			return err
		}
		timer := time.NewTimer(lockPollInterval)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (r *Redis) tryLock(ctx context.Context, name, token string) (bool, error) {
	short, cancel := r.withTimeout(ctx)
	defer cancel()
	taken, err := r.client.SetNX(short, keyLock+name, token, r.lease).Result()
	switch {
	case err != nil:
		return false, r.wrap("taking the lock", name, err)
	case !taken:
		return false, nil
	}
	// The lease is renewed until Unlock, whatever becomes of ctx.
	holding, stop := context.WithCancel(context.WithoutCancel(ctx))
	l := &lock{token: token, stop: stop, done: make(chan struct{})}
	r.mu.Lock()
	r.held[name] = l
	r.mu.Unlock()
	go r.renewLease(holding, name, l)
	return true, nil
}

// renewLease renews the lease of a lock until it is released. The goroutine belongs to the lock.
func (r *Redis) renewLease(ctx context.Context, name string, l *lock) {
	defer close(l.done)
	ticker := time.NewTicker(r.lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		short, cancel := r.withTimeout(ctx)
		renewed, err := renewScript.Run(short, r.client, []string{keyLock + name}, l.token, r.lease.Milliseconds()).Int()
		cancel()
		if err == nil && renewed == 0 {
			return // the lease has expired, which Unlock reports
		}
	}
}

// Unlock implements certmagic.Locker.
func (r *Redis) Unlock(ctx context.Context, name string) error {
	r.mu.Lock()
	l := r.held[name]
	delete(r.held, name)
	r.mu.Unlock()
	if l == nil {
		return fmt.Errorf("releasing the lock %s: it is not held here", name)
	}
	l.stop()
	<-l.done
	short, cancel := r.withTimeout(context.WithoutCancel(ctx))
	defer cancel()
	released, err := releaseScript.Run(short, r.client, []string{keyLock + name}, l.token).Int()
	switch {
	case err != nil:
		return r.wrap("releasing the lock", name, err)
	case released == 0:
		return r.wrap("releasing the lock", name, errors.New("its lease had expired, and another process may have done the same work"))
	}
	return nil
}
