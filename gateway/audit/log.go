package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Fsync says when the file is fsynced.
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
var errUnrecorded = errors.New("audit: record not written")

// Log is an audit log that is open. It is safe for concurrent use.
type Log struct {
	opts  Options
	file  *file // owned by Run
	queue chan item

	ended        chan struct{} // closed when Run writes nothing more
	fileReleased chan struct{} // closed when the writer has released the file
	once         sync.Once
	writeTimeout time.Duration // writeTimeout, or a test's
	failing      atomic.Bool   // the last write failed
	lastProbe    atomic.Int64  // when a request last probed a failing log, in nanoseconds since 1970

	written, dropped, failures atomic.Uint64
}

// item is a record on its way to the disk.
type item struct {
	record any          // a *Record or an *Event
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
	return &Log{
		opts: o, file: f, queue: make(chan item, queueLength), ended: make(chan struct{}), fileReleased: make(chan struct{}),
		writeTimeout: writeTimeout,
	}, nil
}

// writeTimeout bounds a request's wait for its write, and the drain of the queue at shutdown.
const writeTimeout = 5 * time.Second

// Put records a decision, which nobody changes afterwards. It returns once the record waits to be written; with fsync
// "always", once it is on the disk, or once the disk has taken too long for that. The error says that the request must
// not go on. Where a failure is configured to be no reason for that there is none, and a record that is lost is counted
// as dropped.
func (l *Log) Put(r *Record) error { return l.put(r) }

func (l *Log) put(r any) error {
	wait := l.opts.Fsync == Always
	if l.failing.Load() {
		// Half-open: with fsync "always", a request now and then probes whether writes succeed again.
		wait = wait && l.opts.OnFailure == Refuse && l.probeDue()
		if l.opts.OnFailure == Refuse && !wait {
			return l.drop(errors.New("the last write failed"))
		}
	}
	if l.closed() {
		return l.drop(errClosed)
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
		return l.drop(errors.New("the write queue is full"))
	}
	if done == nil {
		return nil
	}
	timer := time.NewTimer(l.writeTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return l.writeResult(err)
	case <-l.ended:
	case <-timer.C:
		// The writer is blocked in a write. Its batch is written when the disk goes on, if it does.
		l.setFailing(errWriteTimeout)
		return l.writeResult(errWriteTimeout)
	}
	select {
	case err := <-done: // with the last batch
		return l.writeResult(err)
	default:
		return l.drop(errClosed)
	}
}

var (
	errClosed       = errors.New("the log is closed")
	errWriteTimeout = errors.New("write timeout")
)

// setFailing notes a failed write, and logs the first of a row.
func (l *Log) setFailing(err error) {
	l.failures.Add(1)
	if l.failing.Swap(true) {
		return
	}
	requests := "are refused"
	if l.opts.OnFailure == Drop {
		requests = "pass, and are dropped from the log once the queue is full"
	}
	l.opts.Log.Error("audit log write failed", "file", l.opts.File, "error", err, "requests", requests)
}

// closed reports whether the writer has stopped.
func (l *Log) closed() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// probeDue reports whether a request may probe a failing log now.
func (l *Log) probeDue() bool {
	now, last := time.Now().UnixNano(), l.lastProbe.Load()
	return now-last >= int64(flushInterval) && l.lastProbe.CompareAndSwap(last, now)
}

// PutBestEffort records a decision whose request does not depend on the record: it never blocks. Half of the queue is
// reserved for Put, so that a flood of refusals does not keep other decisions from being recorded.
func (l *Log) PutBestEffort(r *Record) { l.putBestEffort(r) }

func (l *Log) putBestEffort(r any) {
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

// writeResult is the result for a record that was waited for. Where its request goes on all the same (drop), the record
// is retried.
func (l *Log) writeResult(err error) error {
	if err == nil || l.opts.OnFailure == Drop {
		return nil
	}
	return l.drop(err)
}

// drop counts a record that will not be written; its error is ErrUnrecorded where requests are refused for it.
func (l *Log) drop(cause error) error {
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
	Waiting  int    // length of the write queue
	Failing  bool   // the last write failed
}

// Stats returns the counts.
func (l *Log) Stats() Stats {
	return Stats{
		Written: l.written.Load(), Dropped: l.dropped.Load(), Failures: l.failures.Load(), Waiting: len(l.queue),
		Failing: l.failing.Load(),
	}
}

// flushInterval is the interval of fsync "interval", and of retries after a failed write.
const flushInterval = time.Second
