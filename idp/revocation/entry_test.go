package revocation

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"
)

var recordSeeds = []fact{
	{name{Token, ours, "AcFi0hPzTz2sV7Jx1CkRzw"}, 0, 1_790_000_000},
	{name{Session, "i", "s"}, 0, 0},
	{name{Subject, "partner", "partner:sub"}, 1_790_000_000, maxTime},
}

// TestTimesCountInWholeSeconds: a moment by the second that it lies in, an end by the next, so that nothing ends too soon.
func TestTimesCountInWholeSeconds(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_790_000_000, 1)
	f, err := Entry{Kind: Subject, Issuer: ours, ID: "s", Cutoff: at, Expires: at}.fact()
	if err != nil || f.cutoff != 1_790_000_000 || f.expires != 1_790_000_001 {
		t.Errorf("got %+v, %v", f, err)
	}
	f, err = Entry{Kind: Token, Issuer: ours, ID: "s", Cutoff: at, Expires: at.Truncate(time.Second)}.fact()
	if err != nil || f.cutoff != 0 || f.expires != 1_790_000_000 {
		t.Errorf("got %+v, %v", f, err)
	}
}

// FuzzRecord: what can be read is a fact that can be, in its one spelling.
func FuzzRecord(f *testing.F) {
	for _, seed := range recordSeeds {
		f.Add(seed.record())
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		read, err := parseRecord(record)
		if err != nil {
			return
		}
		if err := read.check(); err != nil {
			t.Errorf("%q reads as %+v: %v", record, read, err)
		}
		if again := read.record(); !bytes.Equal(again, record) {
			t.Errorf("%q and %q are both %+v", record, again, read)
		}
		if back, err := read.entry().fact(); err != nil || back != read {
			t.Errorf("%+v comes back as %+v, %v", read, back, err)
		}
	})
}

// FuzzSealed: nothing opens but what was sealed with that very key.
func FuzzSealed(f *testing.F) {
	mine, err := newSeal([]byte(testSecret), purposeEntries)
	if err != nil {
		f.Fatal(err)
	}
	other, err := newSeal([]byte(testSecret), purposeGateways)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range recordSeeds {
		f.Add(mine.seal(seed.record()))
		f.Add(other.seal(seed.record()))
		f.Add(seed.record())
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		before := bytes.Clone(sealed)
		content, ok := mine.open(sealed)
		if ok && !bytes.Equal(mine.seal(bytes.Clone(content)), before) {
			t.Errorf("%q opened, though it was never sealed", before)
		}
		if _, both := other.open(sealed); ok && both {
			t.Errorf("%q opens for two purposes", before)
		}
		if !bytes.Equal(sealed, before) {
			t.Error("opening changed it")
		}
	})
}

// FuzzPosition: what can be read as a position is written the same way again.
func FuzzPosition(f *testing.F) {
	for _, seed := range []string{"0-0", "1790000000000001-1790000000000000", "18446744073709551615-1", "1", "-", "01-1", "1-+1", "9-9-9"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := parsePosition(id)
		if err != nil {
			return
		}
		if again, err := parsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q is %v, which is %v, %v", id, p, again, err)
		}
	})
}

// TestSubjectsInEveryLanguageCanBeRevoked: an entry names them in visible ASCII, in one way, and no two in the same.
func TestSubjectsInEveryLanguageCanBeRevoked(t *testing.T) {
	t.Parallel()
	long := "kc:" + strings.Repeat("ü", 127)
	for subject, want := range map[string]string{
		"01J-alice": "01J-alice", "kc:auth0|5f7c": "kc:auth0|5f7c", "kc:alice liddell": "kc:alice%20liddell", "kc:100%": "kc:100%25", "kc:jürgen": "kc:j%C3%BCrgen",
		long: "sha256=" + fmt.Sprintf("%x", sha256.Sum256([]byte(long))), "kc:" + strings.Repeat("a", 255): "kc:" + strings.Repeat("a", 255),
	} {
		if got := SubjectID(subject); got != want {
			t.Errorf("%q is %q, want %q", subject, got, want)
		}
		l := NewList(&fake{}, Options{MaxStaleness: time.Minute})
		sink{l}.Apply([]Entry{{Kind: Subject, Issuer: "kc", ID: SubjectID(subject), Cutoff: time.Unix(100, 0), Expires: time.Unix(maxTime, 0)}}, time.Now())
		if !l.Revoked("kc", "", "", subject, time.Unix(100, 0)) || l.Revoked("kc", "", "", subject+"x", time.Unix(100, 0)) {
			t.Errorf("%q", subject)
		}
		if _, ok := l.SubjectCutoff("kc", subject); !ok {
			t.Errorf("no cutoff of %q", subject)
		}
	}
}
