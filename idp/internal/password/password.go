// Package password hashes and checks passwords with argon2id, as much at a time as the machine can take.
//
// Hashes are PHC strings, which carry their own cost. A [Pool] has a fixed number of workers and a short queue: whoever
// comes when the queue is full is told ErrBusy at once, so that a flood of logins costs the memory and the time of the
// workers and no more, and nobody waits without end. One network cannot take all of it, and known browsers have a share of
// their own (queue.go).
//
// It keeps one promise besides: Check does the same work whether or not there is a hash to check against, so that the
// time of an answer does not tell who exists.
package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"
)

// errHash means that a stored hash cannot be read.
var errHash = errors.New("password: not an argon2id hash of bearable cost")

// Cost is what one hash costs.
type Cost struct {
	Memory  uint32 // KiB
	Time    uint32 // passes
	Threads uint8
}

// DefaultCost is OWASP's first choice for argon2id; less memory in tests (cost_testing.go).
func DefaultCost() Cost { return Cost{Memory: defaultMemory, Time: 1, Threads: 1} }

// No hash that was stored may cost more than this, whatever it says of itself.
const (
	maxMemory = 1 << 20 // 1 GiB
	maxTime   = 64
)

const (
	saltBytes = 16
	keyBytes  = 32
)

// A Pool hashes passwords. It is safe for concurrent use and has no goroutine of its own.
type Pool struct {
	cost  Cost
	queue *queue
	// dummyHash is checked where there is no hash, so that the time does not tell who exists (user enumeration).
	dummyHash string
	// onHash is called for each hash that is computed. Tests count with it.
	onHash func()
}

// NewPool makes a pool of so many workers, for whom so many more strangers, and as many known browsers, may wait.
func NewPool(cost Cost, workers, waiting int) (*Pool, error) {
	if cost.Memory < 8 || cost.Memory > maxMemory || cost.Time < 1 || cost.Time > maxTime || cost.Threads < 1 {
		return nil, fmt.Errorf("password: impossible cost %+v", cost)
	}
	if workers < 1 || waiting < 0 {
		return nil, fmt.Errorf("password: impossible pool of %d workers and %d waiting", workers, waiting)
	}
	p := &Pool{cost: cost, queue: newQueue(workers, waiting), onHash: func() {}}
	salt, key := make([]byte, saltBytes), make([]byte, keyBytes)
	rand.Read(salt)
	rand.Read(key)
	p.dummyHash = format(cost, salt, key)
	return p, nil
}

// Hash returns the PHC string of a password.
func (p *Pool) Hash(ctx context.Context, client Client, password string) (string, error) {
	release, err := p.queue.acquire(ctx, client)
	if err != nil {
		return "", err
	}
	defer release()
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	return format(p.cost, salt, p.derive(p.cost, password, salt)), nil
}

// Check reports whether the hash is of this password. With an empty hash it works as long, and says no.
func (p *Pool) Check(ctx context.Context, client Client, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = p.dummyHash
	}
	cost, salt, want, err := parse(hash)
	if err != nil {
		return false, err
	}
	release, err := p.queue.acquire(ctx, client)
	if err != nil {
		return false, err
	}
	defer release()
	match := subtle.ConstantTimeCompare(p.derive(cost, password, salt), want) == 1
	return match && known, nil
}

// NeedsRehash reports whether a hash was made at another cost than today's.
func (p *Pool) NeedsRehash(hash string) bool {
	cost, _, _, err := parse(hash)
	return err != nil || cost != p.cost
}

// derive hashes a password in Unicode's NFKC (NIST SP 800-63B-3, section 5.1.1.2): keyboards and systems send the same
// letters composed (U+00E9), decomposed (e, U+0301) or in full width.
func (p *Pool) derive(cost Cost, password string, salt []byte) []byte {
	p.onHash()
	return argon2.IDKey(norm.NFKC.Bytes([]byte(password)), salt, cost.Time, cost.Memory, cost.Threads, keyBytes)
}

func format(cost Cost, salt, key []byte) string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, cost.Memory, cost.Time, cost.Threads, b64(salt), b64(key))
}

// parse reads a PHC string in the one spelling that format writes.
func parse(hash string) (cost Cost, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 {
		return Cost{}, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.Memory, &cost.Time, &cost.Threads); err != nil {
		return Cost{}, nil, nil, errHash
	}
	salt, saltErr := base64.RawStdEncoding.Strict().DecodeString(parts[4])
	key, keyErr := base64.RawStdEncoding.Strict().DecodeString(parts[5])
	switch {
	case errors.Join(saltErr, keyErr) != nil, len(salt) < 8, len(salt) > 64, len(key) != keyBytes,
		cost.Memory < 8, cost.Memory > maxMemory, cost.Time < 1, cost.Time > maxTime, cost.Threads < 1,
		format(cost, salt, key) != hash:
		return Cost{}, nil, nil, errHash
	}
	return cost, salt, key, nil
}
