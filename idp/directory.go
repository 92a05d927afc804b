package idp

import (
	"context"
	"database/sql"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"github.com/viloforge/vilogate/idp/database"
	"github.com/viloforge/vilogate/idp/revocation"
)

// Revocations is the revocation list, as far as it concerns the identity provider. It is safe for concurrent use; all but
// Publish answer from memory.
type Revocations interface {
	// Publish returns nil once the entries are acknowledged, and from then on this list knows them too.
	Publish(ctx context.Context, entries ...revocation.Entry) error
	// SessionRevoked reports whether the session is over, whatever its issuer thinks.
	SessionRevoked(issuer, sid string) bool
	// HandleRevoked reports whether a token counts no more, not even as a handle: itself, its session, or what its session was
	// issued when it was.
	HandleRevoked(issuer, jti, sid string, iat time.Time) bool
	// SessionCutoff returns the cutoff: what the session was issued up to it is revoked.
	SessionCutoff(issuer, sid string) (time.Time, bool)
	// SubjectCutoff returns the cutoff: what the subject was issued up to it is revoked.
	SubjectCutoff(issuer, sub string) (time.Time, bool)
	// AwaitSync waits a moment for a list that was not confirmed lately; it is to be called before Stale.
	AwaitSync(now time.Time)
	// Stale reports whether the list is too old to be relied on.
	Stale(now time.Time) bool
}

// errStale means that the revocation list is too old to tell who is signed in.
var errStale = errors.New("the revocation list is stale")

// secretBytes is the length of the secrets that cookies hold.
const secretBytes = 32

// directory is the users and their sessions, and what ends them. The steps and the administration share one.
type directory struct {
	db          *database.DB
	revocations Revocations
	now         func() time.Time
	idle        time.Duration // the idle timeout of sessions
	locks       subjectLocks
	active      map[string]*sql.Stmt // by condition, of a server; see prepare
}

// subjectLocks exclude issuing to a subject (shared) from ending what it was issued (exclusive): otherwise a session that
// is just being ended could be issued a token past the moment that ends it. Subjects may share a lock.
type subjectLocks struct {
	seed  maphash.Seed
	locks [256]sync.RWMutex
}

func newDirectory(db *database.DB, revocations Revocations, now func() time.Time, idle time.Duration) *directory {
	d := &directory{db: db, revocations: revocations, now: now, idle: idle}
	d.locks.seed = maphash.MakeSeed()
	return d
}

func (l *subjectLocks) forSubject(subject string) *sync.RWMutex {
	return &l.locks[maphash.String(l.seed, subject)%uint64(len(l.locks))]
}
