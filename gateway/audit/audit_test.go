package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func fullRecord() *Record {
	signedIn := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	return &Record{
		Version: Version, Time: time.Date(2026, 11, 26, 9, 0, 0, 123456000, time.UTC), RequestID: "r-1", Generation: "ab12",
		Client: netip.MustParseAddr("192.0.2.7"), Host: "billing-api.example.test", Method: "POST", Path: "/invoices/7/refund",
		Route: "/invoices/:id/refund",
		Who: &Who{
			Subject: "u-1", Issuer: "vilogate", User: "alice", Email: "alice@example.test", EmailVerified: true, Session: "s-1", Roles: []string{"member"}, AMR: []string{"pwd"},
			AuthTime: &signedIn, Credential: ByCookie,
		},
		Facts: &Facts{
			Headers: map[string][]string{"user-agent": {"curl/8"}}, Claims: map[string]json.RawMessage{"org": json.RawMessage(`"acme"`)},
			Withheld: []string{"query.page"},
		},
		Decision: "deny", Reason: "none of the roles billing-admin", Rule: "policies/billing.yaml:7:5",
		Shadow:  []Shadow{{Decision: "allow", Reason: "authenticated", Rule: "next/billing.yaml:7:5", Generation: "cd34"}},
		Latency: 12,
	}
}

// recordWithID is a record of a request.
func recordWithID(id string) *Record {
	r := fullRecord()
	r.RequestID = id
	return r
}

