package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// batch bounds the records that are written at once.
	batch = 512
	// tick is the interval of fsync "interval", and how often a log that cannot be written is tried again.
	tick = time.Second
)

// Run writes what is put, until ctx ends and everything that waits is written. The log is closed then. A disk that takes
// nothing more does not keep the process from ending: what waits is given up after some time, and so is the goroutine
// that hangs in the write.
func (l *Log) Run(ctx context.Context) error {
	defer l.end()
	done := make(chan error, 1)
	go func() {
		defer close(l.idle)
		done <- l.serve(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("audit: %d records were not written before the end: %w", len(l.queue), errSlow)
	}
}

// serve is what Run does.
func (l *Log) serve(ctx context.Context) error {
	w := &writer{Log: l}
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case i := <-l.queue:
			w.take(w.gather(i))
		case <-ticker.C:
			w.tick()
		case <-ctx.Done():
			return w.flush()
		}
	}
}

// Close gives up a log that Run was never called for, or whose Run has returned.
func (l *Log) Close() error {
	select {
	case <-l.ended:
		select {
		case <-l.idle:
		default:
			return nil // whoever hangs in a write has the file
		}
	default:
		l.end()
	}
	return l.file.close()
}

// end has nobody wait any more.
func (l *Log) end() { l.once.Do(func() { close(l.ended) }) }

// writer is the goroutine that writes.
type writer struct {
	*Log
	lines []byte // of a batch; the space is used again
	kept  []item // what could not be written, and is tried again
	dirty bool   // something was written since the last fsync
}

// gather is a record with those that wait behind it, up to a batch.
func (w *writer) gather(first item) []item {
	items := []item{first}
	for len(items) < batch {
		select {
		case i := <-w.queue:
			items = append(items, i)
		default:
			return items
		}
	}
	return items
}

// take writes a batch. While the log cannot be written, only records that somebody waits for are tried at once.
func (w *writer) take(items []item) {
	if w.failing.Load() && items[0].done == nil {
		w.keep(items, errors.New("the log cannot be written at the moment"))
		return
	}
	if err := w.write(items); err != nil {
		w.keep(items, err)
	}
}

// write writes a batch, and tells those who wait for it.
func (w *writer) write(items []item) error {
	w.lines = w.lines[:0]
	for _, i := range items {
		line, err := json.Marshal(i.record)
		if err != nil { // a record holds nothing that cannot be written
			w.opts.Log.Error("a record of the audit log could not be made", "request_id", i.record.RequestID, "error", err)
			continue
		}
		w.lines = append(append(w.lines, line...), '\n')
	}
	err := w.file.write(w.lines)
	if err == nil {
		w.dirty = true
		if w.opts.Fsync == Always {
			err = w.sync()
		}
	}
	if err != nil {
		w.fail(err)
		return err
	}
	w.recover()
	w.written.Add(uint64(len(items)))
	for _, i := range items {
		i.tell(nil)
	}
	return nil
}

// keep has records that could not be written tried again later, as many as fit a queue, but not those whose requests are
// refused for it.
func (w *writer) keep(items []item, err error) {
	for _, i := range items {
		i.tell(err)
		if i.done != nil && w.opts.OnFailure == Refuse {
			continue // whoever waited counts it
		}
		if len(w.kept) == queueLength {
			w.dropped.Add(1)
			continue
		}
		w.kept = append(w.kept, item{record: i.record})
	}
}

// tell tells who waits.
func (i item) tell(err error) {
	if i.done != nil {
		i.done <- err
	}
}

// recover notes that it can.
func (w *writer) recover() {
	if w.failing.Swap(false) {
		w.opts.Log.Warn("the audit log can be written again", "file", w.opts.File, "dropped", w.dropped.Load())
	}
}

// tick tries again what could not be written, forces to the disk what an interval left, and sees that the file has its
// name still.
func (w *writer) tick() {
	if err := w.file.reopen(); err != nil {
		w.fail(err)
	}
	for len(w.kept) > 0 {
		next := w.kept[:min(len(w.kept), batch)]
		if w.write(next) != nil {
			return
		}
		w.kept = w.kept[len(next):]
	}
	w.kept = nil
	if w.opts.Fsync == Off || !w.dirty && !w.failing.Load() {
		return
	}
	if err := w.sync(); err != nil {
		w.fail(err)
	} else if w.opts.Fsync == Interval {
		w.recover()
	}
}

func (w *writer) sync() error {
	err := w.file.sync()
	w.dirty = err != nil
	return err
}

// flush writes what waits, and closes the log.
func (w *writer) flush() error {
	for {
		select {
		case i := <-w.queue:
			w.take(w.gather(i))
			continue
		default:
		}
		break
	}
	w.tick()
	w.dropped.Add(uint64(len(w.kept)))
	return w.file.close()
}
