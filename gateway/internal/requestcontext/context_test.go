package requestcontext

import (
	"context"
	"testing"
)

func TestWhatEndsWithAContext(t *testing.T) {
	type key struct{}
	c := &Context{Base: context.WithValue(context.Background(), key{}, 1)}
	if c.Err() != nil || c.Value(key{}) != 1 {
		t.Fatal("a context that has not begun as it is")
	}
	child, cancel := context.WithCancel(c)
	defer cancel()
	called := make(chan int, 4)
	stops := make([]func() bool, 4)
	for i := range stops {
		stops[i] = c.AfterFunc(func() { called <- i })
	}
	if !stops[1]() || stops[1]() || !stops[3]() {
		t.Fatal("what waits is stopped once")
	}
	c.Cancel()
	c.Cancel()
	if <-child.Done(); child.Err() != context.Canceled || c.Err() != context.Canceled {
		t.Errorf("%v, and of its child %v", c.Err(), child.Err())
	}
	if <-c.Done(); <-called+<-called != 0+2 {
		t.Error("what was stopped is called, or what was not is not")
	}
	if stops[0]() {
		t.Error("what was called is stopped")
	}
	late := make(chan struct{})
	if c.AfterFunc(func() { close(late) })() {
		t.Error("a function of a context that has ended is stopped")
	}
	<-late
}

// told is a Follower that is told once.
type told chan error

func (c *told) ContextEnded(err error) { *c <- err }

// TestWatch: of a context of any kind, who watches it hears once that it has ended, and nothing when it has stopped before.
func TestWatch(t *testing.T) {
	other, cancel := context.WithCancel(context.Background())
	own := &Context{Base: context.Background()}
	for name, test := range map[string]struct {
		ctx context.Context
		end func()
	}{"its own kind": {own, own.Cancel}, "another kind": {other, cancel}} {
		early, stopped, late := make(told, 2), make(told, 1), make(told, 1)
		var first, second, third Watch
		third.End() // which watches nothing
		first.Begin(test.ctx, &early)
		second.Begin(test.ctx, &stopped)
		second.End()
		test.end()
		if err := <-early; err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
		first.End()
		third.Begin(test.ctx, &late)
		if err := <-late; err != context.Canceled || len(stopped) > 0 || len(early) > 0 {
			t.Errorf("%s: %v; who has stopped is told %d times, who was told %d times more", name, err, len(stopped), len(early))
		}
	}
}

// TestWatchingCostsNothing of a request's own context.
func TestWatchingCostsNothing(t *testing.T) {
	c, follower := &Context{Base: context.Background()}, make(told)
	if n := testing.AllocsPerRun(100, func() {
		var w Watch
		w.Begin(c, &follower)
		w.End()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
