package idp

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/viloforge/vilogate/gateway/audit"
)

// TestFailedLoginsFillNoAuditLog: so many a minute are recorded, the next says how many were not, and none is said twice.
func TestFailedLoginsFillNoAuditLog(t *testing.T) {
	t.Parallel()
	var f failureSampler
	now := time.Unix(1_800_000_000, 0)
	recorded := 0
	for range 3 * maxRecordedFailures {
		if ok, omitted := f.take(now); ok {
			recorded++
		} else if omitted != 0 {
			t.Fatal("what is not recorded says something")
		}
	}
	if recorded != maxRecordedFailures {
		t.Errorf("%d are recorded", recorded)
	}
	if n := f.flush(now.Add(failureWindow - 1)); n != 0 {
		t.Errorf("%d are said too soon", n)
	}
	if ok, omitted := f.take(now.Add(failureWindow)); !ok || omitted != 2*maxRecordedFailures {
		t.Errorf("the next: %v, %d", ok, omitted)
	}
	if n := f.flush(now.Add(2 * failureWindow)); n != 0 {
		t.Errorf("%d are said twice", n)
	}
}

// fullLog is an audit log on a full disk.
type fullLog struct{}

func (fullLog) PutEvent(*audit.Event) error     { return errors.New("no space left on device") }
func (fullLog) PutEventBestEffort(*audit.Event) {}

// TestALoginThatCannotBeRecordedIsRefused: nobody is signed in by it, and no session is left.
func TestALoginThatCannotBeRecordedIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *Options) { o.Audit = fullLog{} })
	c := w.client()
	got := c.try("/login", "alice", secret)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || strings.Contains(strings.Join(got.header["Set-Cookie"], "\n"), sessionCookie) {
		t.Errorf("%d %v", got.status, got.header)
	}
	if left, err := w.idp.Admin().Sessions(t.Context(), "alice"); err != nil || len(left) != 0 {
		t.Errorf("sessions: %v, %v", left, err)
	}
}
