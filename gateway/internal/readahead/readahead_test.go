package readahead

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// script is a source that says how many of its pieces were taken.
type script struct {
	pieces [][]byte
	err    error
	next   chan int // the number of each piece, when it is asked for
	abort  chan struct{}
	n      int
}

func newScript(err error, pieces ...[]byte) *script {
	return &script{pieces: pieces, err: err, next: make(chan int, len(pieces)+1), abort: make(chan struct{})}
}

func (s *script) Next(func()) ([]byte, error) {
	s.next <- s.n
	if s.n == len(s.pieces) {
		if s.err == nil {
			<-s.abort
			return nil, errors.New("aborted")
		}
		return nil, s.err
	}
	s.n++
	return s.pieces[s.n-1], nil
}

func (s *script) Poll() ([]byte, bool, error) {
	if s.n == len(s.pieces) && s.err == nil {
		return nil, false, nil
	}
	piece, err := s.Next(nil)
	return piece, true, err
}

func (s *script) Keep() {}

func (s *script) Abort() { close(s.abort) }

func pieces(n int) (all [][]byte) {
	for i := range n {
		all = append(all, bytes.Repeat([]byte{byte(i)}, 100))
	}
	return all
}

// TestReadsAheadToItsBound: a source is read without anybody who takes it, as far as the bound or the memory goes, and all of it
// arrives in its order, with what it ended with behind.
func TestReadsAheadToItsBound(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, try := range map[string]struct {
		most, memory, ahead int // pieces that are asked for before one is taken
		err                 error
	}{
		"all of it":   {10_000, 1 << 20, 10, io.EOF},
		"the bound":   {500, 1 << 20, 5, io.EOF},
		"no memory":   {10_000, 0, 1, io.EOF},
		"a broken":    {10_000, 1 << 20, 10, broken},
		"some memory": {10_000, 250, 2, io.EOF},
	} {
		all := pieces(10)
		s := newScript(try.err, all...)
		held, ended := 0, false
		r := Start(s, Options{
			Max: try.most,
			Grow: func(n int) bool {
				if held+n > try.memory {
					return false
				}
				held += n
				return true
			},
			Shrink: func(n int) { held -= n }, Ended: func() { ended = true },
		})
		for range try.ahead + 1 { // the last of them waits for room
			<-s.next
		}
		var got []byte
		var err error
		for {
			var piece []byte
			if piece, err = r.Next(func() {}); err != nil {
				break
			}
			got = append(got, piece...)
		}
		r.Close()
		if want := bytes.Join(all, nil); !bytes.Equal(got, want) || err != try.err {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, len(got), err, len(want), try.err)
		}
		if held != 0 || !ended {
			t.Errorf("%s: %d bytes are held, ended %v", name, held, ended)
		}
	}
}

// reused is a source that has one buffer, as those of connections do.
type reused struct {
	*script
	buffer []byte
}

func (s *reused) Next(pause func()) ([]byte, error) {
	piece, err := s.script.Next(pause)
	if s.buffer == nil {
		s.buffer = make([]byte, 3000)
	}
	return s.buffer[:copy(s.buffer, piece)], err
}

func (s *reused) Poll() ([]byte, bool, error) {
	piece, err := s.Next(nil)
	return piece, true, err
}

func (s *reused) Keep() { s.buffer = nil }

// TestNothingIsReadAheadOfWhoKeepsUp: each piece is read when it is asked for, by who asks.
func TestNothingIsReadAheadOfWhoKeepsUp(t *testing.T) {
	t.Parallel()
	all := pieces(10)
	s := newScript(io.EOF, all...)
	ended := false
	r := Start(s, Options{SlowAfter: time.Hour, Max: 10_000, Shrink: func(int) {}, Ended: func() { ended = true }})
	for i := range all {
		if piece, err := r.Next(func() {}); !bytes.Equal(piece, all[i]) || err != nil || len(s.next) != i+1 || ended {
			t.Fatalf("piece %d: %q, %v; %d were asked for", i, piece, err, len(s.next))
		}
	}
	for range 2 {
		if _, err := r.Next(func() {}); err != io.EOF || !ended {
			t.Errorf("%v, ended %v", err, ended)
		}
	}
	r.Close()
}

