package database

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// written makes a database of so many keys and returns its files, by suffix, as they are while it is open: as a kill
// leaves them.
func written(tb testing.TB, keys int) map[string][]byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "vilogate.db")
	db := openAt(tb, path)
	defer closed(tb, db)
	for i := range keys {
		addKey(tb, db, strings.Repeat("k", i+1))
	}
	files := map[string][]byte{}
	for _, suffix := range []string{"", walSuffix, markSuffix} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			tb.Fatal(err)
		}
		files[suffix] = data
	}
	return files
}

// put lays the files down in a folder of their own.
func put(tb testing.TB, files map[string][]byte) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "vilogate.db")
	for suffix, data := range files {
		if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return path
}

// tryOpen opens the database and returns how many keys it has, and what was logged.
func tryOpen(tb testing.TB, path string) (n int, logged string, err error) {
	tb.Helper()
	var log bytes.Buffer
	db, err := Open(tb.Context(), path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		if !strings.Contains(err.Error(), path) {
			tb.Errorf("the refusal does not name %s: %v", path, err)
		}
		return 0, log.String(), err
	}
	defer closed(tb, db)
	return keys(tb, db), log.String(), nil
}

func with(files map[string][]byte, suffix string, data []byte) map[string][]byte {
	changed := map[string][]byte{}
	for s, d := range files {
		changed[s] = d
	}
	delete(changed, suffix)
	if data != nil {
		changed[suffix] = data
	}
	return changed
}

func TestALogCutShortIsNeverSilent(t *testing.T) {
	t.Parallel()
	const all = 6
	files := written(t, all)
	if n, logged, err := tryOpen(t, put(t, files)); n != all || logged != "" || err != nil {
		t.Fatalf("the log as a kill leaves it: %d keys, %q, %v", n, logged, err)
	}
	log := files[walSuffix]
	for cut := 0; cut < len(log); cut += 1 + len(log)/40 {
		n, _, err := tryOpen(t, put(t, with(files, walSuffix, log[:cut])))
		if !errors.Is(err, errLost) {
			t.Errorf("a log of %d bytes cut to %d: %d keys, %v; want errLost", len(log), cut, n, err)
		}
	}
	if _, _, err := tryOpen(t, put(t, with(files, walSuffix, nil))); !errors.Is(err, errLost) {
		t.Errorf("without its log: %v, want errLost", err)
	}
	broken := bytes.Clone(log)
	broken[len(broken)/2] ^= 1
	if _, _, err := tryOpen(t, put(t, with(files, walSuffix, broken))); !errors.Is(err, errLost) {
		t.Errorf("with a bit of its log turned: %v, want errLost", err)
	}
}

func TestADatabaseCutShortIsNeverSilent(t *testing.T) {
	t.Parallel()
	const all = 6
	path := put(t, written(t, all))
	closed(t, openAt(t, path)) // moves everything from the log to the database
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := os.ReadFile(path + markSuffix)
	if err != nil {
		t.Fatal(err)
	}
	whole := map[string][]byte{"": data, markSuffix: mark}
	if n, logged, err := tryOpen(t, put(t, whole)); n != all || logged != "" || err != nil {
		t.Fatalf("whole: %d keys, %q, %v", n, logged, err)
	}
	for cut := 0; cut < len(data); cut += 1 + len(data)/30 {
		// A page of nothing but zeros may be cut: then nothing is missing.
		if n, _, err := tryOpen(t, put(t, with(whole, "", data[:cut]))); err == nil && n != all {
			t.Errorf("a database of %d bytes cut to %d opened with %d keys", len(data), cut, n)
		}
	}
	if _, _, err := tryOpen(t, put(t, with(whole, "", nil))); !errors.Is(err, errLost) {
		t.Errorf("without its file: %v, want errLost", err)
	}
	damaged := bytes.Clone(data)
	copy(damaged[len(damaged)/2:], bytes.Repeat([]byte{0xa5}, 4096))
	if n, _, err := tryOpen(t, put(t, with(whole, "", damaged))); !errors.Is(err, errDamaged) {
		t.Errorf("with a page overwritten: %d keys, %v; want errDamaged", n, err)
	}
}

