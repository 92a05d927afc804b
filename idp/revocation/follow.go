package revocation

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	//go:embed position.lua
	positionText string

	positionScript = redis.NewScript(positionText)
)

// The least time between two loads of the index, whatever the stream looks like, and the longest, however long one took.
const (
	minReloadInterval = 250 * time.Millisecond
	maxReloadInterval = 10 * time.Minute
)

// suspendTolerance is how long after its deadline a read has to end to have been slept through.
const suspendTolerance = 250 * time.Millisecond

// Reasons to load the index again.
var (
	errTrimmed = errors.New("entries are missing from the stream")
	errReset   = errors.New("the stream is not the one that was read before")
)

// A position is the id of an entry in the stream: a running number and a microsecond. The zero position is before the
// first entry of a stream that did not exist.
type position struct{ number, micros uint64 }

func (p position) String() string { return fmt.Sprintf("%d-%d", p.number, p.micros) }

func parsePosition(id string) (position, error) {
	number, micros, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("the stream has the id %.50q: %w", id, err)
	}
	m, err := strconv.ParseUint(micros, 10, 64)
	if err != nil {
		return position{}, fmt.Errorf("the stream has the id %.50q: %w", id, err)
	}
	return position{n, m}, nil
}

// Follow loads the index and then reads the stream. It loads the index again, and puts back what it lacks, when the stream
// was trimmed or reset, and every so often.
func (r *Redis) Follow(ctx context.Context, to Sink) error { return r.follow(ctx, to, nil) }

// follow is Follow. After each load, loaded is called with how long what it says of that may hold.
func (r *Redis) follow(ctx context.Context, to Sink, loaded func(context.Context, time.Duration) error) error {
	if err := r.awaitRestored(ctx); err != nil {
		return r.commandError("waiting for what was revoked to be restored", err)
	}
	for {
		earliest := time.NewTimer(minReloadInterval)
		began, asOf := time.Now(), to.Now()
		at, err := r.load(ctx, to)
		if err != nil {
			return r.commandError("loading the revocations", err)
		}
		interval := reloadInterval(r.reconcileEvery, time.Since(began))
		due := time.NewTimer(interval)
		if loaded != nil {
			err = loaded(ctx, 3*interval)
		} else {
			err = r.checkRestored(ctx)
		}
		if err != nil {
			return r.commandError("loading the revocations", err)
		}
		err = r.followStream(ctx, to, at, asOf, due.C)
		switch {
		case errors.Is(err, errTrimmed), errors.Is(err, errReset):
			r.log.Info("revocation index reloaded", "reason", err)
		case err != nil:
			return r.commandError("reading the stream of revocations", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-earliest.C:
		}
	}
}

// reloadInterval is the time from one load, which took so long, to the next: loading takes a hundredth of the time, however large the
// index is. A process that was suspended during a load goes on as before.
func reloadInterval(every, took time.Duration) time.Duration {
	return max(every, min(100*took, maxReloadInterval))
}

// load tells everything that the index holds, and puts back what it lacks. The stream is to be read on from the position
// that it returns: one from before the index was read.
func (r *Redis) load(ctx context.Context, to Sink) (position, error) {
	asOf := to.Now()
	// What takes no writes is a replica, or a master that was replaced: what it holds may be old. Only one whose disk is
	// full is still the one that everybody writes to, when there is anything to write.
	if _, err := r.writeWithTimeout(ctx, nil); err != nil && !redis.HasErrorPrefix(err, "MISCONF") {
		return position{}, err
	}
	at, err := r.lastPosition(ctx)
	if err != nil {
		return at, err
	}
	held, forged, err := r.readIndex(ctx)
	if forged > 0 {
		to.Reject(forged)
	}
	if err != nil {
		return at, err
	}
	entries := make([]Entry, len(held))
	for i, f := range held {
		entries[i] = f.entry()
	}
	added, err := r.restore(ctx, to.Reconcile(entries, asOf))
	if added > 0 {
		r.log.Info("revocations that Redis had lost were restored", "entries", added)
	}
	if err != nil {
		return at, err
	}
	return at, r.removeSuperseded(ctx, held)
}

// followStream tells what is added to the stream behind at, up to which all is known as of known, until due.
func (r *Redis) followStream(ctx context.Context, to Sink, at position, known time.Time, due <-chan time.Time) error {
	diverged := false           // the stream ends elsewhere than at, and nothing has come from there yet
	late := r.isLate(to, known) // no read waits
	for ctx.Err() == nil {
		select {
		case <-due:
			return nil
		default:
		}
		asOf := to.Now()
		messages, err := r.readStream(ctx, at, !diverged && !late)
		if err != nil && ctx.Err() == nil && r.wasSuspended(asOf, to.Now()) {
			asOf = to.Now()
			messages, err = r.resume(ctx, at)
		}
		if err != nil {
			return err
		}
		if len(messages) > 0 {
			diverged, late = false, r.isLate(to, asOf)
			if len(messages) < batch { // else there may be more
				known = asOf
			}
			if at, err = r.applyMessages(to, at, messages, known); err != nil {
				return err
			}
			continue
		}
		late = false
		asOf = to.Now()
		end, err := r.lastPosition(ctx)
		switch {
		case err != nil:
			return err
		case end == at:
			diverged, known = false, asOf
			to.Apply(nil, asOf)
		case diverged:
			return errReset
		default:
			diverged = true
		}
	}
	return ctx.Err()
}

// isLate reports whether what is known as of a time would be too old for requests before a read that waits for news is over.
func (r *Redis) isLate(to Sink, known time.Time) bool {
	return age(known, to.Now())+r.readBlock > maxUnconfirmed
}

// readStream returns what the stream holds behind a position, and may wait for it.
func (r *Redis) readStream(ctx context.Context, at position, blocking bool) ([]redis.XMessage, error) {
	block := time.Duration(-1)
	if blocking {
		block = r.readBlock
	}
	ctx, cancel := context.WithTimeout(ctx, r.readBlock+r.timeout)
	defer cancel()
	streams, err := r.client.XRead(ctx, &redis.XReadArgs{
		Streams: []string{keyStream, at.String()}, Count: batch, Block: block,
	}).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil || len(streams) == 0:
		return nil, err
	}
	return streams[0].Messages, nil
}

