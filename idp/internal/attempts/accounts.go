package attempts

import (
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/viloforge/vilogate/gateway/limits/gcra"
)

// How strangers are slowed down who fail to sign in to one account.
const (
	// slowInterval is the least time between attempts once a quota is used up.
	slowInterval = time.Minute
	// maxConsecutive is how many consecutive failures make it slowestInterval.
	maxConsecutive  = 100
	slowestInterval = 10 * time.Minute
	// forgetAfter is how long after the last failure those before it do not count any more.
	forgetAfter = 24 * time.Hour
)

// accountBuckets is how many there are, 6 MiB of them: more than can be filled by a hundred failures a day each, since a
// failure costs a password hash.
const accountBuckets = 1 << 18

// Accounts counts the failures of each account, whoever's they are. A quota of them may come at once; after it, attempts are
// let through one a minute, and after a hundred consecutive failures one in ten minutes, but never none. Names that no
// account has are counted alike. It is safe for concurrent use.
type Accounts struct {
	rate gcra.Rate
	seed maphash.Seed

	mu       sync.Mutex
	accounts [accountBuckets]accountBucket // guarded by mu
}

// accountBucket holds nanoseconds since 1970.
type accountBucket struct {
	tat      int64 // the theoretical arrival time (TAT) of GCRA
	last     int64 // when the last attempt was taken
	failures int64 // consecutive ones
}

// NewAccounts makes a limiter. The rate's events may come at once; the rate's pace counts where it is slower than one a minute.
func NewAccounts(rate gcra.Rate) (*Accounts, error) {
	if err := rate.Check(); err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	rate.Per = time.Duration(rate.Events) * max(rate.EmissionInterval(), slowInterval)
	return &Accounts{rate: rate, seed: maphash.MakeSeed()}, nil
}

// Take takes an attempt of the account, and returns what refunds it where it does not fail. Where there is none left it takes
// nothing, and says how long to wait for the next.
func (a *Accounts) Take(name string, now time.Time) (refund func(), wait time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b, at := a.bucket(name), now.UnixNano()
	since := time.Duration(at - b.last)
	if since >= forgetAfter {
		b.failures = 0
	}
	if b.failures >= maxConsecutive && since < slowestInterval {
		return nil, slowestInterval - max(since, 0), false
	}
	backlog, result := a.rate.Take(time.Duration(b.tat - at))
	if !result.OK {
		return nil, result.RetryAfter, false
	}
	before := *b
	*b = accountBucket{tat: at + int64(backlog), last: at, failures: b.failures + 1}
	return func() { a.refund(name, before, at) }, 0, true
}

// refund takes an attempt back that was taken at a time, from a bucket that was so before.
func (a *Accounts) refund(name string, before accountBucket, at int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := a.bucket(name)
	if b.last < at {
		return // reset meanwhile
	}
	if b.last == at {
		b.last = before.last
	}
	b.tat -= int64(a.rate.EmissionInterval())
	b.failures = max(b.failures-1, 0)
}

// Reset forgets the failures of the account: somebody signed in, or an administrator said so.
func (a *Accounts) Reset(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.bucket(name) = accountBucket{}
}

// bucket finds a bucket. The caller holds mu.
func (a *Accounts) bucket(name string) *accountBucket {
	return &a.accounts[maphash.String(a.seed, name)%accountBuckets]
}
