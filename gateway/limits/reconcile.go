package limits

import (
	"context"
	"time"
)

const (
	// syncInterval is the time between two syncs.
	syncInterval = 200 * time.Millisecond
	// maxBackoff is the longest backoff after failures.
	maxBackoff = 5 * time.Second
	// maxBatch bounds a batch, in keys.
	maxBatch = 4096
)

// Run syncs the backlogs with the fleet until ctx ends. It returns at once where the limiter is alone.
func (l *Limiter) Run(ctx context.Context) error {
	if l.fleet == nil {
		return nil
	}
	backoff, failing := syncInterval, false
	timer := time.NewTimer(backoff)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := l.sync(ctx)
		switch {
		case err == nil && failing:
			l.fleet.log.Info("rate limit sync with the fleet restored")
			fallthrough
		case err == nil:
			backoff, failing = syncInterval, false
		case ctx.Err() != nil:
			return nil
		default:
			if !failing {
				l.fleet.log.Warn("rate limit sync with the fleet failed; each gateway limits what it sees", "error", err)
			}
			backoff, failing = min(2*backoff, maxBackoff), true
		}
		timer.Reset(backoff)
	}
}

// sync pushes the sync queue to the fleet, and merges the backlogs that come back. What could not be pushed is requeued.
func (l *Limiter) sync(ctx context.Context) error {
	for {
		batch := l.nextBatch()
		if len(batch) == 0 {
			return nil
		}
		pushed := make([]Usage, len(batch))
		copy(pushed, batch)
		if err := l.fleet.shared.Add(ctx, pushed); err != nil {
			l.fleet.failures.Add(1)
			for _, d := range batch {
				l.requeue(d)
			}
			return err
		}
		l.fleet.lastSync.Store(l.now().UnixNano())
		for _, d := range pushed {
			l.merge(d)
		}
		if len(batch) < maxBatch {
			return nil
		}
	}
}

// nextBatch takes a batch from the sync queue. Of the unsynced part, what has left the backlog since is not pushed.
func (l *Limiter) nextBatch() []Usage {
	var batch []Usage
	for len(batch)+ways <= maxBatch {
		var s *set
		select {
		case index := <-l.fleet.queue:
			s = &l.table.sets[index]
		default:
			return batch
		}
		now := l.elapsed()
		s.mu.Lock()
		for i := range s.slots {
			p := &s.slots[i]
			if !p.queued {
				continue
			}
			if backlog := min(time.Duration(p.unsynced), p.backlog(now)); backlog > 0 {
				batch = append(batch, Usage{p.key, backlog, time.Duration(p.burst)})
			}
			p.unsynced, p.queued = 0, false
		}
		s.mu.Unlock()
	}
	return batch
}

// requeue puts what could not be pushed back into the sync queue.
func (l *Limiter) requeue(d Usage) {
	s, index := l.table.lookup(d.Key)
	s.mu.Lock()
	push := false
	for i := range s.slots {
		if p := &s.slots[i]; p.key == d.Key {
			p.unsynced += int64(d.Backlog)
			push = !p.queued
			p.queued = true
		}
	}
	s.mu.Unlock()
	if push && !l.fleet.enqueue(index) {
		l.clearQueued(s, d.Key)
	}
}

// merge raises the TAT of a key to the fleet's, where that is later than ours. A store that has lost a key lowers no TAT.
func (l *Limiter) merge(d Usage) {
	now := l.elapsed()
	s, _ := l.table.lookup(d.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		if p := &s.slots[i]; p.key == d.Key {
			// What is unsynced here is not in the fleet's backlog yet.
			p.tat = max(p.tat, now+int64(d.Backlog)+p.unsynced)
		}
	}
}