func TestAnOlderDatabaseIsNeverSilent(t *testing.T) {
	t.Parallel()
	older, newer := written(t, 2), written(t, 5)
	path := put(t, with(older, markSuffix, newer[markSuffix]))
	if _, _, err := tryOpen(t, path); !errors.Is(err, errLost) {
		t.Errorf("the mark of another database: %v, want errLost", err)
	}
	// What the refusal says to do, works.
	if err := os.Remove(path + markSuffix); err != nil {
		t.Fatal(err)
	}
	if n, logged, err := tryOpen(t, path); n != 2 || err != nil || !strings.Contains(logged, "level=WARN") {
		t.Errorf("with the mark removed: %d keys, %q, %v; want 2 and a warning", n, logged, err)
	}
	if n, logged, err := tryOpen(t, path); n != 2 || err != nil || logged != "" {
		t.Errorf("afterwards: %d keys, %q, %v; want 2 and nothing to say", n, logged, err)
	}
}

func TestAMarkCutShortIsNotALoss(t *testing.T) {
	t.Parallel()
	files := written(t, 4)
	for cut := 0; cut <= len(files[markSuffix]); cut += 64 {
		n, logged, err := tryOpen(t, put(t, with(files, markSuffix, files[markSuffix][:cut])))
		if n != 4 || err != nil {
			t.Errorf("a mark cut to %d bytes: %d keys, %v", cut, n, err)
		}
		if readable := cut >= markSector; readable == strings.Contains(logged, "level=WARN") {
			t.Errorf("a mark cut to %d bytes: logged %q", cut, logged)
		}
	}
}

func TestTheOlderRecordOfAMarkSurvivesATornWrite(t *testing.T) {
	t.Parallel()
	files := written(t, 4)
	path := put(t, files)
	id, commits, err := readMark(path + markSuffix)
	if err != nil {
		t.Fatal(err)
	}
	torn := bytes.Clone(files[markSuffix])
	newest := int(commits % 2 * markSector)
	copy(torn[newest+20:], bytes.Repeat([]byte{0}, 40))
	gotID, got, err := readMark(put(t, with(files, markSuffix, torn)) + markSuffix)
	if err != nil || gotID != id || got != commits-1 {
		t.Errorf("a torn mark reads %d of %s (%v), want %d of %s", got, gotID, err, commits-1, id)
	}
}

func FuzzMark(f *testing.F) {
	f.Add(formatMark(strings.Repeat("0", 32), 7))
	f.Add(formatMark(strings.Repeat("f", 32), 1<<62))
	f.Add([]byte("vilogate high-water mark 1: database x"))
	f.Fuzz(func(t *testing.T, sector []byte) {
		id, commits, ok := parseMark(sector)
		if ok && !bytes.Equal(formatMark(id, commits), sector) {
			t.Errorf("%q reads as %d of %s, which is written otherwise", sector, commits, id)
		}
	})
}

func TestAFirstStartThatWasKilledIsBegunAgain(t *testing.T) {
	t.Parallel()
	path := put(t, map[string][]byte{"": {}})
	if _, logged, err := tryOpen(t, path); err != nil || logged != "" {
		t.Errorf("killed when the file was made: %v, %q", err, logged)
	}
	files := written(t, 0)
	if len(files[""]) == 0 {
		t.Fatal("everything is in the log: the file cannot be told from one that was emptied")
	}
	path = put(t, map[string][]byte{"": files[""]})
	if _, logged, err := tryOpen(t, path); err != nil || logged != "" {
		t.Errorf("killed when SQLite had made its first page: %v, %q", err, logged)
	}
}