// wasSuspended reports whether a read took longer than any may: the process was frozen, or its machine asleep, and the deadline
// passed while nobody was there to take the answer.
func (r *Redis) wasSuspended(began, now time.Time) bool {
	return age(began, now) > r.readBlock+r.timeout+suspendTolerance
}

// resume reads on after the process was frozen: requests are waiting for what it missed. As when the index is loaded, what
// takes no writes is not followed.
func (r *Redis) resume(ctx context.Context, at position) ([]redis.XMessage, error) {
	if _, err := r.writeWithTimeout(ctx, nil); err != nil && !redis.HasErrorPrefix(err, "MISCONF") {
		return nil, err
	}
	return r.readStream(ctx, at, false)
}

// applyMessages hands on what came from the stream, and returns how far it was read. When entries are missing it hands on nothing:
// what is known would not be complete.
func (r *Redis) applyMessages(to Sink, at position, messages []redis.XMessage, asOf time.Time) (position, error) {
	entries := make([]Entry, 0, len(messages))
	forged := 0
	for _, message := range messages {
		p, err := parsePosition(message.ID)
		if err != nil {
			return at, err
		}
		sealed, _ := message.Values["e"].(string)
		f, ok := r.openRecord(sealed)
		switch {
		case !ok:
			forged++ // whoever forges may give it any number
		case at == position{}: // there was no stream: its numbers start anywhere
			entries = append(entries, f.entry())
		case p.number <= at.number:
			return at, errReset
		case p.number > at.number+1:
			return at, errTrimmed
		default:
			entries = append(entries, f.entry())
		}
		at = p
	}
	if forged > 0 {
		to.Reject(forged)
	}
	to.Apply(entries, asOf)
	return at, nil
}

// lastPosition is the position of the last entry that the stream ever had.
func (r *Redis) lastPosition(ctx context.Context) (position, error) {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	id, err := positionScript.Run(ctx, r.client, []string{keyStream}).Text()
	if err != nil {
		return position{}, err
	}
	return parsePosition(id)
}
