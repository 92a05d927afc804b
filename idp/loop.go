package idp

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A browser that comes back to the login page at once, again and again, for one and the same address, is going in circles:
// the site does not see, or does not believe, the cookie that it is given here. It is stopped and told why.
const (
	loopWindow = 30 * time.Second
	loopMost   = 4
	loopKept   = 4096
)

// loops counts how often a session was sent back to an address of late. It is safe for concurrent use.
type loops struct {
	mu   sync.Mutex
	seen map[[sha256.Size]byte]*round
}

type round struct {
	began time.Time
	count int
}

func newLoops() *loops { return &loops{seen: map[[sha256.Size]byte]*round{}} }

// circling counts one more return, and reports whether it is one too many.
func (l *loops) circling(session, address string, now time.Time) bool {
	key := sha256.Sum256([]byte(session + "\x00" + address))
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.seen[key]
	if !ok || now.Sub(r.began) > loopWindow || now.Before(r.began) {
		l.makeRoom(now)
		l.seen[key] = &round{began: now, count: 1}
		return false
	}
	r.count++
	return r.count > loopMost
}

// makeRoom forgets what is over, and everything when that is not enough: it only helps those who are lost.
func (l *loops) makeRoom(now time.Time) {
	if len(l.seen) < loopKept {
		return
	}
	for key, r := range l.seen {
		if now.Sub(r.began) > loopWindow {
			delete(l.seen, key)
		}
	}
	if len(l.seen) >= loopKept {
		clear(l.seen)
	}
}
