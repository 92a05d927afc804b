package revocation

import (
	"context"
	_ "embed"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// The scripts are constants in all but name: nothing changes them.
var (
	//go:embed append.lua
	appendText string
	//go:embed scan.lua
	scanText string

	appendScript = redis.NewScript(appendText)
	scanScript   = redis.NewScript(scanText)
)

// grace is how long the index keeps an entry past its end, because the clocks of a fleet differ.
const grace = time.Hour

// batch is how many entries one command writes or reads.
const batch = 500

var errScan = errors.New("a scan was answered with something else")

// Append returns nil once Redis has acknowledged the entries: all or nothing for 500 at a time.
func (r *Redis) Append(ctx context.Context, entries []Entry) error {
	checked, err := facts(entries)
	if err != nil {
		return err
	}
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	for some := range slices.Chunk(checked, batch) {
		if _, err := r.write(ctx, some); err != nil {
			return r.commandError("writing revocations", err)
		}
	}
	return nil
}

// write runs the script that adds to index and stream, and drops from the index what has ended. It returns how many facts
// the index lacked. Where Redis is full, the posts that are kept beside make room.
func (r *Redis) write(ctx context.Context, facts []fact) (added int, err error) {
	args := make([]any, 0, 2+2*len(facts))
	args = append(args, r.streamLength, int64(grace/time.Second))
	for _, f := range facts {
		args = append(args, f.expires, r.entries.seal(f.record()))
	}
	added, err = appendScript.Run(ctx, r.client, []string{keyStream, keyIndex}, args...).Int()
	if redis.HasErrorPrefix(err, "OOM") && r.dropPosts(ctx) {
		added, err = appendScript.Run(ctx, r.client, []string{keyStream, keyIndex}, args...).Int()
	}
	return added, err
}

// readIndex reads the whole index, and how much in it was forged. What is there from beginning to end is read; what is
// added meanwhile may be.
func (r *Redis) readIndex(ctx context.Context) (held []fact, forged int, err error) {
	err = r.scan(ctx, keyIndex, maxRecord+sealSize, func(member string) {
		f, ok := r.openRecord(member)
		if !ok {
			forged++
			return
		}
		held = append(held, f)
	}, &forged)
	return held, forged, err
}

// openRecord reads a sealed record.
func (r *Redis) openRecord(sealed string) (fact, bool) {
	record, ok := r.entries.open([]byte(sealed))
	if !ok {
		return fact{}, false
	}
	f, err := parseRecord(record)
	return f, err == nil
}

// scan calls f with each member of a sorted set that is not too long to be ours, and adds up in long those that are.
func (r *Redis) scan(ctx context.Context, key string, longest int, f func(member string), long *int) error {
	for cursor := "0"; ; {
		reply, err := r.scanStep(ctx, key, cursor, longest)
		if err != nil {
			return err
		}
		if len(reply) < 2 {
			return errScan
		}
		n, err := strconv.Atoi(reply[1])
		if err != nil {
			return errScan
		}
		*long += n
		for _, member := range reply[2:] {
			f(member)
		}
		if cursor = reply[0]; cursor == "0" {
			return nil
		}
	}
}

func (r *Redis) scanStep(ctx context.Context, key, cursor string, longest int) ([]string, error) {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	return scanScript.Run(ctx, r.client, []string{key}, cursor, batch, longest).StringSlice()
}

// restore adds what the index lacks, and returns how much that was.
func (r *Redis) restore(ctx context.Context, lacking []Entry) (added int, err error) {
	checked, err := facts(lacking)
	if err != nil {
		return 0, err
	}
	for some := range slices.Chunk(checked, batch) {
		n, err := r.writeWithTimeout(ctx, some)
		if err != nil {
			return added, err
		}
		added += n
	}
	return added, nil
}

func (r *Redis) writeWithTimeout(ctx context.Context, facts []fact) (added int, err error) {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	return r.write(ctx, facts)
}

// removeSuperseded removes from the index the records that say less than another one there.
func (r *Redis) removeSuperseded(ctx context.Context, held []fact) error {
	for some := range slices.Chunk(superseded(held), batch) {
		members := make([]any, len(some))
		for i, f := range some {
			members[i] = r.entries.seal(f.record())
		}
		if err := r.remove(ctx, members); err != nil {
			return err
		}
	}
	return nil
}

func (r *Redis) remove(ctx context.Context, members []any) error {
	ctx, cancel := r.answerBy(ctx)
	defer cancel()
	return r.client.ZRem(ctx, keyIndex, members...).Err()
}

// superseded returns the facts that another one of the same name includes.
func superseded(held []fact) (subsumed []fact) {
	latest := make(map[name]fact, len(held))
	for _, f := range held {
		if g, ok := latest[f.name]; !ok || f.cutoff > g.cutoff || f.cutoff == g.cutoff && f.expires > g.expires {
			latest[f.name] = f
		}
	}
	for _, f := range held {
		if g := latest[f.name]; f != g && g.merge(f) == g {
			subsumed = append(subsumed, f)
		}
	}
	return subsumed
}
