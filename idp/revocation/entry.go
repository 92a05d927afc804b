package revocation

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what an entry revokes.
type Kind uint8

const (
	// Token revokes one token, by its jti.
	Token Kind = iota + 1
	// Session revokes every token of a session, by its sid.
	Session
	// Subject revokes what a subject was issued up to a moment.
	Subject
)

// Entry revokes something of one issuer.
type Entry struct {
	Kind Kind
	// Issuer is the issuer's configured name.
	Issuer string
	// ID is the jti, the sid or the subject, by Kind.
	ID string
	// Moment goes with Subject: what was issued at or before it is revoked.
	// Whole seconds.
	Moment time.Time
	// Expires is when nothing that the entry revokes can be valid any more.
	Expires time.Time
}

// maxField bounds an issuer's name and an id.
const maxField = 1024

// ErrInvalidEntry says that an entry revokes nothing that there could be.
var ErrInvalidEntry = errors.New("revocation: invalid entry")

func (e Entry) check() error {
	switch {
	case e.Kind < Token || e.Kind > Subject:
		return fmt.Errorf("%w: kind %d", ErrInvalidEntry, e.Kind)
	case e.Issuer == "" || len(e.Issuer) > maxField || e.ID == "" || len(e.ID) > maxField:
		return fmt.Errorf("%w: issuer and id must have 1 to %d bytes", ErrInvalidEntry, maxField)
	case e.Expires.Unix() <= 0:
		return fmt.Errorf("%w: it does not say when it expires", ErrInvalidEntry)
	case (e.Kind == Subject) != (e.Moment.Unix() > 0):
		return fmt.Errorf("%w: a moment goes with a subject, and only with one", ErrInvalidEntry)
	}
	return nil
}

// key is what an entry is about. Two entries of one key are joined: the later
// moment and the later end count.
type key struct {
	kind       Kind
	issuer, id string
}

// mark is what is known about a key, in seconds since 1970.
type mark struct{ moment, expires int64 }

func (e Entry) key() key { return key{e.Kind, e.Issuer, e.ID} }

func (e Entry) mark() mark {
	m := mark{expires: e.Expires.Unix()}
	if e.Kind == Subject {
		m.moment = e.Moment.Unix()
	}
	return m
}

func (k key) entry(m mark) Entry {
	e := Entry{Kind: k.kind, Issuer: k.issuer, ID: k.id, Expires: time.Unix(m.expires, 0)}
	if k.kind == Subject {
		e.Moment = time.Unix(m.moment, 0)
	}
	return e
}

// join is the union of two marks of one key.
func (m mark) join(other mark) mark {
	return mark{max(m.moment, other.moment), max(m.expires, other.expires)}
}

// seal writes things down with a MAC, and reads back only what it wrote.
type seal struct{ key []byte }

// newSeal derives a key of its own for the purpose.
func newSeal(secret []byte, purpose string) (seal, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, sha256.Size)
	if err != nil {
		return seal{}, fmt.Errorf("revocation: deriving a key: %w", err)
	}
	return seal{key}, nil
}

// close seals a text.
func (s seal) close(text []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.mac(text)) + "." + string(text)
}

// open gives back the text of what close made, and reports whether it did.
func (s seal) open(sealed string) ([]byte, bool) {
	encoded, text, ok := strings.Cut(sealed, ".")
	if !ok {
		return nil, false
	}
	mac, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !hmac.Equal(mac, s.mac([]byte(text))) {
		return nil, false
	}
	return []byte(text), true
}

func (s seal) mac(text []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(text)
	return h.Sum(nil)
}

// written is an entry as it is written down.
type written struct {
	Kind    Kind   `json:"k"`
	Issuer  string `json:"i"`
	ID      string `json:"d"`
	Moment  int64  `json:"m,omitempty"`
	Expires int64  `json:"e"`
}

func (s seal) closeEntry(e Entry) (string, error) {
	m := e.mark()
	text, err := json.Marshal(written{e.Kind, e.Issuer, e.ID, m.moment, m.expires})
	if err != nil {
		return "", fmt.Errorf("revocation: writing an entry: %w", err)
	}
	return s.close(text), nil
}

func (s seal) openEntry(sealed string) (Entry, bool) {
	if len(sealed) > 16*maxField {
		return Entry{}, false
	}
	text, ok := s.open(sealed)
	if !ok {
		return Entry{}, false
	}
	var w written
	if json.Unmarshal(text, &w) != nil {
		return Entry{}, false
	}
	e := key{w.Kind, w.Issuer, w.ID}.entry(mark{w.Moment, w.Expires})
	return e, e.check() == nil
}
