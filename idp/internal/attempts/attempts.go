// Package attempts slows down who fails to sign in.
//
// A [Limiter] gives every key (an account, an address) a bucket of so many attempts, which fills up again at a steady
// rate. An attempt is taken before it is known how it ends, so that a hundred at once do not all pass, and given back when
// it succeeds: only failures count.
//
// Memory is bounded, and nothing is ever forgotten to make room, which a flood of made-up names could otherwise bring
// about: the buckets are a fixed table, and a key finds its own by a hash that nobody outside can predict. Two keys may
// share one; since each failure costs its sender a password hash, there are never enough of them at a time to fill the
// table. An account is slowed down in steps ([Accounts]).
package attempts

import (
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

// buckets is how many there are, 512 KiB of them.
const buckets = 1 << 16

// A Limiter counts the failures of each key. It is safe for concurrent use.
type Limiter struct {
	rate gcra.Rate // of failures: ten a minute allows ten at once, and one more every six seconds
	seed maphash.Seed
	// tat holds, for each bucket, the theoretical arrival time (TAT) of GCRA: when it will be full again, in nanoseconds since 1970.
	tat [buckets]atomic.Int64
}

// New makes a limiter.
func New(rate gcra.Rate) (*Limiter, error) {
	if err := rate.Check(); err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	return &Limiter{rate: rate, seed: maphash.MakeSeed()}, nil
}

// Take takes an attempt of the key. Where there is none left it takes nothing, and says how long to wait for the next.
func (l *Limiter) Take(key string, now time.Time) (wait time.Duration, ok bool) {
	bucket := l.bucket(key)
	for {
		tat := bucket.Load()
		backlog, result := l.rate.Take(time.Duration(tat - now.UnixNano()))
		if !result.OK {
			return result.RetryAfter, false
		}
		if bucket.CompareAndSwap(tat, now.UnixNano()+int64(backlog)) {
			return 0, true
		}
	}
}

// Refund refunds an attempt that was taken: it did not fail.
func (l *Limiter) Refund(key string) { l.bucket(key).Add(-int64(l.rate.EmissionInterval())) }

func (l *Limiter) bucket(key string) *atomic.Int64 {
	return &l.tat[maphash.String(l.seed, key)%buckets]
}
