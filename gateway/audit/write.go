package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// maxBatch bounds the records of one write.
	maxBatch = 512
)

// Run writes what is put, until ctx ends and the queue is drained. The log is closed then. A disk that takes nothing more
// does not block shutdown: after writeTimeout the queue is given up, and so is the goroutine that is blocked in the write.
func (l *Log) Run(ctx context.Context) error {
	defer l.stop()
	done := make(chan error, 1)
	go func() {
		defer close(l.fileReleased)
		done <- l.serve(ctx)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(l.writeTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("audit: shutdown with %d records unwritten: %w", len(l.queue), errWriteTimeout)
	}
}

// serve is what Run does.
func (l *Log) serve(ctx context.Context) error {
	w := &writer{Log: l}
	ticker := time.NewTicker(flushInterval)
	defer ticker.Stop()
	for {
		select {
		case i := <-l.queue:
			w.writeOrRetry(w.nextBatch(i))
		case <-ticker.C:
			w.flushDue()
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
		case <-l.fileReleased:
		default:
			return nil // a blocked writer has the file
		}
	default:
		l.stop()
	}
	return l.file.close()
}

// stop releases everybody who waits.
func (l *Log) stop() { l.once.Do(func() { close(l.ended) }) }

// writer is the goroutine that writes.
type writer struct {
	*Log
	lines   []byte // of a batch; the buffer is reused
	retries []item // to be retried after a failed write
	dirty   bool   // something was written since the last fsync
}

// nextBatch is a record with those queued behind it, up to maxBatch.
func (w *writer) nextBatch(first item) []item {
	items := []item{first}
	for len(items) < maxBatch {
		select {
		case i := <-w.queue:
			items = append(items, i)
		default:
			return items
		}
	}
	return items
}

// writeOrRetry writes a batch. While writes fail, only records that are waited for are tried at once.
func (w *writer) writeOrRetry(items []item) {
	if w.failing.Load() && items[0].done == nil {
		w.retryLater(items, errors.New("the last write failed"))
		return
	}
	if err := w.write(items); err != nil {
		w.retryLater(items, err)
	}
}

// write writes a batch, and tells those who wait for it.
func (w *writer) write(items []item) error {
	w.lines = w.lines[:0]
	for _, i := range items {
		line, err := json.Marshal(i.record)
		if err != nil { // a record holds nothing that cannot be written
			w.opts.Log.Error("encoding an audit record failed", "error", err)
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
		w.setFailing(err)
		return err
	}
	w.clearFailing()
	w.written.Add(uint64(len(items)))
	for _, i := range items {
		i.notify(nil)
	}
	return nil
}

// retryLater keeps records of a failed write for a retry, queueLength at most, but not those whose requests are refused for
// it.
func (w *writer) retryLater(items []item, err error) {
	for _, i := range items {
		i.notify(err)
		if i.done != nil && w.opts.OnFailure == Refuse {
			continue // whoever waited counts it
		}
		if len(w.retries) == queueLength {
			w.dropped.Add(1)
			continue
		}
		w.retries = append(w.retries, item{record: i.record})
	}
}

// notify passes the result of the write to whoever waits for it.
func (i item) notify(err error) {
	if i.done != nil {
		i.done <- err
	}
}

// clearFailing notes a write that succeeded, and logs the first after a failure.
func (w *writer) clearFailing() {
	if w.failing.Swap(false) {
		w.opts.Log.Warn("audit log writes recovered", "file", w.opts.File, "dropped", w.dropped.Load())
	}
}

// flushDue retries what could not be written, fsyncs what an interval left, and reopens a file that was moved.
func (w *writer) flushDue() {
	if err := w.file.reopen(); err != nil {
		w.setFailing(err)
	}
	for len(w.retries) > 0 {
		next := w.retries[:min(len(w.retries), maxBatch)]
		if w.write(next) != nil {
			return
		}
		w.retries = w.retries[len(next):]
	}
	w.retries = nil
	if w.opts.Fsync == Off || !w.dirty && !w.failing.Load() {
		return
	}
	if err := w.sync(); err != nil {
		w.setFailing(err)
	} else if w.opts.Fsync == Interval {
		w.clearFailing()
	}
}

func (w *writer) sync() error {
	err := w.file.sync()
	w.dirty = err != nil
	return err
}

// flush drains the queue, and closes the log.
func (w *writer) flush() error {
	for {
		select {
		case i := <-w.queue:
			w.writeOrRetry(w.nextBatch(i))
			continue
		default:
		}
		break
	}
	w.flushDue()
	w.dropped.Add(uint64(len(w.retries)))
	return w.file.close()
}
