package idp

import (
	"crypto/sha256"
	"sync"
	"time"
)

// A browser that comes back to the login page at once, again and again, for one and the same address, is in a redirect loop:
// the site does not see, or does not believe, the cookie that it is given here. It is stopped and told why.
const (
	loopWindow       = 30 * time.Second
	maxLoopRedirects = 4
	maxLoopEntries   = 4096
)

// loopDetector counts how often a session was sent back to an address of late. It is safe for concurrent use.
type loopDetector struct {
	mu     sync.Mutex
	counts map[[sha256.Size]byte]*redirectCount
}

type redirectCount struct {
	windowStart time.Time
	count       int
}

func newLoopDetector() *loopDetector {
	return &loopDetector{counts: map[[sha256.Size]byte]*redirectCount{}}
}

// isLoop counts one more redirect, and reports whether it is one too many.
func (l *loopDetector) isLoop(session, address string, now time.Time) bool {
	key := sha256.Sum256([]byte(session + "\x00" + address))
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.counts[key]
	if !ok || now.Sub(r.windowStart) > loopWindow || now.Before(r.windowStart) {
		l.evict(now)
		l.counts[key] = &redirectCount{windowStart: now, count: 1}
		return false
	}
	r.count++
	return r.count > maxLoopRedirects
}

// evict evicts what is over, and everything when that is not enough: eviction only lets a loop go on for longer.
func (l *loopDetector) evict(now time.Time) {
	if len(l.counts) < maxLoopEntries {
		return
	}
	for key, r := range l.counts {
		if now.Sub(r.windowStart) > loopWindow {
			delete(l.counts, key)
		}
	}
	if len(l.counts) >= maxLoopEntries {
		clear(l.counts)
	}
}