// TestReadsAheadOfWhoFallsBehind, from the piece on that it has, which stays valid; what is over SlowAfter may be one wait, or many.
func TestReadsAheadOfWhoFallsBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, waits := range map[string][]time.Duration{
			"in one":  {0, time.Second},
			"in many": {0, 400 * time.Millisecond, 0, 400 * time.Millisecond, 400 * time.Millisecond},
			"at last": {0, 0, 0, 999 * time.Millisecond, 0, 0, 0, 0, 0, time.Second},
		} {
			all := pieces(10)
			s := &reused{script: newScript(io.EOF, all...)}
			held, ended := 0, false
			r := Start(s, Options{
				SlowAfter: time.Second, Max: 10_000, Ended: func() { ended = true },
				Grow: func(n int) bool { held += n; return true }, Shrink: func(n int) { held -= n },
			})
			var got []byte
			for i, wait := range waits {
				piece, err := r.Next(func() {})
				if err != nil || len(s.next) != i+1 {
					t.Fatalf("%s: %v; %d pieces were asked for, want %d", name, err, len(s.next), i+1)
				}
				<-time.After(wait)
				synctest.Wait()
				got = append(got, piece...)
			}
			if len(s.next) != len(all)+1 || !ended {
				t.Errorf("%s: %d pieces were asked for, ended %v", name, len(s.next), ended)
			}
			for {
				piece, err := r.Next(func() {})
				if err != nil {
					if err != io.EOF {
						t.Errorf("%s: %v", name, err)
					}
					break
				}
				got = append(got, piece...)
			}
			r.Close()
			if want := bytes.Join(all, nil); !bytes.Equal(got, want) || held != 0 {
				t.Errorf("%s: %d bytes of %d, or others; %d are held", name, len(got), len(want), held)
			}
		}
	})
}

// waited is a source that is waited for.
type waited struct{ *reused }

func (waited) Poll() ([]byte, bool, error) { return nil, false, nil }

// TestReadsAheadOfWhoFallsBehindInAPause, which may be the first, before any piece, or another one.
func TestReadsAheadOfWhoFallsBehindInAPause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for late := range 4 {
			all := pieces(10)
			s := waited{&reused{script: newScript(io.EOF, all...)}}
			r := Start(s, Options{
				SlowAfter: time.Second, Max: 10_000, Ended: func() {}, Grow: func(int) bool { return true }, Shrink: func(int) {},
			})
			var got []byte
			for i := 0; ; i++ {
				piece, err := r.Next(func() {
					if i == late {
						<-time.After(time.Second)
						synctest.Wait()
					}
					if want := len(all) + 1; i >= late && len(s.next) != want || i < late && len(s.next) != i {
						t.Errorf("late in %d: in pause %d, %d pieces were asked for", late, i, len(s.next))
					}
				})
				if err != nil {
					if err != io.EOF {
						t.Errorf("late in %d: %v", late, err)
					}
					break
				}
				got = append(got, piece...)
			}
			r.Close()
			if want := bytes.Join(all, nil); !bytes.Equal(got, want) {
				t.Errorf("late in %d: %d bytes of %d, or others", late, len(got), len(want))
			}
		}
	})
}

// TestPauseComesBeforeWaiting: whoever has to wait hears so once, before.
func TestPauseComesBeforeWaiting(t *testing.T) {
	t.Parallel()
	s := newScript(nil, []byte("first"))
	r := Start(s, Options{Max: 100, Grow: func(int) bool { return true }, Shrink: func(int) {}, Ended: func() {}})
	if piece, err := r.Next(func() {}); string(piece) != "first" || err != nil {
		t.Errorf("%q, %v", piece, err)
	}
	paused := 0
	if _, err := r.Next(func() { paused++; s.Abort() }); err == nil || paused != 1 {
		t.Errorf("%v after %d pauses", err, paused)
	}
	r.Close()
}

// TestCloseEndsAReadThatWaits, for the source or for room.
func TestCloseEndsAReadThatWaits(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1000, 100} {
		s := newScript(nil, pieces(2)...)
		given := 0
		r := Start(s, Options{Max: most, Grow: func(n int) bool { given += n; return true }, Shrink: func(n int) { given -= n }, Ended: func() {}})
		for range most/100 + 1 {
			if <-s.next == 2 {
				break
			}
		}
		r.Close()
		if given != 0 {
			t.Errorf("%d bytes are held", given)
		}
	}
}

// file is a Spill in memory, of so many bytes.
type file struct {
	most int

	mu     sync.Mutex
	held   []byte // guarded by mu
	read   int    // guarded by mu
	closed bool   // guarded by mu
}

func (f *file) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.held)+len(p) > f.most {
		return 0, io.ErrShortWrite
	}
	f.held = append(f.held, p...)
	return len(p), nil
}

