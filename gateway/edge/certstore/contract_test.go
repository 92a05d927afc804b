package certstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/viloforge/vilogate/idp/revocation/redistest"
)

const secret = "a secret of 32 bytes, or of more"

// newRedis is a store that waits for as long as a busy machine may need.
func newRedis(server *redistest.Server) *Redis {
	r := NewRedis(server.Client(), server.Address)
	r.timeout = 2 * time.Minute
	return r
}

// stores are all stores, each made empty. Two that are opened by one function
// share what they keep, as two processes do.
var stores = map[string]func(t *testing.T) func() certmagic.Storage{
	"files": func(t *testing.T) func() certmagic.Storage {
		dir := filepath.Join(t.TempDir(), "certificates")
		return func() certmagic.Storage { return &Files{certmagic.FileStorage{Path: dir}} }
	},
	"redis": func(t *testing.T) func() certmagic.Storage {
		r := redistest.New(t)
		return func() certmagic.Storage { return newRedis(r) }
	},
	"sealed redis": func(t *testing.T) func() certmagic.Storage {
		r := redistest.New(t)
		return func() certmagic.Storage { return Seal(newRedis(r), sealer(t, secret)) }
	},
	"sealed files": func(t *testing.T) func() certmagic.Storage {
		dir := filepath.Join(t.TempDir(), "certificates")
		return func() certmagic.Storage {
			return Seal(&Files{certmagic.FileStorage{Path: dir}}, sealer(t, secret))
		}
	},
}

