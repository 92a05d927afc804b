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
		stops[i] = AfterFunc(c, func() { called <- i })
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
	if AfterFunc(c, func() { close(late) })() {
		t.Error("a function of a context that has ended is stopped")
	}
	<-late
}

func TestAfterFuncOfAnyContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	called := make(chan struct{})
	AfterFunc(ctx, func() { close(called) })
	cancel()
	<-called
}