func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := copy(p, f.held[f.read:])
	f.read += n
	return n, nil
}

func (f *file) Rewind() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read != len(f.held) {
		panic("not all of it was read")
	}
	f.held, f.read = nil, 0
}

func (f *file) Close() error {
	f.closed = true
	return nil
}

// What memory has no room for is in the file: more is read ahead, and all of it comes in order, whatever the reader's pace.
func TestSpills(t *testing.T) {
	t.Parallel()
	for name, try := range map[string]struct {
		most, mostSpilled, room, ahead int
	}{
		"all of it":        {500, 10_000, 10_000, 40},
		"the bound":        {500, 1_000, 10_000, 15},
		"no room":          {500, 10_000, 0, 5},
		"some room":        {500, 10_000, 700, 12},
		"no memory":        {50, 10_000, 10_000, 40},
		"one piece beside": {500, 100, 10_000, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := pieces(40)
			s := newScript(io.EOF, all...)
			f := &file{most: try.room}
			r := Start(s, Options{
				Max: try.most, Grow: func(int) bool { return true }, Shrink: func(int) {}, Ended: func() {},
				Spill: func() Spill { return f }, MaxSpilled: int64(try.mostSpilled),
			})
			for range try.ahead + 1 {
				<-s.next
			}
			var got []byte
			var err error
			for {
				var piece []byte
				if piece, err = r.Next(func() {}); err != nil {
					break
				}
				got = append(got, piece...)
			}
			r.Close()
			if want := bytes.Join(all, nil); !bytes.Equal(got, want) || err != io.EOF {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
			if !f.closed && len(f.held) > 0 {
				t.Error("the file is not closed")
			}
		})
	}
}

// TestNoFileWhileAllIsTaken: where it turns out that there is no room on disk after everything in memory was taken, there is room in
// memory, and nobody waits for anybody.
func TestNoFileWhileAllIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, full := pieces(3), make(chan struct{})
		r := Start(newScript(io.EOF, all...), Options{
			Max: 100, Grow: func(int) bool { return true }, Shrink: func(int) {}, Ended: func() {},
			Spill: func() Spill { <-full; return nil }, MaxSpilled: 1000,
		})
		got := make(chan []byte, len(all))
		go func() {
			defer close(got)
			for {
				piece, err := r.Next(func() {})
				if err != nil {
					return
				}
				got <- bytes.Clone(piece)
			}
		}()
		synctest.Wait() // the first piece is taken, the next is to go to disk, and the reader waits for it
		close(full)
		synctest.Wait()
		var taken []byte
		for range len(got) {
			taken = append(taken, <-got...)
		}
		r.Close()
		if want := bytes.Join(all, nil); !bytes.Equal(taken, want) {
			t.Errorf("%d bytes were taken of %d", len(taken), len(want))
		}
	})
}

// moody is a source that is waited for now and then.
type moody struct {
	*reused
	random *rand.Rand
}

func (s moody) Poll() ([]byte, bool, error) {
	if s.random.IntN(2) == 0 {
		return nil, false, nil
	}
	return s.reused.Poll()
}

// At any pace of both sides, all comes in order.
func TestSpillsAtAnyPace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 3))
		var all [][]byte
		for range 1 + random.IntN(200) {
			piece := make([]byte, 1+random.IntN(3000))
			for i := range piece {
				piece[i] = byte(random.Uint32())
			}
			all = append(all, piece)
		}
		s := moody{&reused{script: newScript(io.EOF, all...)}, rand.New(rand.NewPCG(seed, 4))}
		f := &file{most: random.IntN(100_000)}
		dawdle := func() {
			for range random.IntN(50) {
				runtime.Gosched()
			}
		}
		slowAfter := time.Duration(random.IntN(2)*random.IntN(100)) * time.Microsecond
		r := Start(s, Options{
			SlowAfter: slowAfter, Max: 1 + random.IntN(10_000), Grow: func(int) bool { return true }, Shrink: func(int) {}, Ended: func() {},
			Spill: func() Spill { return f }, MaxSpilled: int64(random.IntN(100_000)),
		})
		var got []byte
		for {
			piece, err := r.Next(dawdle)
			if err != nil {
				if err != io.EOF {
					t.Errorf("seed %d: %v", seed, err)
				}
				break
			}
			got = append(got, piece...)
			dawdle()
		}
		r.Close()
		if want := bytes.Join(all, nil); !bytes.Equal(got, want) {
			t.Errorf("seed %d: %d bytes of %d, or others", seed, len(got), len(want))
		}
	}
}