func sealer(t *testing.T, secret string) *Sealer {
	t.Helper()
	s, err := NewSealer([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contract is what certmagic expects of a storage.
var contract = map[string]func(t *testing.T, open func() certmagic.Storage){
	"what is stored is loaded, by others too": func(t *testing.T, open func() certmagic.Storage) {
		one, two := open(), open()
		for _, value := range [][]byte{[]byte("first"), bytes.Repeat([]byte{0, 255, '\n'}, 20_000), {}} {
			store(t, one, "a/b.key", value)
			if got, err := two.Load(t.Context(), "a/b.key"); err != nil || !bytes.Equal(got, value) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(value))
			}
		}
	},
	"what is missing is fs.ErrNotExist": func(t *testing.T, open func() certmagic.Storage) {
		s := open()
		store(t, s, "a/b/c", []byte("x"))
		for _, key := range []string{"a/b/d", "x", "a/b/c.more", "a/bc"} {
			if _, err := s.Load(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("loading %s: %v", key, err)
			}
			if _, err := s.Stat(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("stat %s: %v", key, err)
			}
			if s.Exists(t.Context(), key) {
				t.Errorf("%s exists", key)
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("deleting %s: %v", key, err)
			}
		}
		if _, err := s.List(t.Context(), "nothing", true); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("listing nothing: %v", err)
		}
	},
	"listing": func(t *testing.T, open func() certmagic.Storage) {
		s := open()
		for _, key := range []string{"a/b/c/one", "a/b/two", "a/three", "ab/four"} {
			store(t, s, key, []byte(key))
		}
		for _, row := range []struct {
			path      string
			recursive bool
			want      string
		}{
			{"a", false, "a/b a/three"},
			{"a", true, "a/b a/b/c a/b/c/one a/b/two a/three"},
			{"a/b", false, "a/b/c a/b/two"},
			{"a/b/c", true, "a/b/c/one"},
			{"ab", true, "ab/four"},
			{"", false, "a ab"},
		} {
			got, err := s.List(t.Context(), row.path, row.recursive)
			slices.Sort(got)
			if err != nil || strings.Join(got, " ") != row.want {
				t.Errorf("%q, recursive %v: %v, %v; want %s", row.path, row.recursive, got, err, row.want)
			}
		}
	},
	"files and folders": func(t *testing.T, open func() certmagic.Storage) {
		s := open()
		before := time.Now().Add(-2 * time.Second)
		store(t, s, "a/b/c", []byte("12345"))
		file, err := s.Stat(t.Context(), "a/b/c")
		if err != nil || !file.IsTerminal || file.Key != "a/b/c" || file.Size < 5 || file.Modified.Before(before) {
			t.Errorf("file: %+v, %v", file, err)
		}
		folder, err := s.Stat(t.Context(), "a/b")
		if err != nil || folder.IsTerminal || !s.Exists(t.Context(), "a/b") {
			t.Errorf("folder: %+v, %v", folder, err)
		}
	},
	"a folder is deleted with what is in it, and nothing beside it": func(t *testing.T, open func() certmagic.Storage) {
		s := open()
		for _, key := range []string{"a/b/one", "a/b/c/two", "a/bc", "a/d"} {
			store(t, s, key, []byte("x"))
		}
		if err := s.Delete(t.Context(), "a/b"); err != nil {
			t.Fatal(err)
		}
		got, err := s.List(t.Context(), "a", true)
		if slices.Sort(got); err != nil || strings.Join(got, " ") != "a/bc a/d" {
			t.Errorf("left: %v, %v", got, err)
		}
	},
	"a value is read whole while it is replaced": func(t *testing.T, open func() certmagic.Storage) {
		writer, reader := open(), open()
		store(t, writer, "k", bytes.Repeat([]byte{0}, 50_000))
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			for i := byte(1); ctx.Err() == nil; i++ {
				if err := writer.Store(context.Background(), "k", bytes.Repeat([]byte{i}, 50_000)); err != nil {
					t.Error(err)
				}
			}
		})
		for range 200 {
			got, err := reader.Load(t.Context(), "k")
			if err != nil || len(got) != 50_000 || bytes.Count(got, got[:1]) != len(got) {
				t.Errorf("a torn value of %d bytes, %v", len(got), err)
				break
			}
		}
		stop()
		all.Wait()
	},
	"a lock is one's at a time": func(t *testing.T, open func() certmagic.Storage) {
		var inside, most, entered atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			s := open()
			all.Go(func() {
				for range 3 {
					if err := s.Lock(t.Context(), "issue *.viloforge.test"); err != nil {
						t.Error(err)
						return
					}
					now := inside.Add(1)
					for seen := most.Load(); now > seen && !most.CompareAndSwap(seen, now); seen = most.Load() {
					}
					entered.Add(1)
					inside.Add(-1)
					if err := s.Unlock(t.Context(), "issue *.viloforge.test"); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if most.Load() != 1 || entered.Load() != 12 {
			t.Errorf("%d at once, %d in all", most.Load(), entered.Load())
		}
	},
	"whoever waits for a lock may give up": func(t *testing.T, open func() certmagic.Storage) {
		one, two := open(), open()
		if err := one.Lock(t.Context(), "l"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := two.Lock(ctx, "l"); err == nil || ctx.Err() == nil { // the connection may say it first
			t.Errorf("the second: %v", err)
		}
		if err := one.Unlock(t.Context(), "l"); err != nil {
			t.Error(err)
		}
		if err := two.Lock(t.Context(), "l"); err != nil {
			t.Error(err)
		}
		if err := two.Unlock(t.Context(), "l"); err != nil {
			t.Error(err)
		}
	},
	"locks of other names are others": func(t *testing.T, open func() certmagic.Storage) {
		s := open()
		for i := range 5 {
			if err := s.Lock(t.Context(), fmt.Sprint("l", i)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 5 {
			if err := s.Unlock(t.Context(), fmt.Sprint("l", i)); err != nil {
				t.Error(err)
			}
		}
	},
}

func store(t *testing.T, s certmagic.Storage, key string, value []byte) {
	t.Helper()
	if err := s.Store(t.Context(), key, value); err != nil {
		t.Fatal(err)
	}
}

func TestStorageContract(t *testing.T) {
	t.Parallel()
	for kind, made := range stores {
		for promise, check := range contract {
			t.Run(kind+"/"+promise, func(t *testing.T) {
				t.Parallel()
				check(t, made(t))
			})
		}
	}
}
