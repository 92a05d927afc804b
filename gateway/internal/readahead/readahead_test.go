package readahead

import (
	"bytes"
	"errors"
	"io"
	"testing"
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
			Most: try.most,
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
		if held != 0 || ended != (try.err == io.EOF) {
			t.Errorf("%s: %d bytes are held, ended %v", name, held, ended)
		}
	}
}

// TestPauseComesBeforeWaiting: whoever has to wait hears so once, before.
func TestPauseComesBeforeWaiting(t *testing.T) {
	t.Parallel()
	s := newScript(nil, []byte("first"))
	r := Start(s, Options{Most: 100, Grow: func(int) bool { return true }, Shrink: func(int) {}, Ended: func() {}})
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
		r := Start(s, Options{Most: most, Grow: func(n int) bool { given += n; return true }, Shrink: func(n int) { given -= n }, Ended: func() {}})
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
