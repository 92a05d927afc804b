package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Fsync says when records are forced to the disk.
type Fsync uint8

// The three ways; the package's doc says what each promises.
const (
	Interval Fsync = iota
	Always
	Off
)

// OnFailure says what becomes of requests whose records cannot be written.
type OnFailure uint8

// The two ways.
const (
	Refuse OnFailure = iota
	Drop
)

// Options say where a log is and what it promises.
type Options struct {
	File      string
	MaxSize   int64 // of a file, in bytes
	Keep      int   // files besides the one that is written
	Fsync     Fsync
	OnFailure OnFailure
	// Log is told when the log cannot be written, and when it can be again.
	Log *slog.Logger
}

// queueLength bounds the records that wait to be written.
const queueLength = 8192

// errUnrecorded means that a record could not be written, and that the request must not go on.
var errUnrecorded = errors.New("audit: the decision cannot be recorded")

// Log is an audit log that is open. It is safe for concurrent use.
type Log struct {
	opts  Options
	file  *file // owned by Run
	queue chan item

	ended   chan struct{} // closed when Run writes nothing more
	idle    chan struct{} // closed when nobody has the file any more
	once    sync.Once
	failing atomic.Bool  // the last write failed
	tried   atomic.Int64 // when it was last tried for a request, in nanoseconds since 1970

	written, dropped, failures atomic.Uint64
}

// item is a record on its way to the disk.
type item struct {
	record *Record
	done   chan<- error // buffered; nil where nobody waits
}

// Open opens the log, and reports what would keep it from being written.
func Open(o Options) (*Log, error) {
	switch {
	case o.File == "":
		return nil, errors.New("audit: a log needs a file")
	case o.MaxSize < 1 || o.Keep < 0:
		return nil, errors.New("audit: a log needs the size of its files, and how many are kept")
	case o.Log == nil:
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, err := openFile(o.File, o.MaxSize, o.Keep)
	if err != nil {
		return nil, err
	}
	return &Log{opts: o, file: f, queue: make(chan item, queueLength), ended: make(chan struct{}), idle: make(chan struct{})}, nil
}

// patience is how long a request waits for the disk, and the end of the process for what waits to be written.
const patience = 5 * time.Second

// Put records a decision, which nobody changes afterwards. It returns once the record waits to be written; with fsync
// "always", once it is on the disk, or once the disk has taken too long for that. The error says that the request must
// not go on. Where a failure is configured to be no reason for that there is none, and a record that is lost is counted
// as dropped.
func (l *Log) Put(r *Record) error {
	wait := l.opts.Fsync == Always
	if l.failing.Load() {
		// With fsync "always", a request now and then shows whether the log can be written again.
		wait = wait && l.opts.OnFailure == Refuse && l.mayTry()
		if l.opts.OnFailure == Refuse && !wait {
			return l.lost(errors.New("the log cannot be written at the moment"))
		}
	}
	if l.closed() {
		return l.lost(errClosed)
	}
	i := item{record: r}
	var done chan error
	if wait {
		done = make(chan error, 1)
		i.done = done
	}
	select {
	case l.queue <- i:
	default:
		return l.lost(errors.New("too many records wait to be written"))
	}
	if done == nil {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return l.answered(err)
	case <-l.ended:
	case <-timer.C:
		// The writer hangs in a write. What it was given is written when the disk goes on, if it does.
		l.fail(errSlow)
		return l.answered(errSlow)
	}
	select {
	case err := <-done: // with the last batch
		return l.answered(err)
	default:
		return l.lost(errClosed)
	}
}

var (
	errClosed = errors.New("the log is closed")
	errSlow   = errors.New("the disk does not take what is written")
)

// fail notes that the log cannot be written.
func (l *Log) fail(err error) {
	l.failures.Add(1)
	if l.failing.Swap(true) {
		return
	}
	requests := "are refused"
	if l.opts.OnFailure == Drop {
		requests = "pass, and are not recorded once too many wait"
	}
	l.opts.Log.Error("the audit log cannot be written", "file", l.opts.File, "error", err, "requests", requests)
}

// closed reports whether nothing more is written.
func (l *Log) closed() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// mayTry reports whether it is time to try again a log that could not be written.
func (l *Log) mayTry() bool {
	now, last := time.Now().UnixNano(), l.tried.Load()
	return now-last >= int64(tick) && l.tried.CompareAndSwap(last, now)
}

// PutAside records a decision of which nothing depends on the record: it never waits. Half of the queue is not for these,
// so that whoever is refused again and again does not keep others from being recorded.
func (l *Log) PutAside(r *Record) {
	if len(l.queue) >= queueLength/2 || l.closed() {
		l.dropped.Add(1)
		return
	}
	select {
	case l.queue <- item{record: r}:
	default:
		l.dropped.Add(1)
	}
}

// answered is what became of a record that somebody waited for. Where its request goes on all the same, the record is
// tried again.
func (l *Log) answered(err error) error {
	if err == nil || l.opts.OnFailure == Drop {
		return nil
	}
	return l.lost(err)
}

// lost counts a record that will not be written.
func (l *Log) lost(cause error) error {
	l.dropped.Add(1)
	if l.opts.OnFailure == Drop {
		return nil
	}
	return fmt.Errorf("%w: %w", errUnrecorded, cause)
}

// Stats are counts since the log was opened.
type Stats struct {
	Written  uint64
	Dropped  uint64 // decisions that have no record
	Failures uint64 // writes that failed
	Waiting  int    // records that wait to be written
	Failing  bool   // the last write failed
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	return Stats{
		Written: l.written.Load(), Dropped: l.dropped.Load(), Failures: l.failures.Load(), Waiting: len(l.queue),
		Failing: l.failing.Load(),
	}
}