// runLog is a log whose Run ends with the test; stop ends it earlier, and returns what Run returned.
func runLog(t testing.TB, o Options) (l *Log, stop func() error) {
	t.Helper()
	if o.MaxSize == 0 {
		o.MaxSize = 1 << 30
	}
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	l.writeTimeout = 2 * time.Minute // so that a busy machine is no disk that hangs
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	var once sync.Once
	stop = func() (err error) {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return l, stop
}

func read(t testing.TB, path string) (records []*Record) {
	t.Helper()
	for r, err := range ReadAll(path) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestARecordComesBackAsItWasPut, with every member.
func TestARecordComesBackAsItWasPut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, stop := runLog(t, Options{File: path})
	least := &Record{
		Version: Version, Time: time.Unix(1, 0).UTC(), RequestID: "r-2", Method: "GET", Decision: "malformed",
		Client: netip.MustParseAddr("2001:db8::1"),
	}
	for _, r := range []*Record{fullRecord(), least} {
		if err := l.Put(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := read(t, path)
	if len(got) != 2 || !reflect.DeepEqual(got[0], fullRecord()) || !reflect.DeepEqual(got[1], least) {
		t.Errorf("got %+v", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestEveryMemberIsDocumented: the schema in the package's doc names each.
func TestEveryMemberIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []reflect.Type{reflect.TypeFor[Record](), reflect.TypeFor[Who](), reflect.TypeFor[Facts](), reflect.TypeFor[Shadow](), reflect.TypeFor[Event](), reflect.TypeFor[Actor]()} {
		for i := range kind.NumField() {
			name, _, _ := strings.Cut(kind.Field(i).Tag.Get("json"), ",")
			if !strings.Contains(string(doc), name) {
				t.Errorf("%s.%s: the doc does not speak of %q", kind.Name(), kind.Field(i).Name, name)
			}
		}
	}
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(fullRecord())
	if err != nil {
		t.Fatal(err)
	}
	cut := func(old, now string) string { return strings.Replace(string(good), old, now, 1) }
	for want, line := range map[string]string{
		"invalid record: unexpected end":                       string(good[:40]),
		"invalid record: invalid character":                    "hello",
		"it names no version":                                  cut(`"v":1,`, ""),
		"a record of version 2; this program knows":            cut(`"v":1`, `"v":2`),
		`unknown field "extra"`:                                cut(`"v":1`, `"v":1,"extra":1`),
		"time, request_id, method and decision are never left": cut(`"decision":"deny"`, `"decision":""`),
		"a credential is cookie, header or bearer":             cut(`"credential":"cookie"`, `"credential":"magic"`),
		"cannot unmarshal":                                     cut(`"latency_us":12`, `"latency_us":"12"`),
		"a line of more than 1048576 bytes":                    cut("curl/8", strings.Repeat("x", maxRecordSize)),
		"invalid record: invalid character '{' after top-lev":  string(good) + string(good),
	} {
		var got []error
		text := string(good) + "\n" + line + "\n\n" + string(good) + "\n" + string(good)
		records := 0
		for r, err := range Read(strings.NewReader(text), "audit.log") {
			if err != nil {
				got = append(got, err)
			} else if records++; r.RequestID != "r-1" {
				t.Errorf("%s: %+v", want, r)
			}
		}
		if records != 2 || len(got) != 2 || !strings.HasPrefix(got[0].Error(), "audit.log:2: ") || !strings.Contains(got[0].Error(), want) ||
			got[1].Error() != "audit.log:5: truncated line" || !errors.As(got[0], new(*LineError)) {
			t.Errorf("%s: %d records, %v", want, records, got)
		}
	}
}

// TestRotationKeepsSoManyFiles, loses nothing between them, and finds what is in any.
func TestRotationKeepsSoManyFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit [1].log")
	line, err := json.Marshal(recordWithID("r-000"))
	if err != nil {
		t.Fatal(err)
	}
	size := int64(len(line) + 1)
	l, stop := runLog(t, Options{File: path, MaxSize: 10 * size, Keep: 3, Fsync: Always})
	for i := range 65 {
		if err := l.Put(recordWithID(fmt.Sprintf("r-%03d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(path)
	if err != nil || len(files) != 4 || files[3] != path || files[0] != path+".3" {
		t.Fatalf("%q, %v", files, err)
	}
	records := read(t, path)
	if len(records) != 35 || records[0].RequestID != "r-030" || records[34].RequestID != "r-064" {
		t.Errorf("%d records, from %s", len(records), records[0].RequestID)
	}
	for _, name := range files {
		if info, err := os.Stat(name); err != nil || info.Size() > 10*size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if r, err := Find(path, "r-031"); err != nil || r.RequestID != "r-031" {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := Find(path, "r-001"); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that was let go: %v", err)
	}
	if _, err := Find(filepath.Join(t.TempDir(), "none"), "r-001"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("no log at all: %v", err)
	}
}

// TestWhatIsNoFileIsWrittenToAndNeverRotated, as the standard output of a container is.
func TestWhatIsNoFileIsWrittenToAndNeverRotated(t *testing.T) {
	t.Parallel()
	reading, writing, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l, stop := runLog(t, Options{File: fmt.Sprintf("/proc/self/fd/%d", writing.Fd()), MaxSize: 1, Keep: 1, Fsync: Always})
	if err := errors.Join(l.Put(recordWithID("one")), l.Put(recordWithID("two")), stop(), writing.Close()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, err := range Read(reading, "pipe") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.RequestID)
	}
	if err := reading.Close(); err != nil || fmt.Sprint(got) != "[one two]" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAFileThatIsMovedIsBegunAnew: what something else did with the file does not hide records.
func TestAFileThatIsMovedIsBegunAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, stop := runLog(t, Options{File: path, Fsync: Always})
	for _, away := range []func() error{func() error { return os.Rename(path, path+"-moved") }, func() error { return os.Remove(path) }} {
		if err := errors.Join(l.Put(recordWithID("before")), away()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "records are found by the name of the file", func() bool {
			if err := l.Put(recordWithID("after")); err != nil {
				t.Fatal(err)
			}
			_, err := Find(path, "after")
			return err == nil
		})
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if l.Stats().Failures != 0 {
		t.Errorf("%+v", l.Stats())
	}
}

// TestAfterACrash: what was cut off is one line that is no record, and the next record is whole.
func TestAfterACrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"v":1,"time":"2026-`), 0o600); err != nil {
		t.Fatal(err)
	}
	l, stop := runLog(t, Options{File: path})
	if err := errors.Join(l.Put(recordWithID("after")), stop()); err != nil {
		t.Fatal(err)
	}
	if r, err := Find(path, "after"); err != nil || r.RequestID != "after" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestWithAlwaysARecordIsInTheFileWhenPutReturns, also of many at once.
func TestWithAlwaysARecordIsInTheFileWhenPutReturns(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, _ := runLog(t, Options{File: path, Fsync: Always})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 20 {
				id := fmt.Sprintf("r-%d-%d", n, i)
				if err := l.Put(recordWithID(id)); err != nil {
					t.Error(err)
				}
				data, err := os.ReadFile(path)
				if err != nil || !bytes.Contains(data, []byte(`"`+id+`"`)) {
					t.Errorf("%s is not in the file: %v", id, err)
				}
			}
		})
	}
	all.Wait()
}

// TestWhatWaitsIsWrittenAtTheEnd: a process that drains loses no record, and one that is put later is refused.
func TestWhatWaitsIsWrittenAtTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, err := Open(Options{File: path, MaxSize: 1 << 30, Fsync: Always})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		l.PutBestEffort(recordWithID(fmt.Sprint("r-", i)))
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(read(t, path)); n != 300 {
		t.Errorf("%d of 300 records", n)
	}
	if err := l.Put(recordWithID("late")); !errors.Is(err, errUnrecorded) {
		t.Errorf("a closed log takes a record: %v", err)
	}
	if l.PutBestEffort(recordWithID("late")); l.Stats().Dropped != 2 {
		t.Errorf("what a closed log does not take is not counted: %+v", l.Stats())
	}
}

func TestOpeningReportsWhatWouldKeepItFromBeingWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, o := range []Options{
		{},
		{File: dir, MaxSize: 1 << 20},
		{File: filepath.Join(dir, "nowhere", "audit.log"), MaxSize: 1 << 20},
		{File: filepath.Join(dir, "audit.log")},
	} {
		if l, err := Open(o); err == nil {
			t.Errorf("%+v: opened", o)
			_ = l.Close()
		}
	}
}

func FuzzRead(f *testing.F) {
	good, err := json.Marshal(fullRecord())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(good, '\n'))
	f.Add([]byte("{\"v\":1}\n\n{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for r, err := range Read(bytes.NewReader(data), "fuzz") {
			if err == nil == (r == nil) {
				t.Fatalf("%v, %v", r, err)
			}
			if err != nil {
				continue
			}
			again, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			l, err := parse(again)
			if err != nil || l.record.RequestID != r.RequestID || l.record.Decision != r.Decision {
				t.Fatalf("%s comes back as %+v, %v", again, l, err)
			}
		}
	})
}

func BenchmarkPut(b *testing.B) {
	for name, fsync := range map[string]Fsync{"interval": Interval, "always": Always} {
		b.Run(name, func(b *testing.B) {
			l, _ := runLog(b, Options{File: filepath.Join(b.TempDir(), "audit.log"), Fsync: fsync})
			r := fullRecord()
			b.ReportAllocs()
			for b.Loop() {
				for l.Stats().Waiting > queueLength-maxBatch {
					time.Sleep(time.Microsecond)
				}
				if err := l.Put(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRefusalsLeaveRoomForWhatPasses: a flood of them is counted, and the next request that may pass is recorded.
func TestRefusalsLeaveRoomForWhatPasses(t *testing.T) {
	t.Parallel()
	l, err := Open(Options{File: filepath.Join(t.TempDir(), "audit.log"), MaxSize: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 * queueLength { // and nobody writes
		l.PutBestEffort(fullRecord())
	}
	if err := l.Put(recordWithID("passes")); err != nil {
		t.Error(err)
	}
	if s := l.Stats(); s.Dropped != 3*queueLength/2 || s.Waiting != queueLength/2+1 {
		t.Errorf("%+v", s)
	}
}
