package revocation

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/viloforge/vilogate/idp/token"
)

// Kind says what an entry names.
type Kind uint8

// The kinds of entries.
const (
	// Token is one token, named by its jti.
	Token Kind = iota + 1
	// Session is every token of a session, named by their sid.
	Session
	// Subject is every token that a subject was issued up to a moment.
	Subject
	// SessionTokens is every token that a session was issued up to a moment, named by their sid. The session goes on.
	SessionTokens
)

// hasCutoff reports whether entries of the kind name what was issued up to a moment.
func (k Kind) hasCutoff() bool { return k == Subject || k == SessionTokens }

// What a field may be at most. Issuers are named in the configuration; an identifier is a claim, before which a subject
// of another issuer has that issuer's name.
const (
	maxIssuer = 64
	maxID     = 320

	// maxTime is the end of the year 9999.
	maxTime = 253402300799
)

var (
	errKind    = errors.New("revocation: an entry is of no kind")
	errIssuer  = errors.New("revocation: an issuer's name is 1 to 64 visible ASCII characters")
	errID      = errors.New("revocation: an identifier is 1 to 320 visible ASCII characters")
	errCutoff  = errors.New("revocation: a cutoff is not a time between 1970 and 9999, or of a kind that has none")
	errExpires = errors.New("revocation: an entry's end is not a time between 1970 and 9999")
	errRecord  = errors.New("revocation: not the record of an entry")
)

// An Entry says that something is revoked.
type Entry struct {
	Kind Kind
	// Issuer is the name of the issuer in the configuration.
	Issuer string
	// ID is the jti or the sid, as the claims of a verified token give it, or the SubjectID of their subject.
	ID string
	// Cutoff is the cutoff of Subject and SessionTokens: whatever has an iat in this second or earlier is revoked. Fractions do not
	// count.
	Cutoff time.Time
	// Expires is when there is nothing left to revoke. It is kept in whole seconds, rounded up.
	Expires time.Time
}

// SubjectID is how an entry names a subject, as the claims of a verified token give it: percent-encoded, and by its
// SHA-256 where that is too long. Our own subjects are their own.
func SubjectID(subject string) string {
	id := token.PercentEncode(subject)
	if len(id) <= maxID {
		return id
	}
	sum := sha256.Sum256([]byte(subject))
	return "sha256=" + hex.EncodeToString(sum[:])
}

// fact is an entry that was checked, in the only form that it has here.
type fact struct {
	name
	cutoff  int64 // seconds since 1970; 0 unless the kind has one
	expires int64 // seconds since 1970
}

// name is what facts are told apart by.
type name struct {
	kind   Kind
	issuer string
	id     string
}

func (e Entry) fact() (fact, error) {
	f := fact{name: name{kind: e.Kind, issuer: e.Issuer, id: e.ID}, expires: e.Expires.Unix()}
	if e.Expires.Nanosecond() > 0 {
		f.expires++
	}
	if e.Kind.hasCutoff() {
		f.cutoff = e.Cutoff.Unix()
	}
	return f, f.check()
}

// facts checks all entries before any is used.
func facts(entries []Entry) ([]fact, error) {
	checked := make([]fact, len(entries))
	for i, e := range entries {
		f, err := e.fact()
		if err != nil {
			return nil, err
		}
		checked[i] = f
	}
	return checked, nil
}

func (f fact) entry() Entry {
	e := Entry{Kind: f.kind, Issuer: f.issuer, ID: f.id, Expires: time.Unix(f.expires, 0)}
	if f.kind.hasCutoff() {
		e.Cutoff = time.Unix(f.cutoff, 0)
	}
	return e
}

func (f fact) check() error {
	switch {
	case f.kind < Token || f.kind > SessionTokens:
		return errKind
	case !isVisibleASCII(f.issuer, maxIssuer):
		return errIssuer
	case !isVisibleASCII(f.id, maxID):
		return errID
	case f.cutoff < 0 || f.cutoff > maxTime || !f.kind.hasCutoff() && f.cutoff != 0:
		return errCutoff
	case f.expires < 0 || f.expires > maxTime:
		return errExpires
	}
	return nil
}

// isVisibleASCII reports whether s is 1 to most visible ASCII characters.
func isVisibleASCII(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// merge takes the later of each time: what both say, and nothing else. The names are the same.
func (f fact) merge(other fact) fact {
	f.cutoff = max(f.cutoff, other.cutoff)
	f.expires = max(f.expires, other.expires)
	return f
}

// A record is how a fact is written into Redis: version, kind, moment, expires, the issuer's length, issuer, id. There is
// one spelling of each fact, so that equal facts are equal records.
const (
	recordVersion = 1
	recordHeader  = 1 + 1 + 8 + 8 + 1
	maxRecord     = recordHeader + maxIssuer + maxID
)

func (f fact) record() []byte {
	b := make([]byte, 0, recordHeader+len(f.issuer)+len(f.id))
	b = append(b, recordVersion, byte(f.kind))
	b = binary.BigEndian.AppendUint64(b, uint64(f.cutoff))
	b = binary.BigEndian.AppendUint64(b, uint64(f.expires))
	b = append(b, byte(len(f.issuer)))
	b = append(b, f.issuer...)
	return append(b, f.id...)
}

func parseRecord(b []byte) (fact, error) {
	if len(b) < recordHeader || len(b) > maxRecord {
		return fact{}, errRecord
	}
	if b[0] != recordVersion {
		return fact{}, fmt.Errorf("%w: version %d", errRecord, b[0])
	}
	f := fact{
		name:    name{kind: Kind(b[1])},
		cutoff:  int64(binary.BigEndian.Uint64(b[2:])),
		expires: int64(binary.BigEndian.Uint64(b[10:])),
	}
	issuer, rest := int(b[18]), b[recordHeader:]
	if issuer > len(rest) {
		return fact{}, errRecord
	}
	f.issuer, f.id = string(rest[:issuer]), string(rest[issuer:])
	return f, f.check()
}
